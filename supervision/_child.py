"""One supervised child: its spec, its address, the current incarnation."""

from typing import Any, Literal

import attrs
import trio

from townwatch.runtime import KILLED, ActorDeadError, ActorRef, Reason, System
from townwatch.runtime.kernel import Envelope, Incarnation
from townwatch.supervision.spec import ChildSpec

State = Literal["down", "starting", "up", "stopping", "restarting"]


@attrs.frozen(eq=False)
class Exited(System):
    """An incarnation ended by itself, or was ended."""

    child: "Child"
    ended: Incarnation
    reason: Reason


@attrs.frozen
class LastExit:
    """The reason and time (trio clock) of the last incarnation's end."""

    reason: Reason
    at: float


@attrs.define(eq=False)
class Child:
    """The state of one child, as its supervisor keeps it."""

    spec: ChildSpec
    state: State = "down"
    ref: ActorRef[Any] | None = None
    current: Incarnation | None = None
    failures: int = 0
    """failures in a row, with which the backoff grows"""
    attempt: int = 0
    """tells an old retry from the one that is awaited"""
    restart_at: float = 0.0
    """end of its wait for a restart, if it is "restarting"; trio's clock"""
    restarts: int = 0
    started_at: float = 0.0
    last_exit: LastExit | None = None
    _finished: bool = True
    """no incarnation is there"""
    _ended: trio.Event | None = None
    """set when the incarnation ends; made by the first that waits for it, for there may be thousands of children"""
    _started: trio.Event | None = None
    """there while it starts; set when it is up, or has ended before that"""
    _nursery: trio.Nursery | None = None
    _supervisor: ActorRef[Any] | None = None

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def alive(self) -> bool:
        """True while a task of it is running."""
        return self.state in ("up", "starting", "stopping")

    # -- starting

    async def start(self, nursery: trio.Nursery, path: str, supervisor: ActorRef[Any]) -> None:
        """Start an incarnation and wait until its `on_start()` has returned.

        Raises:
            trio.TooSlowError: `on_start()` took longer than the spec's start_timeout.
            Exception: what `__init__()` or `on_start()` raised.
        """
        self.state = "starting"
        try:
            await self._start(nursery, path, supervisor)
        except Exception as error:
            self.state, self.last_exit = "down", LastExit(error, trio.current_time())
            raise

    async def _start(self, nursery: trio.Nursery, path: str, supervisor: ActorRef[Any]) -> None:
        spec = self.spec
        if self.ref is not None:
            self._prepare_mailbox(self.ref)
        current = self.current = spec.actor.incarnate(self.ref, spec.args, dict(spec.kwargs))
        if self.ref is None:
            self.ref = current.actor.actor_ref
            self.ref.set_path(path)
        if current.actor.hibernate:
            current.waker = self._spawn
        self._nursery, self._supervisor = nursery, supervisor
        self._finished, self._started = False, trio.Event()
        started = self._started
        self._spawn()
        try:
            with trio.move_on_after(spec.start_timeout):
                await started.wait()
        except BaseException:  # its supervisor ends, and would not look after it once it is up
            if self.state == "starting":
                current.cancel(KILLED)
            raise
        if self.state != "up":
            await self._fail_start(current)

    def _spawn(self) -> None:
        """Start a task for the current incarnation."""
        assert self._nursery is not None and self.ref is not None and self.current is not None
        name = f"{self.ref.path}#{self.ref.incarnation}"
        self._nursery.start_soon(self._host, self.current, name=name)

    async def _host(self, current: Incarnation) -> None:
        """Run the incarnation, in the supervisor's nursery from the first step, so that nothing is handed over
        (trio's `nursery.start()` leaves the task with its caller when that is cancelled: trio#284).
        """

        def started() -> None:
            assert current.scope is not None and self._started is not None
            self._started.set()
            self._started = None
            if self.state != "starting":  # given up meanwhile: it must not outlive the supervisor's start
                return current.cancel(KILLED)
            current.scope.shield = True  # from here on only the supervisor ends it
            self.state, self.started_at = "up", trio.current_time()
            return None

        try:
            reason = await current.run(started)
        finally:
            if not current.hibernating:
                self._finished = True
                for waited_for in (self._ended, self._started):
                    if waited_for is not None:
                        waited_for.set()
                self._ended = None
        if self._finished and self._started is None and self._supervisor is not None and self._supervisor.is_alive():
            self._supervisor.tell(Exited(self, current, reason))

    async def wait_ended(self) -> None:
        """Wait until the current incarnation has ended."""
        if self._finished:
            return await trio.lowlevel.checkpoint()
        if self._ended is None:
            self._ended = trio.Event()
        return await self._ended.wait()

    async def _fail_start(self, current: Incarnation) -> None:
        """End what there is of an incarnation that did not come up, and raise why."""
        if not self._finished:
            current.cancel(KILLED)
            with trio.CancelScope(shield=True):
                await self.wait_ended()
            raise trio.TooSlowError(f"on_start() of {self.id!r} took longer than {self.spec.start_timeout:g} s")
        reason = current.reason
        raise reason if isinstance(reason, Exception) else ActorDeadError(f"{self.id!r} was stopped while starting")

    def _prepare_mailbox(self, ref: ActorRef[Any]) -> None:
        mailbox = ref.actor_inbox
        mailbox.reopen()
        if self.spec.mailbox == "clear":
            gone = ActorDeadError(f"{ref} was restarted and its mailbox cleared")

            def give_up(envelope: Envelope) -> None:
                ref.record_dead_letter(envelope, "cleared", gone)

            mailbox.drain(give_up)

    # -- stopping

    def request_stop(self) -> None:
        """Ask it to stop in order, or cancel it when its shutdown is brutal."""
        if not self.alive or (self.state == "starting" and self._finished):  # the task that starts it will see that
            self.state = "down"
            return
        assert self.ref is not None and self.current is not None
        if self.state == "starting" or self.spec.shutdown == "brutal":
            self.current.cancel(KILLED)
        elif self.state == "up":
            self.ref.actor_inbox.ask_to_stop()
        self.state = "stopping"

    async def terminate(self) -> bool:
        """Ask, wait, cancel; return when it has ended: True if it had to be cancelled.

        trio has no kill(): code that ignores its cancellation holds its supervisor up.
        """
        self.request_stop()
        if self.state == "down":
            return False
        with trio.move_on_after(self.spec.stop_timeout):
            await self.wait_ended()
        return await self.kill()

    async def kill(self) -> bool:
        """Cancel it if it has not ended, and wait; return True if it was cancelled, now or before."""
        if self.state == "down":
            return False
        assert self.current is not None
        if not self._finished:
            self.current.cancel(KILLED)
            await self.wait_ended()
        self.record_exit(self.current.reason)
        return self.current.reason == KILLED

    def record_exit(self, reason: Reason) -> None:
        """Note that it ended, and why."""
        self.state, self.last_exit = "down", LastExit(reason, trio.current_time())

    def retire(self, reason: Reason) -> None:
        """End its address for good: askers and watchers are told."""
        ref, self.ref = self.ref, None
        self.state = "down"
        if ref is not None:
            ref.retire(reason)
