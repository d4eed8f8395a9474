"""One actor a runner connection: acknowledgements, refusals and commands out; events, heartbeats and results in.

The tasks beside its mailbox: the socket's own (read, write, pulse), the feeder (events to sessions), the reporter
(heartbeats and results to the runner's actor), the acknowledger and the patrol. It ends with its connection and never
comes back: the runner dials again and resumes.
"""

from contextlib import suppress
from typing import Any

import attrs
import structlog
import trio

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.contracts.codec import Decoder, encode
from townwatch.contracts.link import (
    POLICY_ENFORCEMENT,
    SHARED_BUDGETS,
    Ack,
    AllowancesHeld,
    Command,
    ErrorBody,
    Events,
    Heartbeat,
    Hello,
    LinkError,
    Nack,
    OpenQuestions,
    Result,
    ResumePoint,
    Welcome,
)
from townwatch.contracts.secrets.shapes import masked_event, masked_text
from townwatch.runtime import ActorDeadError, MailboxSpec
from townwatch.transports.runners.clock import RunnerClock
from townwatch.transports.runners.feeder import CALL_SECONDS, Feeder, ResumeElsewhere, Unavailable
from townwatch.transports.runners.flight import PendingAcks
from townwatch.transports.runners.frames import AcklessHeartbeat, Dialect, FrameProblem, text_of
from townwatch.transports.runners.ports import LinkSettings, RunnerIdentity
from townwatch.transports.runners.window import first_step, next_window
from townwatch.transports.websocket.actor import Hangup, SocketActor
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.socket import MessageSocket

log = structlog.get_logger("links")

ACK_EVENTS = 64
ACK_BYTES = 64 * 1024
ACK_SECONDS = 0.02
"""Between two frames of acknowledgements, unless `ACK_EVENTS` or `ACK_BYTES` come first. They bound what a runner would
send again, and what it sends of a flood beside others; each is a wake-up and a write.
"""
PATROL_SECONDS = 1.0
RESULT_CHARS = 8 * 1024
"""Characters of a failed command's reason that are passed on."""
REPORTS_WAITING = 256
GOODBYE_SECONDS = 3.0
PROBLEMS = 100
"""Frames that could be ignored one by one; a connection with so many of them is closed."""


@attrs.frozen(kw_only=True)
class AcceptedRunner:
    """A connection that has said who it is."""

    socket: MessageSocket
    dialect: Dialect
    identity: RunnerIdentity
    hello: Hello


_open_questions: Decoder[OpenQuestions] = Decoder(OpenQuestions, max_bytes=4 << 20)


