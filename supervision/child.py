"""One supervised child: its spec, its address, the incarnation of today."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs
import trio

from actors.runtime import KILLED, ActorDeadError, ActorRef, Reason
from actors.runtime._envelope import Envelope
from actors.runtime._life import Life
from actors.runtime._messages import System
from supervision.spec import ChildSpec

State = Literal["down", "starting", "up", "stopping", "restarting"]


@attrs.frozen(eq=False)
class Exited(System):
    """An incarnation ended by itself, or was ended."""

    child: "Child"
    life: Life
    reason: Reason


@attrs.frozen
class LastExit:
    """Why the last incarnation ended, and when (trio time)."""

    reason: Reason
    at: float


@attrs.define(eq=False)
class Child:
    """What a supervisor knows about one child."""

    spec: ChildSpec
    state: State = "down"
    ref: ActorRef[Any] | None = None
    life: Life | None = None
    failures: int = 0
    """in a row: what the backoff grows with"""
    attempt: int = 0
    """tells an old retry from the one that is awaited"""
    waits_until: float = 0.0
    """when its wait for a restart is over, if it is "restarting"; trio's clock"""
    restarts: int = 0
    born: float = 0.0
    last_exit: LastExit | None = None
    _over: bool = True
    """No incarnation is there."""
    _ended: trio.Event | None = None
    """For who waits until it is over; made by them, for there may be thousands of children."""
    _settled: trio.Event | None = None
    """Until it is up: set when it is, or when it is over before that."""
    _nursery: trio.Nursery | None = None
    _supervisor: ActorRef[Any] | None = None

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def alive(self) -> bool:
        """A task of it is running."""
        return self.state in ("up", "starting", "stopping")

    # -- starting

    async def start(self, nursery: trio.Nursery, path: str, supervisor: ActorRef[Any]) -> None:
        """Start an incarnation and wait until its `on_start()` has returned.

        Raises what `__init__()` or `on_start()` raised, trio.TooSlowError after the spec's start_timeout.
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
            self._ready_the_mailbox(self.ref)
        actor = spec.actor.incarnate(self.ref, spec.args, dict(spec.kwargs))
        if self.ref is None:
            self.ref = actor.actor_ref
            self.ref.set_path(path)
        life = self.life = actor._life
        if actor.hibernates:
            life.rouse = self._rouse
        self._nursery, self._supervisor = nursery, supervisor
        self._over, self._settled = False, trio.Event()
        settled = self._settled
        self._rouse()
        try:
            with trio.move_on_after(spec.start_timeout):
                await settled.wait()
        except BaseException:  # its supervisor ends, and nobody would look after it once it is up
            if self.state == "starting":
                life.cancel(KILLED)
            raise
        if self.state != "up":
            await self._abandon(life)

    def _rouse(self) -> None:
        """A task for the incarnation of today."""
        assert self._nursery is not None and self.ref is not None and self.life is not None
        name = f"{self.ref.path}#{self.ref.incarnation}"
        self._nursery.start_soon(self._host, self.life, name=name)

    async def _host(self, life: Life) -> None:
        """The child's task. It lives in the supervisor's nursery from the first step, so nothing is handed over
        (trio's `nursery.start()` leaves the task with its caller when that is cancelled: trio#284).
        """

        def started() -> None:
            assert life.scope is not None and self._settled is not None
            self._settled.set()
            self._settled = None
            if self.state != "starting":  # given up meanwhile: it must not outlive who started it
                return life.cancel(KILLED)
            life.scope.shield = True  # from here on only the supervisor ends it
            self.state, self.born = "up", trio.current_time()
            return None

        try:
            reason = await life.run(started)
        finally:
            if not life.asleep:
                self._over = True
                for waited_for in (self._ended, self._settled):
                    if waited_for is not None:
                        waited_for.set()
                self._ended = None
        if self._over and self._settled is None and self._supervisor is not None and self._supervisor.is_alive():
            self._supervisor.tell(Exited(self, life, reason))

    async def until_ended(self) -> None:
        """Returns when the incarnation of today is over."""
        if self._over:
            return await trio.lowlevel.checkpoint()
        if self._ended is None:
            self._ended = trio.Event()
        return await self._ended.wait()

    async def _abandon(self, life: Life) -> None:
        """It did not come up: end what there is of it, and raise why."""
        if not self._over:
            life.cancel(KILLED)
            with trio.CancelScope(shield=True):
                await self.until_ended()
            raise trio.TooSlowError(f"on_start() of {self.id!r} took longer than {self.spec.start_timeout:g} s")
        reason = life.reason
        raise reason if isinstance(reason, Exception) else ActorDeadError(f"{self.id!r} was stopped while starting")

    def _ready_the_mailbox(self, ref: ActorRef[Any]) -> None:
        mailbox = ref.actor_inbox
        mailbox.reopen()
        if self.spec.mailbox == "clear":
            gone = ActorDeadError(f"{ref} was restarted and its mailbox cleared")

            def bury(envelope: Envelope) -> None:
                ref.bury(envelope, "cleared", gone)

            mailbox.drain(bury)

    # -- stopping

    def request_stop(self) -> None:
        """Ask it to stop in order, or cancel it when its shutdown is brutal."""
        if not self.alive or (self.state == "starting" and self._over):  # whoever is to start it will see that
            self.state = "down"
            return
        assert self.ref is not None and self.life is not None
        if self.state == "starting" or self.spec.shutdown == "brutal":
            self.life.cancel(KILLED)
        elif self.state == "up":
            self.ref.actor_inbox.ask_to_stop()
        self.state = "stopping"

    async def terminate(self) -> bool:
        """Ask, wait, cancel; returns when it has ended. True if it had to be cancelled.

        trio has no kill(): code that ignores its cancellation holds its supervisor up.
        """
        self.request_stop()
        if self.state == "down":
            return False
        with trio.move_on_after(self.spec.shutdown_seconds):
            await self.until_ended()
        return await self.kill()

    async def kill(self) -> bool:
        """Cancel what has not ended; returns when it has. True if it was cancelled, now or before."""
        if self.state == "down":
            return False
        assert self.life is not None
        if not self._over:
            self.life.cancel(KILLED)
            await self.until_ended()
        self.note_exit(self.life.reason)
        return self.life.reason == KILLED

    def note_exit(self, reason: Reason) -> None:
        """It ended."""
        self.state, self.last_exit = "down", LastExit(reason, trio.current_time())

    def bury(self, reason: Reason) -> None:
        """Nobody will restart it: its address is dead, whoever waits or watches is told."""
        ref, self.ref = self.ref, None
        self.state = "down"
        if ref is not None:
            ref.retire(reason)


@attrs.frozen
class ChildInfo:
    """What `which_children()` tells about a child. ref: None while it has no address."""

    id: str
    ref: ActorRef[Any] | None
    state: State
    type: str
    restart: str
    restarts: int
    incarnation: int
    keys: Mapping[str, str]


def info(child: Child) -> ChildInfo:
    """A child as data."""
    spec, ref = child.spec, child.ref
    incarnation = ref.incarnation if ref is not None else 0
    return ChildInfo(spec.id, ref, child.state, spec.type, spec.restart, child.restarts, incarnation, spec.keys)
