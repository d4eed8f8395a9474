"""After a restart: the board as it was, from the snapshots and what the journal has beyond them."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from actors import session_state
from actors.context import Context
from actors.session import decode_records
from actors.session_state import SessionState
from contracts import events as e
from contracts import ui
from contracts.codec import ContractError
from contracts.records import LogRecord

log = structlog.get_logger("restore")

SNAPSHOT_PREFIX = "session:"
PAGE = 2000


class HeadLike(Protocol):
    @property
    def max_seq(self) -> int: ...
    @property
    def first_seq(self) -> int: ...
    @property
    def village_id(self) -> str: ...


class SnapshotLike(Protocol):
    @property
    def body(self) -> bytes: ...


class StoredLog(Protocol):
    """What of the log is read at the start."""

    def heads(self) -> Mapping[str, HeadLike]: ...
    def load_snapshots(self, prefix: str = "") -> Mapping[str, SnapshotLike]: ...
    def read(self, session_id: str, after: int = 0, limit: int = 0, max_bytes: int = 0) -> list[LogRecord]: ...


def restore(stored: StoredLog, context: Context) -> int:
    """Fill the board; returns how many events had to be read. Runs in a worker thread before anybody is let in.

    What was durable before the restart counts as shown: who comes back says what it has seen and gets the rest.
    """
    snapshots = stored.load_snapshots(SNAPSHOT_PREFIX)
    read = 0
    for session_id, head in stored.heads().items():
        state = _from_snapshot(snapshots.get(SNAPSHOT_PREFIX + session_id))
        if state is None:
            state = SessionState(
                session_id=session_id,
                village_id=head.village_id,
                agent_id=ui.default_agent_id(session_id),
                runner_id="",  # its runner names itself when it comes back
                seq=max(0, head.first_seq - 1),
            )
        while state.seq < head.max_seq:
            records = stored.read(session_id, state.seq, PAGE, 16 << 20)
            if not records:
                break
            read += len(records)
            state = session_state.fold_all(state, _with_last(decode_records(records), records[-1].seq, state))
        context.board.post(state)
        context.published[session_id] = context.shown[session_id] = state.seq
    return read


def _with_last(events: list[e.RunnerEvent], seq: int, state: SessionState) -> list[e.RunnerEvent]:
    """Reading must get on even where the last record could not be decoded."""
    if not events or events[-1].seq < seq:
        raise RuntimeError(f"session {state.session_id}: event {seq} in the journal cannot be read by this version")
    return events


def _from_snapshot(snapshot: SnapshotLike | None) -> SessionState | None:
    """None for one of another version: the events say the same, only slower."""
    if snapshot is None:
        return None
    try:
        return session_state.load(snapshot.body)
    except ContractError as error:
        log.warning("snapshot_unreadable", reason=str(error))
        return None
