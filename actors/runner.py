"""One actor a runner: is it there, what was it told, what has it not answered yet.

A runner is online while it is heard, offline after `OFFLINE_SECONDS` (two missed heartbeats, never one). Commands
are kept by id until their result came (over a crash of this actor too), and are sent again to every new connection: a
runner drops those it has done already. Those that were promised to a person are rows (`Promises`), read at each
connection and each heartbeat: what another process, or a crash, left untold is told then.

A session that two heartbeats in a row do not name, while nothing of it is on its way, is lost: the session is told.
"""

import math
from typing import Any, Literal

import attrs
import structlog
import trio

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.actors.session.signs import HeldBack
from townwatch.actors.timers import Alarm, Rings, tell_or_later
from townwatch.contracts.decoding.bridge import is_bridge
from townwatch.contracts.landing import LAND, LAND_OUTCOMES
from townwatch.contracts.link import CONVERSATIONS, Command, ErrorBody, Heartbeat, Hello, Result
from townwatch.runtime import Down, MailboxSpec, TrioActor

log = structlog.get_logger("runner")

OFFLINE_SECONDS = 60.0
PROMISED = frozenset({"start", "stop", "pause", "resume", "approve", "drain", LAND})
"""Commands that are rows."""
ACKLESS = frozenset({"start", "input", "stop", "pause", "resume", "approve"})
"""Commands that a runner of the dialect without acknowledgements understands."""
FEATURES = {
    "pause": "pause",
    "resume": "pause",
    "resize": "resize",
    "diff": "diff",
    "conversations": CONVERSATIONS,
    LAND: LAND,
    "land_status": LAND,
}
"""Commands that a runner with a list of features must have there."""
LANDS = "commit, push or merge for people"
NEWER = {LAND: LANDS, "land_status": LANDS, "conversations": "list conversations"}
"""Those that a runner without such a list does not have, either, and what it cannot do then."""
MISSED_BEATS = 2
"""Heartbeats in a row without a session after which it is lost."""
LEAST_SECONDS = 0.01
"""Between two looks: what is left may be less than a clock can tell apart."""
RESULT_TIMEOUT_SECONDS = 30.0
COMMANDS_KEPT = 1000

Status = Literal["online", "offline", "draining", "maintenance"]


@attrs.frozen(kw_only=True)
class RunnerState:
    """State of a runner. `heard_ms_ago`: any byte from it."""

    runner_id: str
    status: Status
    connected: bool
    hello: Hello | None
    heartbeat: Heartbeat | None
    heard_at: int | None
    commands_waiting: int
    clock_offset_ms: float | None = None
    """How far the service's clock is ahead of the runner's; None where it did not tell."""


@attrs.define
class _Waiting:
    command: Command
    link: Ref | None = None
    """The link that it was last sent on."""
    row: bool = False
    """True if the command is a row of the promises; it is dropped when the row is settled."""
    began_ms: int = 0
    sent_ms: int | None = None
    """When it was first given to a link."""
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Result | None = None


