"""The address of an actor: one for all its incarnations."""

import threading
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, ClassVar, Literal, Protocol, TypeVar, overload

import attrs
import pykka
import trio
from pykka import ActorDeadError
from pykka.messages import ProxySetAttr

from townwatch.runtime import _world, dead_letters
from townwatch.runtime._future import Flag, TrioFuture
from townwatch.runtime._mailbox import EMPTY, Mailbox
from townwatch.runtime._messages import ActorStop, Ask, Envelope, GetState, LivenessPing, System
from townwatch.runtime._proxy import Proxy
from townwatch.runtime._reasons import KILLED, NOPROC, NORMAL, BlockingCallError, Reason, describe

A = TypeVar("A", bound=pykka.Actor)
P = TypeVar("P")
R = TypeVar("R")


class Running(Protocol):
    """The part of an incarnation that its address uses."""

    serving: bool

    @property
    def links(self) -> "dict[ActorRef[Any], None]": ...
    def cancel(self, reason: Reason) -> None: ...


class Occupant(Protocol):
    """The part of an actor that its address uses."""

    trap_exits: ClassVar[bool]
    actor_stopped: Flag

    @property
    def _incarnation(self) -> Running: ...


class ActorRef(pykka.ActorRef[A]):
    """pykka's ActorRef, which here outlives restarts: same URN, same mailbox, until the actor has ended for good.

    `is_alive()` is about that final end; `is_up` says whether an incarnation is there to answer right now.
    """

    actor_inbox: Mailbox  # pyright: ignore[reportIncompatibleVariableOverride]
    incarnation: int
    """1 for the first; put it into acknowledgements to tell "came back" from "was there all the time"."""
    end_reason: Reason | None
    """why the actor ended for good, None while it is alive"""

    def __init__(self, actor: Occupant) -> None:
        super().__init__(actor)  # pyright: ignore
        self.actor_stopped = Flag()  # its own: pykka's is that of one incarnation
        self.incarnation = 1
        self.end_reason = None
        self.path: str | None = None
        self._watchers: dict[ActorRef[Any], None] | None = None
        self._end: TrioFuture[Reason] | None = None
        self._proxy: Proxy | None = None

    # -- sending

    def tell(self, message: Any) -> None:
        """Send and go on. Never blocks a trio task; a thread is held up by a full mailbox of the policy `wait`.

        Raises:
            ActorDeadError: the actor has ended for good.
            MailboxFull: a bounded mailbox did not take the message.
        """
        mailbox = self.actor_inbox
        envelope = Envelope(message, None, mailbox.now())
        if threading.get_ident() == mailbox.thread:
            mailbox.offer(envelope)
        else:
            mailbox.put(envelope)

    async def send(self, message: Any) -> None:
        """Send with back-pressure: wait for room under the policy `wait`, in turn. Raises as `tell()`."""
        mailbox = self.actor_inbox
        await mailbox.send(Envelope(message, None, mailbox.now()))

    @overload
    def ask(self, message: Ask[R], *, block: Literal[False], timeout: float | None = None) -> TrioFuture[R]: ...
    @overload
    def ask(self, message: Ask[R], *, block: Literal[True] = True, timeout: float | None = None) -> R: ...
    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> TrioFuture[Any]: ...
    @overload
    def ask(self, message: Any, *, block: Literal[True] = True, timeout: float | None = None) -> Any: ...
    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send and get the reply: as an awaitable future (`block=False`) or, in threads only, by waiting for it.

        In trio tasks prefer `call()`, which has a deadline. Whatever goes wrong is in the future: ActorDeadError,
        MailboxFull, or what the handler raised.

        Args:
            timeout: seconds a thread waits; None: for ever.

        Raises:
            BlockingCallError: this is a trio task, and the call would block it.
        """
        if block and trio.lowlevel.in_trio_run():
            raise BlockingCallError("ask() would block the loop: use `await ref.call(message)` or ask(…, block=False)")
        future: TrioFuture[Any] = TrioFuture()
        mailbox = self.actor_inbox
        envelope = Envelope(message, future, mailbox.now())
        try:
            if threading.get_ident() == mailbox.thread:
                mailbox.offer(envelope)
            else:
                mailbox.put(envelope)
        except Exception as error:
            future.fail(error)
        return future.get(timeout=timeout) if block else future

    @overload
    async def call(self, message: Ask[R], timeout: float | None = 5.0) -> R: ...
    @overload
    async def call(self, message: Any, timeout: float | None = 5.0) -> Any: ...
    async def call(self, message: Any, timeout: float | None = 5.0) -> Any:
        """Ask and await the reply, waiting for room first under the policy `wait`.

        After a timeout or a cancellation the message may still be handled later; its reply is then thrown away.

        Args:
            message: of any type; the reply to an `Ask[R]` is an R for the type checker.
            timeout: seconds; None: no limit.

        Raises:
            ActorDeadError: the actor has ended, or ends before it replies.
            MailboxFull: a bounded mailbox did not take the message.
            trio.TooSlowError: no reply came in time.
            Exception: what the handler raised.
        """
        future: TrioFuture[Any] = TrioFuture()
        mailbox = self.actor_inbox
        envelope = Envelope(message, future, mailbox.now())
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            if mailbox.must_wait(envelope):
                await mailbox.enter(envelope)
            else:
                mailbox.offer(envelope)
            return await future
        raise trio.TooSlowError(f"{self} did not answer {type(message).__name__} within {timeout} s")

    async def ping(self, timeout: float | None = 5.0) -> None:
        """Wait until `on_start()` has returned and the actor answers. Raises as `call()`."""
        await self.call(LivenessPing(), timeout)

    async def get_state(self, timeout: float | None = 5.0) -> dict[str, Any]:
        """Return a shallow copy of the actor's public attributes. Overtakes what is queued; raises as `call()`."""
        return await self.call(GetState(), timeout)

    async def assign(self, attribute: str, value: Any, timeout: float | None = 5.0) -> None:
        """Do `proxy.attribute = value` from a trio task, where pykka's assignment would block. `a.b` sets b of a."""
        await self.call(ProxySetAttr(tuple(attribute.split(".")), value), timeout)

    @overload
    def proxy(self) -> Any: ...
    @overload
    def proxy(self, protocol: type[P]) -> P: ...
    def proxy(self, protocol: Any = None) -> Any:
        """Return pykka's proxy, the same one each time. Raises ActorDeadError if the actor is not alive.

        Args:
            protocol: a Protocol, or a class made with `pykka.typing`, as which the type checker sees the proxy.
        """
        if self._proxy is None or not self.is_alive():
            self._proxy = Proxy(actor_ref=self)
        return self._proxy

    # -- ending

    @overload
    def stop(self, *, timeout: float | None = None) -> Coroutine[Any, Any, bool]: ...
    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> TrioFuture[bool]: ...
    @overload
    def stop(self, *, block: Literal[True], timeout: float | None = None) -> bool: ...
    def stop(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, block: bool | None = None, timeout: float | None = None
    ) -> Any:
        """Stop the actor after all that was sent before, and wait until it has stopped.

        In a trio task: `await ref.stop()`. In a thread it blocks, as pykka's does. A supervised permanent child comes
        back; `Supervisor.terminate_child()` ends it for good. To ask without waiting: `request_stop()`.

        Args:
            block: pykka's: True or None blocks a thread, False returns a future.
            timeout: seconds; None: no limit.

        Returns:
            True if the actor was alive, False if it had ended.

        Raises:
            BlockingCallError: `block=True` in a trio task.
            trio.TooSlowError: it did not stop in time (in a thread: pykka.Timeout).
        """
        if block is None and trio.lowlevel.in_trio_run():
            return self._stop_and_wait(timeout)
        if block and trio.lowlevel.in_trio_run():
            raise BlockingCallError("stop(block=True) would block the loop: use `await ref.stop()`")
        return super().stop(block=block is not False, timeout=timeout)

    async def _stop_and_wait(self, timeout: float | None) -> bool:
        try:
            await self.call(ActorStop(), timeout)
        except ActorDeadError:
            return False
        return True

    def request_stop(self) -> None:
        """Ask the actor to stop after all that was sent before, and go on. Does nothing when it has ended."""
        with suppress(ActorDeadError):
            self.tell(ActorStop())

    async def stopped(self) -> Reason:
        """Wait until the actor has ended for good, and return why. Asks nothing of it."""
        if self._end is None:
            self._end = TrioFuture()
            if self._retired:  # look again: it may have ended in another thread meanwhile
                self._tell_the_end()
        return await self._end

    def _tell_the_end(self) -> None:
        if self._end is not None and not self._end.done:
            self._end.set(self.end_reason)

    def kill(self, reason: Reason = KILLED) -> None:
        """Cancel the incarnation of today where it stands, whether it traps exits or not. On the loop only.

        Its supervisor sees `reason`, and restarts it by its rules.
        """
        actor = self._occupant()
        if actor is not None:
            actor._incarnation.cancel(reason)

    # -- watching and linking

    @property
    def is_up(self) -> bool:
        """True while an incarnation is there whose `on_start()` has returned."""
        actor = self._occupant()
        return self.is_alive() and actor is not None and actor._incarnation.serving

    def watch(self, watched: "ActorRef[Any]") -> None:
        """Have this actor told `Down(watched, reason)` once, when `watched` ended for good; at once if it has."""
        if not watched.is_alive():
            self.tell(Down(watched, NOPROC))
            return
        watched._watchers = watched._watchers if watched._watchers is not None else {}
        watched._watchers[self] = None

    def unwatch(self, watched: "ActorRef[Any]") -> None:
        """End a watch; a Down that is on its way still arrives."""
        if watched._watchers:
            watched._watchers.pop(self, None)

    def link(self, other: "ActorRef[Any]") -> None:
        """Make these two fail together.

        When an incarnation of one ends with a reason other than `normal`, the other ends with the same reason, or is
        told `Exit(ref, reason)` if it traps exits. A link ends with either incarnation: link again in `on_start()`.
        """
        mine, theirs = self._occupant(), other._occupant()
        if mine is None or not self.is_alive():
            other.exit(NOPROC, self)
        elif theirs is None or not other.is_alive():
            self.exit(NOPROC, other)
        else:
            mine._incarnation.links[other] = None
            theirs._incarnation.links[self] = None

    def unlink(self, other: "ActorRef[Any]") -> None:
        """Undo `link()`."""
        for one, two in ((self, other), (other, self)):
            actor = one._occupant()
            if actor is not None:
                actor._incarnation.links.pop(two, None)

    def exit(self, reason: Reason, sender: "ActorRef[Any] | None" = None) -> None:
        """Send Erlang's exit signal: the actor is cancelled where it stands and ends with `reason`.

        An actor that traps exits gets `Exit(sender, reason)` instead, except for `killed`. `normal` is ignored.
        """
        with suppress(trio.RunFinishedError):  # an actor whose whole trio run is over has ended already
            self.actor_inbox.world.on_loop(lambda: self._signal(reason, sender or self))

    def _signal(self, reason: Reason, sender: "ActorRef[Any]") -> None:
        actor = self._occupant()
        if actor is None or not self.is_alive() or reason == NORMAL:
            return
        if actor.trap_exits and reason != "killed":
            self.tell(Exit(sender, reason))
        else:
            actor._incarnation.cancel(reason)

    # -- the runtime's side

    _retired = False

    def _occupant(self) -> Occupant | None:
        return self._actor_weakref()  # pyright: ignore

    def rebind(self, actor: Occupant) -> None:
        """Put a new incarnation behind this address."""
        self._actor_weakref = weakref.ref(actor)  # pyright: ignore
        self.incarnation += 1

    def close(self, reason: Reason) -> None:
        """Take nothing in any more. pykka does this before `on_stop()`: what comes later finds a dead actor."""
        if self.actor_stopped.is_set():
            return
        self.actor_inbox.world.unregister(self, self.path)
        self.end_reason = reason
        self.actor_stopped.set()
        self.actor_inbox.close(f"{self} not found: it ended ({describe(reason)})")

    def retire(self, reason: Reason) -> None:
        """End for good: answer those still waiting, tell the watchers. Safe to call twice."""
        self.close(reason)
        if self._retired:
            return
        self._retired, self.end_reason = True, reason
        self._answer_the_rest(reason)
        self._tell_the_end()
        watchers, self._watchers = self._watchers or {}, None
        for watcher in watchers:
            with suppress(ActorDeadError):
                watcher.tell(Down(self, reason))

    def _answer_the_rest(self, reason: Reason) -> None:
        mailbox = self.actor_inbox
        late = ActorDeadError(f"{self} stopped before handling the message ({describe(reason)})")

        def give_up(envelope: Envelope) -> None:
            self.record_dead_letter(envelope, "stopped", late)

        mailbox.drain(give_up)
        for envelope in (*mailbox.queue, *(mailbox.system or ())):
            if isinstance(envelope.message, ActorStop):
                if envelope.reply_to is not None:
                    envelope.reply_to.set(None)
            else:
                envelope.fail(late)
        mailbox.queue = EMPTY
        mailbox.system = None

    def record_dead_letter(self, envelope: Envelope, why: str, error: BaseException) -> None:
        """Make a dead letter of a message that waited: its asker gets `error`."""
        self.actor_inbox.dead += 1
        envelope.fail(error)
        dead_letters.post(envelope.message, self.label, why)

    def set_path(self, path: str) -> None:
        """Make the actor findable: `whereis(path)`. The path also names it in logs, errors and metrics."""
        if self.path is not None:
            _world.unname(self.path, self)
        self.path = path
        _world.name(path, self)

    @property
    def label(self) -> str:
        """Class and path, or class and URN: the actor's name in logs and dead letters."""
        return f"{self.actor_class.__name__} ({self.path or self.actor_urn})"


@attrs.frozen(eq=False)
class Down(System):
    """A watched actor ended for good.

    reason: `normal`, `shutdown`, `killed`, `noproc` (it had ended when the watch began) or the exception.
    """

    ref: ActorRef[Any]
    reason: Reason


@attrs.frozen(eq=False)
class Exit(System):
    """A linked actor ended; only actors with `trap_exits = True` see this, others end with it."""

    ref: ActorRef[Any]
    reason: Reason
