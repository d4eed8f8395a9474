"""One actor a runner: is it there, what was it told, what has it not answered yet.

A runner is online while it is heard, offline after `OFFLINE_SECONDS` (two missed heartbeats, never one). Commands
are kept by id until their result came (over a crash of this actor too), and are sent again to every new connection: a
runner drops those it has done already.
"""

import math
from typing import Any, Literal

import attrs
import structlog
import trio

from actors import messages as m
from actors.context import Context
from actors.directory import tell_if_alive
from actors.ports import Ref
from actors.runtime import Down, MailboxSpec, TrioActor
from actors.timers import After
from contracts.link import Command, Heartbeat, Hello, Result

log = structlog.get_logger("runner")

OFFLINE_SECONDS = 60.0
LEAST_SECONDS = 0.01
"""Between two looks: what is left may be less than a clock can tell apart."""
RESULT_TIMEOUT_SECONDS = 30.0
COMMANDS_KEPT = 1000

Status = Literal["online", "offline", "draining", "maintenance"]


@attrs.frozen(kw_only=True)
class RunnerState:
    """What is known of a runner. `heard_ms_ago`: any byte from it."""

    runner_id: str
    status: Status
    connected: bool
    hello: Hello | None
    heartbeat: Heartbeat | None
    heard_at: int | None
    commands_waiting: int


@attrs.define
class _Waiting:
    command: Command
    link: Ref | None = None
    """By which it went last."""
    done: trio.Event = attrs.field(factory=trio.Event)
    result: Result | None = None


class RunnerActor(TrioActor):
    """Messages: LinkUp, Beat, Settled, Down from its link; Send and SessionRestarted from sessions; Describe."""

    mailbox = MailboxSpec(capacity=1024, policy="wait")
    expected_errors = (m.RunnerOffline,)

    def __init__(self, context: Context, runner_id: str) -> None:
        super().__init__()
        self._context = context
        self.runner_id = runner_id
        self._link: Ref | None = None
        self._hello: Hello | None = None
        self._heartbeat: Heartbeat | None = None
        never: tuple[Status, float] = ("offline", -math.inf)
        known: tuple[Status, float] = context.heard.get(runner_id, never)
        self._status: Status = known[0]
        self._heard = known[1]
        self._heard_at: int | None = None
        self._waiting: dict[str, _Waiting] = context.orders.setdefault(runner_id, {})

    def on_start(self) -> None:
        self._context.directory.runners[self.runner_id] = self.actor_ref
        self._check()

    async def on_stop(self) -> None:
        tell_if_alive(self._link, m.CloseLink("the service stops"))

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.LinkUp():
                self._link_up(message)
            case m.Beat(heartbeat=heartbeat):
                self._hear()
                self._heartbeat = heartbeat or self._heartbeat
            case m.Settled(result=result):
                self._hear()
                self._settle(result)
            case m.Send():
                return self._send(message)
            case m.SessionRestarted(session_id=session_id, seq=seq):
                tell_if_alive(self._link, m.Rewind(session_id, seq))
            case Down(ref=ref) if ref is self._link:
                self._link = None
                self._check_later()
            case m.OfflineCheck():
                self._check()
            case m.Describe():
                return self._describe()
            case _:
                log.debug("ignored", kind=type(message).__name__)

    def _link_up(self, message: m.LinkUp) -> None:
        if self._link is not None and self._link is not message.link:
            tell_if_alive(self._link, m.CloseLink("replaced by a newer connection of the same runner", retry=False))
        self._link, self._hello = message.link, message.hello
        message.link.watch(self.actor_ref)
        self._hear()
        for waiting in self._waiting.values():
            self._tell(waiting)
        for state in self._context.board.of_runner(self.runner_id):
            if not state.ended:
                tell_if_alive(self._context.directory.sessions.get(state.session_id), m.RunnerBack())
        self._check_later()

    def _hear(self) -> None:
        self._heard, self._heard_at = trio.current_time(), self._context.clock.now_ms()
        self._context.heard[self.runner_id] = self._status, self._heard
        if self._status == "offline":
            self._become("online")

    def _check_later(self) -> None:
        tell_if_alive(self._context.timers, After(OFFLINE_SECONDS, self.actor_ref, m.OfflineCheck(0)))

    def _check(self) -> None:
        silent = trio.current_time() - self._heard
        if silent >= OFFLINE_SECONDS:
            if self._status == "online":
                self._become("offline")
        elif self._status == "online":
            left = max(OFFLINE_SECONDS - silent, LEAST_SECONDS)
            tell_if_alive(self._context.timers, After(left, self.actor_ref, m.OfflineCheck(0)))

    def _become(self, status: Status) -> None:
        log.info("runner_status", runner=self.runner_id, status=status)
        self._status = status
        self._context.heard[self.runner_id] = status, self._heard
        self._context.measure("runner_status", {"runner": self.runner_id, "status": status})
        self._context.taps.tell(f"runner:{self.runner_id}", [{"runnerId": self.runner_id, "status": status}])
        for village_id in {state.village_id for state in self._context.board.of_runner(self.runner_id)}:
            village = self._context.directory.villages.get(village_id)
            tell_if_alive(village, m.RunnerStatus(self.runner_id, status))

    def _send(self, message: m.Send) -> Any:
        """On its way, or kept for the next connection. With `wait`, the answer is an event to wait for, then a
        result.
        """
        command = message.command
        if self._link is None and not message.keep:
            raise m.RunnerOffline(f"runner {self.runner_id} is not connected")
        if command.command_id not in self._waiting:
            if len(self._waiting) >= COMMANDS_KEPT:
                raise m.RunnerOffline(f"runner {self.runner_id} has {COMMANDS_KEPT} unanswered commands")
            self._waiting[command.command_id] = _Waiting(command)
        waiting = self._waiting[command.command_id]
        if waiting.link is not self._link:
            self._tell(waiting)
        return waiting if message.wait else None

    def _tell(self, waiting: _Waiting) -> None:
        waiting.link = self._link
        tell_if_alive(self._link, m.Order(waiting.command))

    def _settle(self, result: Result) -> None:
        waiting = self._waiting.pop(result.command_id, None)
        if waiting is None:
            return
        if not result.ok and result.error is not None:
            log.warning(
                "command_failed", runner=self.runner_id, command=waiting.command.command, reason=result.error.message
            )
        waiting.result = result
        waiting.done.set()

    def _describe(self) -> RunnerState:
        return RunnerState(
            runner_id=self.runner_id,
            status=self._status,
            connected=self._link is not None,
            hello=self._hello,
            heartbeat=self._heartbeat,
            heard_at=self._heard_at,
            commands_waiting=len(self._waiting),
        )


async def command_result(runner: Ref, command: Command, timeout: float = RESULT_TIMEOUT_SECONDS) -> Result:
    """Send a command and wait for the runner's result. Raises `RunnerOffline` or `trio.TooSlowError`."""
    waiting = await runner.call(m.Send(command, wait=True, keep=False), timeout=5)
    with trio.fail_after(timeout):
        await waiting.done.wait()
    assert waiting.result is not None
    return waiting.result