class RunnerActor(TrioActor):
    """Messages: LinkUp, HeartbeatReceived, CommandResult, Down from its link; CanDo, Send, LookAgain, SessionRestarted
    from sessions; Describe.
    """

    mailbox = MailboxSpec(capacity=1024, policy="wait")
    expected_errors = (m.RunnerOffline, m.Unsupported)

    def __init__(self, context: Context, runner_id: str) -> None:
        super().__init__()
        self._context = context
        self.runner_id = runner_id
        self._alarm = Alarm(context)
        self._link: Ref | None = None
        self._hello: Hello | None = None
        self._heartbeat: Heartbeat | None = None
        never: tuple[Status, float] = ("offline", -math.inf)
        known: tuple[Status, float] = context.last_seen.get(runner_id, never)
        self._status: Status = known[0]
        self._heard = known[1]
        self._heard_at: int | None = None
        self._waiting: dict[str, _Waiting] = context.pending_commands.setdefault(runner_id, {})
        self._lenient = False
        self._clock_offset_ms: float | None = None
        """How far our clock is ahead of its own, as of the last time it told."""
        self._missed: dict[str, int] = {}
        """Session → heartbeats in a row that did not have it."""
        self._seq_at_link: dict[str, int] = {}
        """Session → how far it was when this connection began."""

    def on_start(self) -> None:
        self._context.directory.runners[self.runner_id] = self.actor_ref
        self._check()

    async def on_stop(self) -> None:
        tell_if_alive(self._link, m.CloseLink("the service stops"))

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.LinkUp():
                self._link_up(message)
                await self._look()
            case m.HeartbeatReceived(heartbeat=heartbeat):
                self._hear()
                if heartbeat is not None:
                    self._heartbeat = heartbeat
                    self._clock_offset_ms = self._context.clock.now_ms() - heartbeat.ts
                    self._look_for_lost(heartbeat)
                    await self._look()
            case m.PoliciesChanged():
                tell_if_alive(self._link, message)
            case m.LookAgain():
                await self._look()
            case m.CommandResult(result=result):
                self._hear()
                await self._settle(result)
            case m.CanDo(command=command):
                self._check_can(command)
                return self._link is not None
            case m.Send():
                return self._send(message)
            case m.SessionRestarted(session_id=session_id, seq=seq):
                tell_if_alive(self._link, m.ResendFrom(session_id, seq))
            case Down(ref=ref) if ref is self._link:
                self._link = None
                self._check_later()
            case Rings():
                if self._alarm.answers(message):
                    self._check()
            case m.Describe():
                return self._describe()
            case _:
                log.debug("ignored", kind=type(message).__name__)

    def _link_up(self, message: m.LinkUp) -> None:
        if self._link is not None and self._link is not message.link:
            tell_if_alive(self._link, m.CloseLink("replaced by a newer connection of the same runner", retry=False))
        if self._link is not message.link:
            self._missed.clear()
            self._seq_at_link = {one.session_id: one.seq for one in self._context.board.of_runner(self.runner_id)}
        self._link, self._hello, self._lenient = message.link, message.hello, message.lenient
        self.actor_ref.watch(message.link)
        self._hear()
        self._compare_clocks(message.hello)
        for waiting in self._waiting.values():
            self._tell(waiting)
        self._check_later()

    def _compare_clocks(self, hello: Hello) -> None:
        """Record how far the runner's clock is behind ours, and what the runner held back while it was away."""
        self._context.held_back.pop(self.runner_id, None)
        if hello.clock is None:
            return
        self._clock_offset_ms = self._context.clock.now_ms() - hello.clock
        offset = self._clock_offset_ms
        held = {one.session_id: HeldBack(one.last_seq, offset) for one in hello.sessions}
        if held:
            self._context.held_back[self.runner_id] = held

    def _hear(self) -> None:
        self._heard, self._heard_at = trio.current_time(), self._context.clock.now_ms()
        self._context.last_seen[self.runner_id] = self._status, self._heard
        if self._status == "offline":
            self._become("online")
            self._check_later()  # it may fall silent again without its connection ending, as a bridge has none

    def _check_later(self) -> None:
        self._alarm.set(self.actor_ref, OFFLINE_SECONDS)

    def _check(self) -> None:
        silent = trio.current_time() - self._heard
        if silent >= OFFLINE_SECONDS:
            if self._status == "online":
                self._become("offline")
        elif self._status == "online":
            left = max(OFFLINE_SECONDS - silent, LEAST_SECONDS)
            self._alarm.set(self.actor_ref, left)

    def _become(self, status: Status) -> None:
        log.info("runner_status", runner=self.runner_id, status=status)
        self._status = status
        self._context.last_seen[self.runner_id] = status, self._heard
        self._context.measure("runner_status", {"runner": self.runner_id, "status": status})
        self._context.subscriptions.tell(f"runner:{self.runner_id}", [{"runnerId": self.runner_id, "status": status}])
        for village_id in {state.village_id for state in self._context.board.of_runner(self.runner_id)}:
            village = self._context.directory.villages.get(village_id)
            tell_or_later(self._context.timers, village, m.RunnerStatus(self.runner_id, status))

    def _send(self, message: m.Send) -> Any:
        """Send a command, or keep it for the next connection. With `wait`, the answer is an event to wait for, then a
        result.
        """
        command = message.command
        self._check_can(command.command)
        if self._link is None and not message.keep:
            raise m.RunnerOffline(f"runner {self.runner_id} is not connected")
        if command.command_id not in self._waiting:
            if len(self._waiting) >= COMMANDS_KEPT:
                raise m.RunnerOffline(f"runner {self.runner_id} has {COMMANDS_KEPT} unanswered commands")
            began_ms = self._context.clock.now_ms()
            self._waiting[command.command_id] = _Waiting(command, row=message.promised, began_ms=began_ms)
        waiting = self._waiting[command.command_id]
        if waiting.link is not self._link:
            self._tell(waiting)
        return waiting if message.wait else None

    def _tell(self, waiting: _Waiting) -> None:
        waiting.link = self._link
        if self._link is not None and waiting.sent_ms is None:
            waiting.sent_ms = self._context.clock.now_ms()
        tell_if_alive(self._link, m.SendCommand(waiting.command))

    def _check_can(self, command: str) -> None:
        """Raises `Unsupported` where this runner cannot do that, as far as it has said."""
        if is_bridge(self.runner_id):
            raise m.Unsupported("the session is reported by a bridge, which takes no orders: stop it where it runs")
        if self._hello is None:
            return
        if self._lenient and command not in ACKLESS:
            raise m.Unsupported(f"runner {self.runner_id} speaks a dialect that has no command {command}")
        features, needed = self._hello.capabilities.features, FEATURES.get(command)
        if needed is None or self._lenient or needed in features or not (features or command in NEWER):
            return
        if command in NEWER:
            raise m.Unsupported(
                f"runner {self.runner_id} is of a release that cannot {NEWER[command]}; install this one on its machine"
            )
        raise m.Unsupported(f"runner {self.runner_id} cannot {command} a session: it has {', '.join(features[:20])}")

    async def _look(self) -> None:
        """Tell what is promised and was not told over this connection; forget what is promised no more."""
        try:
            promised = await self._context.promises.open_of(self.runner_id)
        except Exception as error:  # the rows stay: the next heartbeat looks again
            log.warning("promises_not_read", runner=self.runner_id, reason=repr(error)[:300])
            return
        known = {command.command_id for command in promised}
        for command_id, waiting in list(self._waiting.items()):
            if waiting.row and command_id not in known:
                del self._waiting[command_id]
                void = ErrorBody(code="E_VOID", message="the session has ended, or the command's time is over")
                self._over(waiting, Result(command_id=command_id, ok=False, error=void))
        now = self._context.clock.now_ms()
        for command in promised:
            waiting = self._waiting.setdefault(command.command_id, _Waiting(command, row=True, began_ms=now))
            if self._link is not None and waiting.link is not self._link:
                self._tell(waiting)

    def _look_for_lost(self, beat: Heartbeat) -> None:
        """Count the sessions that it should have and does not name. It is asked only when nothing is left in its spool:
        what it has ended and not yet told is not lost.
        """
        if beat.spool.events or (beat.active_sessions is None and beat.active_session_count is None):
            return
        live = [one for one in self._context.board.of_runner(self.runner_id) if not one.ended and one.seq > 0]
        if beat.active_sessions is not None:
            named = frozenset(beat.active_sessions)
            gone = [one.session_id for one in live if one.session_id not in named]
        else:
            # Only how many it has. Those that were silent over this connection are the ones that it may not have; where
            # some of them are there and some are not, it is unknown which.
            silent = [one.session_id for one in live if one.seq <= self._seq_at_link.get(one.session_id, 0)]
            gone = silent if 0 < len(silent) <= len(live) - (beat.active_session_count or 0) else []
        self._missed = {session_id: self._missed.get(session_id, 0) + 1 for session_id in gone}
        lost = m.SessionLost("lost: its runner does not have it any more")
        for session_id, times in self._missed.items():
            if times < MISSED_BEATS:
                continue
            session = self._context.directory.alive(self._context.directory.sessions, session_id)
            if session is not None:
                tell_if_alive(session, lost)
            else:  # wake it; the next heartbeat tells it
                tell_if_alive(self._context.router, m.LocateSession(session_id))

    async def _settle(self, result: Result) -> None:
        kind = result.command_id.partition(":")[0]
        waiting = self._waiting.get(result.command_id)
        if waiting is None or kind != LAND or not self._waits_for_people(result):
            self._waiting.pop(result.command_id, None)  # else its outcome comes later, and this connection brings it
        if kind == LAND:
            if waiting is not None and not self._tell_landed(waiting.command.session_id or "", result):
                waiting.link = None  # its row is open: the next heartbeat tells it again
        elif kind in PROMISED:
            reason = result.error.message if result.error is not None else None
            try:
                await self._context.promises.settle(self.runner_id, result.command_id, result.ok, reason)
            except Exception as error:  # the row stays open: it is told again, and answered as now
                log.warning("result_not_kept", command=result.command_id, reason=repr(error)[:300])
        if waiting is None:
            return
        if not result.ok and result.error is not None:
            log.warning(
                "command_failed", runner=self.runner_id, command=waiting.command.command, reason=result.error.message
            )
        self._over(waiting, result)

    def _waits_for_people(self, result: Result) -> bool:
        """Return True for an order that people are asked about, whose runner will say what became of it."""
        features = self._hello.capabilities.features if self._hello is not None else []
        report = commands.report_of(result)
        return LAND_OUTCOMES in features and report is not None and report.waits

    def _tell_landed(self, session_id: str, result: Result) -> bool:
        """Give the result to the session, which puts it on record. False where its actor has to be started first: the
        next heartbeat tells the order again, and the runner answers as now.
        """
        session = self._context.directory.alive(self._context.directory.sessions, session_id)
        if session is not None:
            tell_if_alive(session, m.LandDone(result, self._waits_for_people(result)))
        else:
            tell_if_alive(self._context.router, m.LocateSession(session_id))
        return session is not None

    def _over(self, waiting: _Waiting, result: Result) -> None:
        waiting.result = result
        if waiting.done.is_set():
            return  # the outcome of what was answered, and counted, before
        waiting.done.set()
        times = {"began_ms": waiting.began_ms, "sent_ms": waiting.sent_ms}
        self._context.measure(
            "command", {"runner": self.runner_id, "command": waiting.command, "result": result, **times}
        )

    def _describe(self) -> RunnerState:
        return RunnerState(
            runner_id=self.runner_id,
            status=self._status,
            connected=self._link is not None,
            hello=self._hello,
            heartbeat=self._heartbeat,
            heard_at=self._heard_at,
            commands_waiting=len(self._waiting),
            clock_offset_ms=self._clock_offset_ms,
        )


async def command_result(runner: Ref, command: Command, timeout: float = RESULT_TIMEOUT_SECONDS) -> Result:
    """Send a command and wait for the runner's result. Raises `RunnerOffline` or `trio.TooSlowError`."""
    waiting = await runner.call(m.Send(command, wait=True, keep=False), timeout=5)
    with trio.fail_after(timeout):
        await waiting.done.wait()
    assert waiting.result is not None
    return waiting.result
