"""One actor a runner session: order, dedupe, durability, the state machine, approvals, usage.

An event's way: accepted in order → appended to the journal → durable → acknowledged to the runner and forwarded to the
people, in that order. What was not durable when this actor crashed is sent again by the link; what was durable but not
forwarded is read back from the journal. So a crash at any point loses nothing and shows nothing twice.
"""

from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import structlog
import trio

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.log_reading import filter_after, filtered, read_with_times, whole_since
from townwatch.actors.people.keyboard import KeyboardHeld
from townwatch.actors.people.leases import KeyboardLeases
from townwatch.actors.ports import Ref, TooManyPromises
from townwatch.actors.rendering.terminal import ViewerFilter
from townwatch.actors.session import signs
from townwatch.actors.session.approvals import SessionApprovals, resolutions
from townwatch.actors.session.ending import body_of, end_events, why_late
from townwatch.actors.session.fold import QUIET, active, fold_all
from townwatch.actors.session.keeping import SessionKeeping
from townwatch.actors.session.landing import SessionLanding
from townwatch.actors.session.state import SessionState
from townwatch.actors.timers import After
from townwatch.contracts import events as e, scopes
from townwatch.contracts.answers import AnswerRefused
from townwatch.contracts.decoding.bridge import is_bridge
from townwatch.contracts.faults import TablesUnavailable
from townwatch.contracts.link import Command
from townwatch.runtime import ActorDeadError, MailboxSpec, TrioActor

log = structlog.get_logger("session")

SETTLE_SECONDS = 3.0
"""How long to wait before the decisions are looked at again while the tables are away."""
SEND_SECONDS = 5.0
PAUSE_KEPT_MS = 600_000
"""How long a pause or a resume is kept for a runner that is away; a stop is kept until its session has ended."""
LOST_AGAIN_SECONDS = 1.0
"""When to look again whether a session is lost, where something of it is on its way to the disk."""


