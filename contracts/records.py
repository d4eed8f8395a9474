"""One event as it is kept: what the cast hands to the journal and gets back from it."""

import attrs


@attrs.frozen
class LogRecord:
    """One event of a session.

    `body` is the event's JSON text, byte for byte as it came over the wire. `ts_ms` is the runner's clock, epoch
    milliseconds; `stored_ms` is when the log took it, by our clock, 0 until then or where that is not known. `position`
    is the log's own number, over all sessions and for ever growing; 0 until it is stored.
    """

    session_id: str
    seq: int
    village_id: str
    type: str
    ts_ms: float
    body: bytes
    position: int = 0
    stored_ms: int = attrs.field(default=0, eq=False)
