"""One actor a runner session: order, dedupe, durability, the state machine, approvals, usage.

An event's way: accepted in order → appended to the journal → durable → acknowledged to the runner and forwarded to the
people, in that order. What was not durable when this actor crashed is sent again by the link; what was durable but not
forwarded is read back from the journal. So a crash at any point loses nothing and shows nothing twice.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import structlog
import trio

from actors import messages as m
from actors import session_state
from actors.context import Context
from actors.directory import tell_if_alive
from actors.ports import Ref, Standing
from actors.runtime import MailboxSpec, TrioActor
from actors.session_state import SessionState
from actors.terminal import ViewerFilter
from contracts import events as e
from contracts.codec import ContractError
from contracts.link import Command
from contracts.records import LogRecord

log = structlog.get_logger("session")

SNAPSHOT_EVERY = 500
"""Events between two snapshots; a restart reads at most about this many events a session."""
READ_LIMIT = 1000
READ_BYTES = 4 << 20
Resolution = e.ApprovalResolved | e.ApprovalRequest
"""Both say which approval, and how, by whom and why it was decided."""


class SessionActor(TrioActor):
    """Messages: Batch, Held, Durable from below; Input, Resize, Stop, Pause, Resume, Decide, Describe from people."""

    mailbox = MailboxSpec(capacity=256, policy="wait")
    message_in_hand = "retry"  # the journal drops repeats
    expected_errors = (m.RunnerOffline, m.UnknownApproval)

    def __init__(self, context: Context, initial: SessionState) -> None:
        super().__init__()
        self._context = context
        self._state = context.board.session(initial.session_id) or initial
        self._accepted = self._state.seq
        self._waiting: deque[m.Incoming] = deque()
        self._link: Ref | None = None
        self._snapshot_at = self._state.seq
        self._filter = ViewerFilter()

    async def on_start(self) -> None:
        """Read what is durable beyond the board's entry, show it, and ask the link for what is not durable yet."""
        self._context.directory.sessions[self._state.session_id] = self.actor_ref
        while tail := await self._read_tail():
            await self._forward(tail)
        self._context.board.post(self._state)
        if self._state.resolved:
            await self._settle_decisions()
        self._accepted = self._state.seq
        again = m.SessionRestarted(self._state.session_id, self._accepted)
        tell_if_alive(self._context.directory.runners.get(self._state.runner_id), again)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.Batch():
                await self._take(message)
            case m.Durable(seq=seq):
                await self._durable(seq)
            case m.Held(link=link, first_seq=first_seq):
                return await self._held(link, first_seq)
            case m.RunnerBack():  # what was decided while its actor was not there, or was lost with it
                await self._repeat_decisions()
            case m.Describe():
                return self._state
            case m.Decide():
                return await self._decide(message)
            case m.Input() | m.Resize() | m.Stop() | m.Pause() | m.Resume():
                return await self._order(message)
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    # --- events -----------------------------------------------------------------------------------

    async def _take(self, batch: m.Batch) -> None:
        """Accept what comes next, drop repeats, and ask again where something is missing in between."""
        self._link = batch.link
        fresh: list[m.Incoming] = []
        for incoming in batch.events:
            seq = incoming.event.seq
            if seq <= self._accepted:
                self._context.measure("repeat", {})
                continue
            if self._lost_before(seq, batch):
                tell_if_alive(batch.link, m.Rewind(self._state.session_id, self._accepted))
                break
            self._accepted = seq
            fresh.append(incoming)
        if fresh:
            self._waiting.extend(fresh)
            await self._append(fresh)
        elif batch.events:  # nothing but repeats: the ack was lost, say it again
            tell_if_alive(batch.link, m.Acked(self._state.session_id, self._state.seq))

    def _lost_before(self, seq: int, batch: m.Batch) -> bool:
        """Whether an event before this one was on its way to us and is gone; a hole of the runner's own is none."""
        if batch.lenient:
            return False
        if batch.follows is not None:
            return batch.follows > self._accepted
        return seq > self._accepted + 1 and self._accepted > 0

    async def _append(self, fresh: Sequence[m.Incoming]) -> None:
        records = [self._record(incoming) for incoming in fresh]
        assert self._context.journal is not None  # started before any session
        await self._context.journal.send(m.Append(records, self.actor_ref))

    def _record(self, incoming: m.Incoming) -> LogRecord:
        event = incoming.event
        return LogRecord(event.session_id, event.seq, self._state.village_id, event.TYPE, event.ts, incoming.body)

    async def _durable(self, seq: int) -> None:
        """The journal has it: acknowledge, then show it."""
        ready: list[e.RunnerEvent] = []
        while self._waiting and self._waiting[0].event.seq <= seq:
            ready.append(self._waiting.popleft().event)
        if not ready:
            return
        tell_if_alive(self._link, m.Acked(self._state.session_id, ready[-1].seq))
        await self._forward(ready)

    async def _forward(self, events: Sequence[e.RunnerEvent]) -> None:
        before = self._state
        after = session_state.fold_all(before, events)
        for kind, count in Counter(event.TYPE for event in events).items():
            self._context.measure("event", {"type": kind, "count": count})
        if after.violations > before.violations:
            self._context.measure("violation", {"count": after.violations - before.violations})
            log.warning("protocol_violation", session=after.session_id, state=before.state, new_state=after.state)
        assert self._context.router is not None
        await self._context.router.send(m.Forward(after, for_viewers(events, self._filter)))
        self._state = after
        self._context.board.post(after)
        await self._confirm(list(_resolutions(after, events)))
        await self._snapshot(important=any(type(event) not in session_state.QUIET for event in events))

    async def _snapshot(self, *, important: bool) -> None:
        """The first one at once: it says which runner and agent the session has, and the events do not."""
        behind = self._state.seq - self._snapshot_at
        due = behind >= SNAPSHOT_EVERY or not self._snapshot_at
        if due or (important and (self._state.ended or behind >= SNAPSHOT_EVERY // 10)):
            self._snapshot_at = self._state.seq
            body = session_state.dump(self._state)
            assert self._context.journal is not None
            key = f"session:{self._state.session_id}"
            await self._context.journal.send(m.SaveSnapshot(key, self._state.seq, body))

    async def _read_tail(self) -> list[e.RunnerEvent]:
        return await read_events(self._context, self._state.session_id, self._state.seq)

    async def _held(self, link: Ref, first_seq: int) -> int:
        """The runner is back. Where its spool begins later than our log ends, the hole is real: go on behind it."""
        self._link = link
        self._accepted = max(self._accepted, first_seq - 1)
        await self._repeat_decisions()
        return self._accepted + 1

    # --- people -----------------------------------------------------------------------------------

    async def _order(self, message: m.Input | m.Resize | m.Stop | m.Pause | m.Resume) -> Any:
        """Pass it on. What only makes sense now (keys, a size) is not kept for a runner that is away."""
        session_id = self._state.session_id
        command_id = f"{type(message).__name__.lower()}:{session_id}:{self._context.clock.now_ms()}:{id(message):x}"
        base = Command(command_id=command_id, command="input", session_id=session_id)
        match message:
            case m.Input(data=data, mode=mode):
                command = attrs.evolve(base, data=data, mode="line" if mode == "line" else "raw")
            case m.Resize(cols=cols, rows=rows):
                command = attrs.evolve(base, command="resize", cols=cols, rows=rows)
            case m.Stop(graceful=graceful):
                command = attrs.evolve(
                    base, command="stop", graceful=graceful, command_id=f"stop:{session_id}:{graceful}"
                )
            case m.Pause():
                command = attrs.evolve(base, command="pause")
            case m.Resume():
                command = attrs.evolve(base, command="resume")
        if self._state.ended:
            raise m.RunnerOffline(f"the session has ended ({self._state.state})")
        await self._send(command, keep=isinstance(message, m.Stop))

    async def _send(self, command: Command, *, keep: bool) -> None:
        runner = self._context.directory.alive(self._context.directory.runners, self._state.runner_id)
        if runner is None:
            raise m.RunnerOffline("the session's runner is not connected")
        await runner.call(m.Send(command, keep=keep), timeout=5)

    async def _decide(self, message: m.Decide) -> Standing:
        """The first decision wins; the one that stands is the answer, whoever made it."""
        request = self._state.pending.get(message.approval_id)
        if request is None:
            return self._already_decided(message.approval_id)
        now = self._context.clock.now_ms()
        decision, by = message.decision, message.by
        if request.timeout_at is not None and now >= request.timeout_at:
            decision, by = "deny", "timeout"  # no answer in time is a no, whatever is said later
        standing = await self._context.decisions.record(
            message.approval_id, self._state.session_id, decision, by, message.note, now
        )
        await self._tell_decision(standing)
        return standing

    def _already_decided(self, approval_id: str) -> Standing:
        done = self._state.resolved.get(approval_id)
        if done is None or done.decision is None:
            raise m.UnknownApproval(f"no approval {approval_id} is waiting in this session")
        return Standing(
            approval_id=approval_id,
            decision=done.decision,
            resolved_by=done.resolved_by,
            note=done.note,
            confirmed=True,
        )

    async def _tell_decision(self, standing: Standing) -> None:
        """Idempotent by command id: sent again at every reconnect until the runner's APPROVAL_RESOLVED confirms it."""
        command = Command(
            command_id=f"approve:{standing.approval_id}",
            command="approve",
            session_id=self._state.session_id,
            approval_id=standing.approval_id,
            decision="allow" if standing.decision == "allow" else "deny",
            note=standing.note,
            resolved_by=standing.resolved_by,
        )
        try:
            await self._send(command, keep=True)
        except m.RunnerOffline:
            log.info("decision_waits_for_runner", approval=standing.approval_id)

    async def _repeat_decisions(self) -> None:
        for standing in await self._settle_decisions():
            await self._tell_decision(standing)

    async def _settle_decisions(self) -> list[Standing]:
        """What a crash kept from being confirmed is; returns those that the runner has to be told (again)."""
        waiting = await self._context.decisions.unconfirmed(self._state.session_id)
        done = [self._state.resolved[one.approval_id] for one in waiting if one.approval_id in self._state.resolved]
        await self._confirm(done)
        return [one for one in waiting if one.approval_id not in self._state.resolved]

    async def _confirm(self, resolved: Sequence[Resolution]) -> None:
        """What the runner told is what stands, also where somebody decided while its session was ending."""
        now, confirm = self._context.clock.now_ms(), self._context.decisions.confirm
        for done in resolved:
            if done.decision is not None:
                await confirm(self._state.session_id, done.approval_id, done.decision, done.resolved_by, done.note, now)


def _resolutions(after: SessionState, events: Sequence[e.RunnerEvent]) -> Iterator[Resolution]:
    """How approvals ended with these events."""
    for event in events:
        match event:
            case e.ApprovalResolved():
                yield event
            case e.SessionEnded():
                yield from session_state.undecided(after, event)
            case _:
                pass


async def read_events(context: Context, session_id: str, after: int, limit: int = READ_LIMIT) -> list[e.RunnerEvent]:
    """Durable events of a session after `after`, decoded, read in a worker thread; at most `limit` of them."""
    records = await trio.to_thread.run_sync(context.journal_log.read, session_id, after, limit, READ_BYTES)
    return decode_records(records)


async def read_for_viewers(
    context: Context, session_id: str, after: int, limit: int = READ_LIMIT
) -> list[e.RunnerEvent]:
    """The same as viewers may have it."""
    return for_viewers(await read_events(context, session_id, after, limit), ViewerFilter())


def for_viewers(events: Sequence[e.RunnerEvent], viewer_filter: ViewerFilter) -> list[e.RunnerEvent]:
    """Terminal output without what acts on a viewer's terminal; everything else as it is."""
    return [_for_viewers(event, viewer_filter) if isinstance(event, e.TerminalChunk) else event for event in events]


def _for_viewers(chunk: e.TerminalChunk, viewer_filter: ViewerFilter) -> e.TerminalChunk:
    shown = viewer_filter.feed(chunk.data)
    return chunk if shown == chunk.data else attrs.evolve(chunk, data=shown)


def decode_records(records: Sequence[LogRecord]) -> list[e.RunnerEvent]:
    """What was stored was valid once; what this version cannot read is skipped and logged, not fatal."""
    events: list[e.RunnerEvent] = []
    for record in records:
        try:
            events.append(e.decode_event(record.body))
        except ContractError as error:
            log.error("stored_event_unreadable", session=record.session_id, seq=record.seq, reason=str(error))
    return events