class SessionActor(TrioActor):
    """Messages: Batch, ResumeSession, Lost, Durable from below; Input, Resize, Stop, Pause, Resume, Decide, End, Land,
    Describe from people.
    """

    mailbox = MailboxSpec(capacity=256, policy="wait")
    message_in_hand = "retry"  # the journal drops repeats
    expected_errors = (
        *(m.RunnerOffline, m.Unsupported, m.UnknownApproval, m.AgentWaits, m.Released, KeyboardHeld),
        *(TooManyPromises, TablesUnavailable, AnswerRefused),
    )

    def __init__(self, context: Context, initial: SessionState) -> None:
        super().__init__()
        self._context = context
        self._state = context.board.session(initial.session_id) or initial
        self._accepted = self._state.seq
        self._waiting: deque[m.IncomingEvent] = deque()
        self._link: Ref | None = None
        self._keeping = SessionKeeping(context, self._state.seq)
        self._filter = ViewerFilter()
        self._approvals = SessionApprovals(context, self._tell)
        self._landing = SessionLanding(context, self._tell)
        self._keyboard = KeyboardLeases(context, lambda: self.actor_ref)
        self._settles_later = False
        self._over = trio.Event()
        self._reports: list[tuple[int, trio.Event]] = []
        """Last number of a bridge's report → set when it is durable."""
        self._end_from: int | None = None
        """The first number of the end that the service writes."""

    async def on_start(self) -> None:
        """Read what is durable beyond the board's entry, show it, and ask the link for what is not durable yet."""
        self._context.directory.sessions[self._state.session_id] = self.actor_ref
        self._filter = await filter_after(self._context, self._state.session_id, self._state.seq)
        while (tail := await self._read_tail())[0]:
            if any(event.left_out for event in tail[0]):
                self._state = attrs.evolve(self._state, texts_left_out=True)
            await self._forward(*tail)
        self._context.board.post(self._state)
        if self._state.resolved:
            await self._settle_decisions()
        if self._state.pending:
            self.actor_ref.tell(m.JudgeAgain())
        if self._state.ended:
            await self._close()
        self._accepted = self._state.seq
        again = m.SessionRestarted(self._state.session_id, self._accepted)
        tell_if_alive(self._context.directory.runners.get(self._state.runner_id), again)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.Batch():
                await self._take(message)
            case m.Durable(seq=seq):
                await self._durable(seq)
            case m.Reported():
                return await self._report(message)
            case m.ResumeSession(link=link, first_seq=first_seq):
                return await self._held(link, first_seq)
            case m.SettleAgain():  # the tables were away
                self._settles_later = False
                await self._settle_decisions()
                await self._judge()
                if self._state.ended:
                    await self._close()
            case m.StillAsked(approvals=approvals):
                self._state = self._approvals.with_known_questions(self._state, approvals)
                self._context.board.post(self._state)
                await self._judge()
            case m.JudgeAgain():
                await self._judge()
            case m.SessionLost():
                await self._lost(message)
            case m.End():
                return await self._end(message)
            case m.Describe():
                return self._state
            case m.Decide():
                return await self._approvals.decide(self._state, message)
            case m.WorktreeRemoved():
                self._state = await self._keeping.without_worktree(self._state)
            case m.UseKeyboard() | m.KeyboardLeft() | m.KeyboardExpired():
                return self._keyboard.handle(message, self._state)
            case m.Land():
                return await self._landing.order(self._state, message)
            case m.LandDone():
                await self._landed(message)
            case m.TakeBack():
                return await self._approvals.take_back(self._state, message)
            case m.Input() | m.Resize() | m.Stop() | m.Pause() | m.Resume():
                return await self._order(message)
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    # --- events -----------------------------------------------------------------------------------

    async def _take(self, batch: m.Batch) -> None:
        """Accept what comes next, drop repeats, and ask again where something is missing in between."""
        self._link = batch.link
        if self._state.ended_by is not None or self._state.session_id in self._context.closing:
            return self._refuse(batch)
        fresh: list[m.IncomingEvent] = []
        for incoming in batch.events:
            seq = incoming.event.seq
            if seq <= self._accepted:
                self._context.measure("repeat", {})
                continue
            if self._lost_before(seq, batch):
                tell_if_alive(batch.link, m.ResendFrom(self._state.session_id, self._accepted))
                break
            self._accepted = seq
            fresh.append(incoming)
        if fresh:
            self._context.measure("received", {"events": fresh})
            self._waiting.extend(fresh)
            await self._append(fresh)
        elif batch.events:  # nothing but repeats: the ack was lost, say it again
            tell_if_alive(batch.link, m.Acked(self._state.session_id, self._state.seq))

    def _lost_before(self, seq: int, batch: m.Batch) -> bool:
        """Return True if an event before this one was lost on its way to us; a hole of the runner's own does
        not count.
        """
        if batch.lenient:
            return False
        if batch.follows is not None:
            return batch.follows > self._accepted
        return seq > self._accepted + 1 and self._accepted > 0

    async def _append(self, fresh: Sequence[m.IncomingEvent]) -> None:
        await self._keeping.append(self._state, fresh, self.actor_ref)

    async def _report(self, report: m.Reported) -> int:
        """Give a bridge's events the numbers that a runner would have given them."""
        if self._state.ended or self._state.session_id in self._context.closing:
            raise m.SessionOver(f"the session has ended ({self._state.state})")
        report.first = report.first or self._accepted + 1
        numbered = [attrs.evolve(event, seq=report.first + place) for place, event in enumerate(report.events)]
        last = report.first + len(numbered) - 1
        fresh = [m.IncomingEvent(event, body_of(event)) for event in numbered if event.seq > self._accepted]
        self._reports.append((last, report.durable))
        self._accepted = max(self._accepted, last)
        if fresh:
            self._waiting.extend(fresh)
            await self._append(fresh)
        self._tell_reporters()
        return last

    def _tell_reporters(self) -> None:
        for seq, durable in self._reports:
            if seq <= self._state.seq:
                durable.set()
        self._reports = [one for one in self._reports if one[0] > self._state.seq]

    async def _durable(self, seq: int) -> None:
        """The journal has it: acknowledge, then show it."""
        ready: list[e.RunnerEvent] = []
        while self._waiting and self._waiting[0].event.seq <= seq:
            ready.append(self._waiting.popleft().event)
        if not ready:
            return
        self._context.measure("durable", {"events": ready})
        theirs = [event.seq for event in ready if self._end_from is None or event.seq < self._end_from]
        if theirs:  # the service's own end has numbers that the runner never gave
            tell_if_alive(self._link, m.Acked(self._state.session_id, theirs[-1]))
        await self._forward(ready)
        self._tell_reporters()
        await self._landing.durable(self._state)

    def _taken(self, events: Sequence[e.RunnerEvent]) -> list[float]:
        """Return the time (ms) at which the service counts each of these events as received."""
        now, held_back = self._context.clock.now_ms(), self._context.held_back.get(self._state.runner_id, {})
        held = held_back.get(self._state.session_id)
        if held is not None and events[-1].seq >= held.last_seq:
            del held_back[self._state.session_id]
        return [signs.taken_at(event, now, held) for event in events]

    async def _forward(self, events: Sequence[e.RunnerEvent], taken: Sequence[float] | None = None) -> None:
        """Show what is durable. `taken`: when, where that is not now."""
        before, cuts = self._state, self._filter.cuts
        events = await filtered(events, self._filter)
        after = fold_all(before, events, self._taken(events) if taken is None else taken)
        after = attrs.evolve(after, whole_since=whole_since(before, self._filter, cuts, after.seq))
        after = self._keeping.marked(after)
        for kind, number in Counter(event.TYPE for event in events).items():
            self._context.measure("event", {"type": kind, "count": number})
        self._context.measure("folded", {"before": before, "state": after, "events": events})
        if after.violations > before.violations:
            self._context.measure("violation", {"count": after.violations - before.violations})
            log.warning("protocol_violation", session=after.session_id, state=before.state, new_state=after.state)
        assert self._context.router is not None
        await self._context.router.send(m.Forward(after, events))
        self._state = after
        self._context.board.post(after)
        with self._tables_may_be_away():
            await self._approvals.confirm(after, resolutions(after, events))
            await self._approvals.compare(after, events)
        if any(isinstance(event, e.ApprovalRequested) for event in events):
            await self._judge()
        if after.ended and not before.ended:
            await self._close()
        if after.told_end:
            for early in self._landing.early():
                await self._landed(m.LandDone(early))
        await self._keeping.snapshot(after, important=any(type(event) not in QUIET for event in events))

    async def _close(self) -> None:
        """Handle the session's durable end: settle what was promised of it, and wake all that wait for its end."""
        self._context.closing.discard(self._state.session_id)
        self._keyboard.forget(self._state)
        with self._tables_may_be_away():
            await self._context.promises.void_session(self._state.session_id, "the session ended")
        self._over.set()

    async def _landed(self, done: m.LandDone) -> None:
        """Write the outcome of a land order where the runner, whose session has ended, could not."""
        with self._tables_may_be_away():  # the row stays open, and is told again
            if done.waits:
                return await self._landing.asked(self._state, done.result)
            event = await self._landing.done(self._state, done.result, self._accepted)
            if event is not None:
                self._end_from, self._accepted = self._end_from or event.seq, event.seq
                self._waiting.append(m.IncomingEvent(event, body_of(event)))
                await self._append([self._waiting[-1]])

    async def _read_tail(self) -> tuple[list[e.RunnerEvent], list[float]]:
        """Read the durable events that the state does not contain yet, and when the log took each."""
        return await read_with_times(self._context, self._state.session_id, self._state.seq)

    async def _held(self, link: Ref, first_seq: int) -> int:
        """The runner is back. Where its spool begins later than our log ends, the hole is real: go on behind it."""
        self._link = link
        if self._state.ended_by is None and self._state.session_id not in self._context.closing:
            self._accepted = max(self._accepted, first_seq - 1)
        return self._accepted + 1

    # --- people -----------------------------------------------------------------------------------

    async def _order(self, message: m.Input | m.Resize | m.Stop | m.Pause | m.Resume) -> m.Ordered:
        """Pass it on. Keys and a size are not kept for a runner that is away; a stop, a pause and a resume are rows
        before they are promised.
        """
        if self._state.ended:
            raise m.SessionOver(f"the session has ended ({self._state.state})")
        if isinstance(message, m.Input):
            commands.check_no_dialog(self._state, message)
            await self._approvals.check_keys(self._state, message.data)
        command = commands.for_session(message, self._state.session_id)
        runner = self._context.directory.alive(self._context.directory.runners, self._state.runner_id)
        if isinstance(message, m.Input | m.Resize):
            self._keyboard.check(self._state, message.by)
            if runner is None:
                raise m.RunnerOffline("the session's runner is not connected")
            waiting = await runner.call(m.Send(command, wait=True, keep=False), timeout=SEND_SECONDS)
            if isinstance(message, m.Resize):
                self._keyboard.resized(self._state, message.cols, message.rows)
            if isinstance(message, m.Input):
                self._state = active(self._state, self._context.clock.now_ms())
                self._context.board.post(self._state)
            return m.Ordered(command.command_id, waiting)
        if runner is not None:
            await runner.call(m.CanDo(command.command), timeout=SEND_SECONDS)
        expires = None if isinstance(message, m.Stop) else self._context.clock.now_ms() + PAUSE_KEPT_MS
        promise = await self._context.promises.promise(
            self._state.runner_id,
            command,
            expires_ms=expires,
            session_id=self._state.session_id,
            entry=message.entry,
        )
        if not promise.open:
            return m.Ordered(promise.command.command_id, done=True)
        return m.Ordered(promise.command.command_id, await self._tell(promise.command))

    async def _tell(self, command: Command) -> Any:
        """Give a promised command to the runner's actor. None where the runner is away: it is read when it comes."""
        runner = self._context.directory.alive(self._context.directory.runners, self._state.runner_id)
        if runner is None:
            return None
        try:
            waiting = await runner.call(m.Send(command, wait=True, promised=True), timeout=SEND_SECONDS)
        except (ActorDeadError, trio.TooSlowError) as error:  # promised it is; the actor finds the row
            log.warning("promise_waits", command=command.command_id, reason=type(error).__name__)
            return None
        return waiting if waiting.link is not None else None

    @contextmanager
    def _tables_may_be_away(self) -> Generator[None]:
        """Let events go on without the tables: what has to be settled there is tried again a little later."""
        try:
            yield
        except TablesUnavailable:
            if not self._settles_later:
                self._settles_later = True
                tell_if_alive(self._context.timers, After(SETTLE_SECONDS, self.actor_ref, m.SettleAgain()))

    async def _judge(self) -> None:
        with self._tables_may_be_away():
            await self._approvals.judge(self._state)

    async def _settle_decisions(self) -> None:
        with self._tables_may_be_away():
            await self._approvals.settle(self._state)

    # --- the service's own authority --------------------------------------------------------------

    async def _end(self, message: m.End) -> trio.Event:
        """Write the end that the runner never will. What its runner still has of the session is refused from now on."""
        state = self._state
        if state.ended:
            raise m.SessionOver(f"the session has ended ({state.state})")
        if state.session_id in self._context.closing and self._waiting:
            return self._over  # said already, and on its way to the disk
        if message.stop and not is_bridge(state.runner_id):  # what of it still runs is not to go on unseen
            stop = Command(
                command_id=scopes.session_command("stop", state.session_id, "ended"),
                command="stop",
                session_id=state.session_id,
                graceful=True,
            )
            await self._context.promises.promise(state.runner_id, stop)
            await self._tell(stop)
        self._context.closing.add(state.session_id)
        now = self._context.clock.now_ms()
        said = end_events(state, self._accepted, now, message.reason, message.by)
        fresh = [m.IncomingEvent(event, body_of(event)) for event in said]
        self._end_from, self._accepted = said[0].seq, said[-1].seq
        self._waiting.extend(fresh)
        log.warning("session_ended_by_the_service", session=state.session_id, reason=message.reason, by=message.by)
        await self._append(fresh)
        return self._over

    async def _lost(self, message: m.SessionLost) -> None:
        """Its runner does not have it. What was said before that, and is on its way to the disk, may be its end."""
        if self._state.ended or self._state.session_id in self._context.closing:
            return
        if self._waiting or self._accepted > self._state.seq:
            tell_if_alive(self._context.timers, After(LOST_AGAIN_SECONDS, self.actor_ref, message))
            return
        await self._end(m.End(message.reason, "its runner", stop=False))

    def _refuse(self, batch: m.Batch) -> None:
        """Refuse events of a session that the service has ended, or is ending."""
        why = why_late(self._state) if self._state.ended else "late event of an ended session: the service is ending it"
        for incoming in batch.events:
            late = m.EventRefused(self._state.session_id, incoming.event.seq, "E_SESSION_ENDED", why)
            tell_if_alive(batch.link, late)
