"""Restoring the board after a restart, from the snapshots and what the journal has beyond them."""

from collections.abc import Mapping
from typing import Protocol

import attrs
import structlog

from townwatch.actors.context import Context
from townwatch.actors.log_reading import decode_records, for_viewers, whole_since
from townwatch.actors.rendering.terminal import ViewerFilter, filter_at
from townwatch.actors.session import state as session_state
from townwatch.actors.session.fold import fold_all
from townwatch.actors.session.signs import Received
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, ui
from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.records import LogRecord

log = structlog.get_logger("restore")

SNAPSHOT_PREFIX = "session:"
PAGE = 2000
FEW = 50
"""Sessions whose snapshots are read one by one, and not all that there are."""


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
    """The part of the log that is read at the start."""

    def heads(self) -> Mapping[str, HeadLike]: ...
    def load_snapshots(self, prefix: str = "") -> Mapping[str, SnapshotLike]: ...
    def load_snapshot(self, key: str) -> SnapshotLike | None: ...
    def read(self, session_id: str, after: int = 0, limit: int = 0, max_bytes: int = 0) -> list[LogRecord]: ...
    def set_aside(self, position: int, why: str) -> None: ...


def restore(stored: StoredLog, context: Context, known: Mapping[str, SessionState] | None = None) -> int:
    """Fill the board; returns how many events had to be read. Runs in a worker thread before the first connection is
    accepted. `known`: states that were read before, while this process stood by.

    What was durable before the restart counts as shown: who comes back says what it has seen and gets the rest.
    """
    states = dict(known or {})
    heads = stored.heads()
    read = bring_up(stored, heads, states)
    for session_id in heads:
        context.published[session_id] = context.shown[session_id] = states[session_id].seq
    posted = [states[session_id] for session_id in heads]
    for state in sorted(posted, key=lambda one: one.created_at or 0):  # who claimed an agentId first is first again
        context.board.post(state)
    return read


def bring_up(
    stored: StoredLog, heads: Mapping[str, HeadLike], states: dict[str, SessionState], most: int | None = None
) -> int:
    """Bring the states to their heads; returns how many events were read. `most`: a session that is further behind than
    this stays at its snapshot.
    """
    behind = [name for name, head in heads.items() if name not in states or states[name].seq != head.max_seq]
    if len(behind) > FEW:
        found = stored.load_snapshots(SNAPSHOT_PREFIX)
        snapshots = {name: found.get(SNAPSHOT_PREFIX + name) for name in behind}
    else:
        snapshots = {name: stored.load_snapshot(SNAPSHOT_PREFIX + name) for name in behind}
    read = 0
    for session_id in behind:
        head = heads[session_id]
        state = _newest(session_id, head, states.get(session_id), _from_snapshot(snapshots[session_id]))
        if most is None or head.max_seq - state.seq <= most:
            state, count = _read_on(stored, head, state)
            read += count
        states[session_id] = state
    return read


def _newest(session_id: str, head: HeadLike, *found: SessionState | None) -> SessionState:
    """The one that is nearest to the head. One of a log that had more would hide what is missing."""
    for state in found:
        if state is not None and state.seq > head.max_seq:
            log.warning("snapshot_ahead_of_log", session=session_id, snapshot=state.seq, log=head.max_seq)
    usable = [state for state in found if state is not None and state.seq <= head.max_seq]
    if usable:
        return max(usable, key=lambda one: one.seq)
    return SessionState(
        session_id=session_id,
        village_id=head.village_id,
        agent_id=ui.default_agent_id(session_id),
        runner_id="",  # its runner names itself when it comes back
        seq=max(0, head.first_seq - 1),
    )


def _read_on(stored: StoredLog, head: HeadLike, state: SessionState) -> tuple[SessionState, int]:
    """The state at the head, and how many events were read for it."""
    read = 0
    viewers: ViewerFilter | None = None
    while state.seq < head.max_seq:
        records = stored.read(state.session_id, state.seq, PAGE, 16 << 20)
        if not records:  # what is left of the page was set aside
            return attrs.evolve(state, seq=head.max_seq), read
        read += len(records)
        events, taken = _readable(stored, records)
        if viewers is None:
            viewers = _viewer_filter(stored, state)
        before, cuts = state, viewers.cuts
        state = fold_all(state, for_viewers(events, viewers), taken)
        # Reading must get on also where the last of them could not be read.
        seq = max(state.seq, records[-1].seq)
        state = attrs.evolve(state, seq=seq, whole_since=whole_since(before, viewers, cuts, seq))
    return state, read


def _readable(stored: StoredLog, records: list[LogRecord]) -> tuple[list[e.RunnerEvent], Received]:
    """The events of these records, and when they were taken; one that is no event is set aside, and the service
    starts.
    """
    events: list[e.RunnerEvent] = []
    taken: list[float] = []
    for record in records:
        try:
            events.append(decode_event(record.body))
            taken.append(record.stored_ms)
        except ContractError as error:
            stored.set_aside(record.position, f"{record.type}: {error}")
    return events, taken if all(taken) else None


def _viewer_filter(stored: StoredLog, state: SessionState) -> ViewerFilter:
    """Return the filter as it stood where the state ends: what was unfinished there is no line of text."""

    def read(after: int, limit: int) -> list[e.RunnerEvent]:
        return decode_records(stored.read(state.session_id, after, limit, 16 << 20))

    known = state.whole_since is not None or not state.seq
    return ViewerFilter() if known else filter_at(state.seq, read)


def _from_snapshot(snapshot: SnapshotLike | None) -> SessionState | None:
    """Return the state in a snapshot; None for one of another version: the events say the same, only slower."""
    if snapshot is None:
        return None
    try:
        return session_state.load(snapshot.body)
    except (ContractError, ValueError, TypeError) as error:
        log.warning("snapshot_unreadable", reason=str(error))
        return None