class RunnerLink(SocketActor):
    """Messages, all from above: Acked, ResendFrom, Refused, SendCommand, CloseLink."""

    mailbox = MailboxSpec(capacity=1024, policy="wait")

    def __init__(self, context: Context, settings: LinkSettings, arrival: AcceptedRunner) -> None:
        super().__init__(arrival.socket)
        self._context = context
        self._settings = settings
        self._dialect = arrival.dialect
        self._identity = arrival.identity
        self._hello = arrival.hello
        self._clock = RunnerClock(arrival.hello, context.clock)
        self._feeder = Feeder(
            context, arrival.identity, self.actor_ref, settings, self._say_nack, self._clock,
            lenient=arrival.dialect.lenient,
        )  # fmt: skip
        self._acks = PendingAcks()
        self._window = self._window_announced = settings.window
        self._acks_wake, self._acks_full = trio.Event(), trio.Event()
        self._to_report, self._reports = trio.open_memory_channel[Any](REPORTS_WAITING)
        self._runner: Ref | None = None
        self._runner_life = 0
        self._problems = 0

    # --- life -------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Tell the runner's actor, then welcome the runner. Raises `Unavailable` where the cast is not there."""
        if self._context.disk.refusal is not None:
            # Not 0: there may be no session yet whose acknowledgement could open it again.
            self._window = self._window_announced = first_step(self._settings.window)
        welcome = await self._welcome()
        await self._introduce()
        self.socket.send_if(self._dialect.write(welcome))
        self._say_policies()
        if SHARED_BUDGETS in self._hello.capabilities.features:
            self._settings.allowing.linked(self._identity.runner_id, self.actor_ref)
        self.beside(lambda: self.hold(self._take))
        self.beside(self._feed)
        self.beside(self._report)
        self.beside(self._acknowledge)
        self.beside(self._patrol)
        log.info("runner_connected", runner=self._identity.runner_id, version=self._hello.version[:100])

    async def on_stop(self) -> None:
        """Say goodbye: the runner should come back, to the process that serves then."""
        self._settings.allowing.unlinked(self._identity.runner_id, self.actor_ref)
        self.socket.close(CloseCode.RESTARTING, "the service restarts; come back")
        with trio.move_on_after(GOODBYE_SECONDS):
            await self.socket.over.wait()
        ending = self.socket.ending
        why = "" if ending is None else ending.reason
        log.info("runner_disconnected", runner=self._identity.runner_id, reason=why[:200])

    async def on_receive(self, message: Any) -> None:
        match message:
            case m.Acked(session_id=session_id, seq=seq):
                self._note_ack(session_id, seq)
            case m.ResendFrom(session_id=session_id, seq=seq):
                self._feeder.rewind(session_id, seq)
            case m.EventRefused(session_id=session_id, seq=seq, code=code, message=text):
                self._feeder.release(session_id, seq)
                self._say_nack(Nack(session_id=session_id, seq=seq, code=code, message=text))
            case m.SendCommand(command=command):
                self._order(command)
            case m.PoliciesChanged(allowances=only):
                if not only:
                    self._say_policies()
                self._say_allowances()
            case m.CloseLink(reason=reason, retry=retry):
                self.socket.close(CloseCode.RESTARTING if retry else CloseCode.POLICY, reason)
            case Hangup():
                self.stop()
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    async def _welcome(self) -> Welcome:
        """Return where each session resumes; the session's actor learns at the same moment that its runner is here."""
        runner_id = self._identity.runner_id
        named = {held.session_id: held.first_seq for held in self._hello.sessions}
        lost = [s.session_id for s in self._context.board.of_runner(runner_id) if not s.ended]
        lost = [] if self._dialect.lenient else [session_id for session_id in lost if session_id not in named]
        points: list[ResumePoint] = []
        for session_id in [*named, *lost]:
            resume_from = await self._resume(session_id, named.get(session_id, 0))
            if resume_from is not None:
                points.append(ResumePoint(session_id=session_id, resume_from=resume_from))
        for session_id in lost:  # not before it was seen: a start that is under way is not lost
            state = self._context.board.session(session_id)
            if state is not None and state.seq > 0:
                gone = m.SessionLost("lost: its runner came back without it")
                tell_if_alive(self._context.directory.sessions.get(session_id), gone)
        return Welcome(
            runner_id=runner_id,
            heartbeat_ms=self._settings.heartbeat_ms,
            window=self._window_announced,
            sessions=points,
            lost=lost,
            tell_open=self._has_forgotten() or None,
        )

    def _has_forgotten(self) -> bool:
        """Return whether of a question that waits it is not known here what it asks."""
        states = self._context.board.of_runner(self._identity.runner_id)
        return any(asked.left_out for state in states for asked in state.pending.values())

    async def _tell_open(self, told: OpenQuestions) -> None:
        """Give a session what waits in it, with its secrets masked."""
        state = self._context.board.session(told.session_id)
        if state is None or state.runner_id != self._identity.runner_id:
            return
        masked = await trio.to_thread.run_sync(_masked_questions, told)
        session = await self._context.router_call(m.LocateSession(told.session_id))
        tell_if_alive(session, m.StillAsked(masked.approvals))

    def _say_policies(self) -> None:
        """Send the rules of all villages that this runner serves, where it said that it obeys rules."""
        if not self._dialect.lenient and POLICY_ENFORCEMENT in self._hello.capabilities.features:
            found = self._settings.policies(self._identity.villages())
            now = self._context.clock.now_ms()
            self.socket.send_if(self._dialect.write(self._settings.rules_for(self._hello, found, now)))

    def _say_allowances(self) -> None:
        found = self._settings.allowing.for_runner(self._identity.runner_id)
        if found is not None:
            self.socket.send_if(self._dialect.write(found))

    async def _resume(self, session_id: str, first_seq: int) -> int | None:
        """Return where to resume; None for another runner's session: its events would be refused."""
        state = self._context.board.session(session_id)
        if state is None:
            self._feeder.expect(session_id, first_seq)
            if first_seq > 1 and not self._dialect.lenient and not self._context.journal_log.deleted(session_id):
                await self._missing(session_id, next(iter(self._identity.villages().values()), None), 1, first_seq - 1)
            return max(1, first_seq)
        if not self._identity.may_use(state.village_id):
            return None
        if state.ended_by is not None:  # what it still has of the session is refused, event by event, and told why
            return None
        try:
            durable = state.seq
            resume_from = (await self._feeder.held(session_id, state.village_id, first_seq)).resume_from
        except m.ForeignSession:
            log.warning("foreign_session_named", runner=self._identity.runner_id, session=session_id)
            return None
        if first_seq - 1 > durable and not self._dialect.lenient:  # it lets go only of what was acknowledged
            await self._missing(session_id, state.village_id, durable + 1, first_seq - 1)
        return resume_from

    async def _missing(self, session_id: str, village_id: str | None, from_seq: int, to_seq: int) -> None:
        """Note that the log lacks acknowledged events. Of a session that is not known here, the first village that the
        runner serves is told: what a runner names is for its own villages only.
        """
        if village_id is not None:
            await self._context.missing(self._identity.runner_id, session_id, village_id, from_seq, to_seq)

    async def _introduce(self) -> None:
        """The runner's actor learns of this connection; it sends its unanswered commands and closes an older one."""
        try:
            runner = await self._context.router_call(m.EnsureRunner(self._identity.runner_id))
            self._runner_life = runner.incarnation
            await runner.call(m.LinkUp(self.actor_ref, self._hello, self._dialect.lenient), timeout=CALL_SECONDS)
        except Exception as error:
            raise Unavailable(f"the runner's actor did not answer ({type(error).__name__})") from error
        self._runner = runner

    # --- in ---------------------------------------------------------------------------------------

    async def _take(self, opcode: int, data: bytes) -> None:
        """Take one frame. What is wrong with it is told, and ends the connection only where it must."""
        try:
            await self._sort(self._dialect.read(text_of(opcode, data)))
        except FrameProblem as problem:
            self._problem(problem)

    async def _sort(self, parsed: Any) -> None:
        match parsed:
            case Events(events=events):
                await self._take_events(events)
            case Heartbeat() | Result():
                self._pass_on(parsed)
            case AllowancesHeld(version=version, counted=counted):
                self._settings.allowing.held(self._identity.runner_id, version, counted)
            case OpenQuestions():
                await self._tell_open(parsed)
            case AcklessHeartbeat(hello=hello, heartbeat=heartbeat):
                if hello != self._hello:
                    self._hello = hello
                    self._pass_on(hello)
                self._pass_on(heartbeat)
            case _:
                raise FrameProblem("E_BAD_PAYLOAD", "hello was said already on this connection")

    async def _take_events(self, events: list[Any]) -> None:
        """Take events. To exceed the window is an error; the ack-less dialect has none: it waits unread for room."""
        window = self._settings.window
        if not self._dialect.lenient and self._feeder.in_flight + len(events) > window:
            raise FrameProblem(
                "E_WINDOW", f"window exceeded: more than {window} unacknowledged events", CloseCode.POLICY
            )
        self._feeder.offer(events)
        await self._feeder.room(window if self._dialect.lenient else 2**31)

    def _pass_on(self, report: Hello | Heartbeat | Result) -> None:
        if isinstance(report, Heartbeat):
            self._clock.hear(report)
        if isinstance(report, Result) and report.error is not None:  # a person sees it
            said = masked_text(report.error.message[:RESULT_CHARS])
            report = attrs.evolve(report, error=attrs.evolve(report.error, message=said))
        try:
            self._to_report.send_nowait(report)
        except trio.WouldBlock:
            raise FrameProblem(
                "E_RATE_LIMIT", f"more than {REPORTS_WAITING} heartbeats and results wait", CloseCode.POLICY
            ) from None

    def _problem(self, problem: FrameProblem) -> None:
        self._context.measure("bad_frame", {"code": problem.code})
        log.warning("bad_frame", runner=self._identity.runner_id, code=problem.code, reason=problem.message[:300])
        self.socket.send_if(self._dialect.write(LinkError(code=problem.code, message=problem.message)))
        self._problems += 1
        if problem.close is not None:
            self.socket.close(problem.close, problem.message)
        elif self._problems >= PROBLEMS:
            self.socket.close(
                CloseCode.POLICY, f"{PROBLEMS} frames that could not be understood; the last: {problem.message}"
            )

    # --- out --------------------------------------------------------------------------------------

    def _say_nack(self, nack: Nack) -> None:
        self.socket.send_if(self._dialect.write(nack))

    def _note_ack(self, session_id: str, seq: int) -> None:
        self._acks.note(session_id, seq, *self._feeder.acked(session_id, seq))
        self._acks_wake.set()
        if self._acks.events >= ACK_EVENTS or self._acks.bytes >= ACK_BYTES:
            self._acks_full.set()

    def _order(self, command: Command) -> None:
        frame = self._dialect.write(command)
        if frame is not None and not self.socket.send(frame):
            return  # the connection is closing; the runner's actor keeps the command for the next one
        if not self._dialect.lenient:
            return
        # Runners of this dialect never answer: what was sent counts as done, what they do not know as refused.
        error = None
        if frame is None:
            text = f"this runner's dialect has no command {command.command}"
            error = ErrorBody(code="E_UNSUPPORTED", message=text)
        with suppress(FrameProblem):  # too many reports wait: this one is given at the next connection
            self._pass_on(Result(command_id=command.command_id, ok=frame is not None, error=error))

    # --- the tasks beside -------------------------------------------------------------------------

    async def _feed(self) -> None:
        try:
            await self._feeder.run()
        except Unavailable as error:
            log.warning("cannot_take_events", runner=self._identity.runner_id, reason=str(error))
            self.socket.close(CloseCode.TRY_AGAIN, f"{error}; come back")
        except ResumeElsewhere as error:
            self.socket.close(CloseCode.RESTARTING, f"{error}; say hello again")

    async def _report(self) -> None:
        async for report in self._reports:
            try:
                await self._tell_runner(report)
            except (ActorDeadError, Unavailable) as error:
                self.socket.close(CloseCode.TRY_AGAIN, f"{error}; come back")
                return

    async def _tell_runner(self, report: Any) -> None:
        if isinstance(report, Hello):
            return await self._introduce()
        assert self._runner is not None  # on_start() found it
        message = m.HeartbeatReceived(report) if isinstance(report, Heartbeat) else m.CommandResult(report)
        return await self._runner.send(message)

    async def _acknowledge(self) -> None:
        """Send acks: at once when idle; while much comes in, one frame a session every 20 ms, 64 events or 64 KiB."""
        while True:
            await self._acks_wake.wait()
            self._acks_wake, self._acks_full = trio.Event(), trio.Event()
            for ack in self._acks.take():
                self.socket.send_if(self._dialect.write(ack))
            with trio.move_on_after(ACK_SECONDS):
                await self._acks_full.wait()

    def _adapt_window(self) -> None:
        """A disk that is slow or full shrinks the window; the runner hears of it with an acknowledgement said again."""
        self._window = next_window(self._window, self._settings.window, self._context.disk, trio.current_time())
        last = self._feeder.any_ack()
        if self._window == self._window_announced or last is None:
            return
        if (self._window == 0) != (self._window_announced == 0):
            log.warning("window_changed", runner=self._identity.runner_id, window=self._window)
        session_id, seq = last
        self.socket.send_if(self._dialect.write(Ack(session_id=session_id, seq=seq, window=self._window)))
        self._window_announced = self._window

    async def _patrol(self) -> None:
        """Check for what no message tells: a runner's actor that started over and forgot us, events lost on the way."""
        while True:
            await trio.sleep(PATROL_SECONDS)
            self._feeder.patrol()
            self._adapt_window()
            if self._feeder.is_full and self._runner is not None:  # its heartbeats wait unread: that is our doing
                with suppress(ActorDeadError):
                    await self._runner.send(m.HeartbeatReceived(None))
            if self._runner is not None and self._runner.incarnation != self._runner_life:
                try:
                    await self._introduce()
                except Unavailable as error:
                    self.socket.close(CloseCode.TRY_AGAIN, f"{error}; come back")


def _masked_questions(told: OpenQuestions) -> OpenQuestions:
    return _open_questions.decode(masked_event(encode(told)))
