"""The address of an actor: one for all its incarnations."""

import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pykka
import trio
from pykka import ActorDeadError, ActorRegistry
from pykka.messages import ProxySetAttr

from actors.runtime import _registry, dead_letters
from actors.runtime._envelope import Envelope
from actors.runtime._errors import BlockingCallError
from actors.runtime._flag import Flag
from actors.runtime._future import TrioFuture
from actors.runtime._mailbox import NOTHING, Mailbox
from actors.runtime._messages import ActorStop, Down, Exit, GetState, Ping
from actors.runtime._proxy import Proxy
from actors.runtime._reasons import NOPROC, NORMAL, Reason, describe

if TYPE_CHECKING:
    from actors.runtime._actor import TrioActor

A = TypeVar("A", bound=pykka.Actor)


class ActorRef(pykka.ActorRef[A]):
    """pykka's ActorRef, which here outlives restarts: same URN, same mailbox, until nobody will restart the actor.

    `is_alive()` is about that final end; `is_up` says whether an incarnation is there to answer right now.
    """

    actor_inbox: Mailbox  # pyright: ignore[reportIncompatibleVariableOverride]
    incarnation: int
    """1 for the first; put it into acknowledgements to tell "came back" from "was there all the time"."""
    end_reason: Reason | None
    """why it ended for good, None while it is alive"""

    def __init__(self, actor: "TrioActor") -> None:
        super().__init__(actor)  # pyright: ignore
        self.actor_stopped = Flag()  # its own: pykka's is that of one incarnation
        self.incarnation = 1
        self.end_reason = None
        self.path: str | None = None
        self._watchers: dict[pykka.ActorRef[Any], None] | None = None
        self._proxy: Proxy | None = None

    # -- sending

    def tell(self, message: Any) -> None:
        """Send and go on. Never blocks a trio task.

        Raises ActorDeadError, or MailboxFull when a bounded mailbox does not take it. A thread is held up by a full
        mailbox of the policy `wait`.
        """
        mailbox = self.actor_inbox
        envelope = Envelope(message, None, mailbox.now())
        if threading.get_ident() == mailbox.thread:
            mailbox.offer(envelope)
        else:
            mailbox.put(envelope)

    async def send(self, message: Any) -> None:
        """`tell()` with back-pressure: waits for room under the policy `wait`, after those who came before."""
        mailbox = self.actor_inbox
        await mailbox.send(Envelope(message, None, mailbox.now()))

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

        Whatever goes wrong is in the future: ActorDeadError, MailboxFull, or what the handler raised.
        Raises BlockingCallError in a trio task that would block.
        """
        if block and trio.lowlevel.in_trio_run():
            raise BlockingCallError(
                "ask() would block the loop: use `await ref.call(message)` or `ask(…, block=False)`"
            )
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

    async def call(self, message: Any, timeout: float | None = 5.0) -> Any:
        """Ask and await the reply, waiting for room first under the policy `wait`. timeout: seconds, None: no limit.

        Raises what the handler raised, ActorDeadError if the actor dies, MailboxFull, trio.TooSlowError. After a
        timeout the message may still be handled later; its reply is then thrown away.
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
        await self.call(Ping(), timeout)

    async def get_state(self, timeout: float | None = 5.0) -> dict[str, Any]:
        """A shallow copy of the actor's public attributes; overtakes what is queued. Raises as `call()`."""
        return await self.call(GetState(), timeout)

    async def assign(self, attribute: str, value: Any, timeout: float | None = 5.0) -> None:
        """`proxy.attribute = value` for trio tasks, where pykka's assignment would block. `a.b` sets b of a."""
        await self.call(ProxySetAttr(tuple(attribute.split(".")), value), timeout)

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> TrioFuture[bool]: ...
    @overload
    def stop(self, *, block: Literal[True] = True, timeout: float | None = None) -> bool: ...
    @overload
    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any: ...
    def stop(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """pykka's: True if it was alive. In trio tasks `await ref.stop(block=False)`, else BlockingCallError."""
        if block and trio.lowlevel.in_trio_run():
            raise BlockingCallError("stop() would block the loop: use `await ref.stop(block=False)`")
        return super().stop(block=block, timeout=timeout)

    def proxy(self) -> Any:
        """pykka's proxy; the same one each time. Raises ActorDeadError if the actor is not alive."""
        if self._proxy is None or not self.is_alive():
            self._proxy = Proxy(actor_ref=self)
        return self._proxy

    # -- watching and linking

    @property
    def is_up(self) -> bool:
        """True while an incarnation is there whose `on_start()` has returned."""
        actor = self._actor_weakref()
        return self.is_alive() and actor is not None and actor._life.serving

    def watch(self, watcher: pykka.ActorRef[Any]) -> None:
        """Have `watcher` told `Down(self, reason)` once when this actor ended for good; at once if it has."""
        if not self.is_alive():
            watcher.tell(Down(self, NOPROC))
            return
        self._watchers = self._watchers if self._watchers is not None else {}
        self._watchers[watcher] = None

    def unwatch(self, watcher: pykka.ActorRef[Any]) -> None:
        """End a watch; a Down that is on its way still arrives."""
        if self._watchers:
            self._watchers.pop(watcher, None)

    def link(self, other: "ActorRef[Any]") -> None:
        """From now on these two fail together: when an incarnation of one ends with a reason other than `normal`,
        the other ends with the same reason, or is told `Exit(ref, reason)` if it traps exits. A link ends with
        either incarnation: link again in `on_start()`.
        """
        mine, theirs = self._actor_weakref(), other._actor_weakref()
        if mine is None or not self.is_alive():
            other.exit(NOPROC, self)
        elif theirs is None or not other.is_alive():
            self.exit(NOPROC, other)
        else:
            mine._life.links[other] = None
            theirs._life.links[self] = None

    def unlink(self, other: "ActorRef[Any]") -> None:
        """Undo `link()`."""
        for one, two in ((self, other), (other, self)):
            actor = one._actor_weakref()
            if actor is not None:
                actor._life.links.pop(two, None)

    def exit(self, reason: Reason, sender: "ActorRef[Any] | None" = None) -> None:
        """Erlang's exit signal: the actor is cancelled where it stands and ends with `reason`.

        An actor that traps exits gets `Exit(sender, reason)` instead, except for `killed`. `normal` is ignored.
        """
        with suppress(trio.RunFinishedError):  # an actor whose whole trio run is over has ended already
            self.actor_inbox.world.on_loop(lambda: self._signal(reason, sender or self))

    def _signal(self, reason: Reason, sender: "ActorRef[Any]") -> None:
        actor = self._actor_weakref()
        if actor is None or not self.is_alive() or reason == NORMAL:
            return
        if actor.trap_exits and reason != "killed":
            self.tell(Exit(sender, reason))
        else:
            actor._life.cancel(reason)

    def cut(self, reason: Reason) -> None:
        """End the incarnation of today where it stands, whether it traps exits or not. On the loop only."""
        actor = self._actor_weakref()
        if actor is not None:
            actor._life.cancel(reason)

    # -- the runtime's side

    _retired = False

    def adopt(self, actor: "TrioActor") -> None:
        """A new incarnation moves in behind this address."""
        self._actor_weakref = weakref.ref(actor)  # pyright: ignore
        self.incarnation += 1

    def close(self, reason: Reason) -> None:
        """Nothing is taken in any more. pykka does this before `on_stop()`: what comes later finds a dead actor."""
        if self.actor_stopped.is_set():
            return
        ActorRegistry.unregister(self)
        if self.path is not None:
            _registry.unname(self.path, self)
        self.end_reason = reason
        self.actor_stopped.set()
        self.actor_inbox.close(f"{self} not found: it ended ({describe(reason)})")

    def retire(self, reason: Reason) -> None:
        """The end for good: those still waiting are answered, watchers are told. Safe to call twice."""
        self.close(reason)
        if self._retired:
            return
        self._retired, self.end_reason = True, reason
        self._answer_the_rest(reason)
        watchers, self._watchers = self._watchers or {}, None
        for watcher in watchers:
            with suppress(ActorDeadError):
                watcher.tell(Down(self, reason))

    def _answer_the_rest(self, reason: Reason) -> None:
        mailbox = self.actor_inbox
        late = ActorDeadError(f"{self} stopped before handling the message ({describe(reason)})")

        def bury(envelope: Envelope) -> None:
            self.bury(envelope, "stopped", late)

        mailbox.drain(bury)
        for envelope in (*mailbox.queue, *(mailbox.system or ())):
            if isinstance(envelope.message, ActorStop):
                if envelope.reply_to is not None:
                    envelope.reply_to.set(None)
            else:
                envelope.fail(late)
        mailbox.queue = NOTHING
        mailbox.system = None

    def bury(self, envelope: Envelope, why: str, error: BaseException) -> None:
        """Make a dead letter of a message that waited: its asker gets `error`."""
        self.actor_inbox.dead += 1
        envelope.fail(error)
        dead_letters.post(envelope.message, self.label, why)

    def set_path(self, path: str) -> None:
        """Make the actor findable: `whereis(path)`. The path also names it in logs, errors and metrics."""
        if self.path is not None:
            _registry.unname(self.path, self)
        self.path = path
        _registry.name(path, self)

    @property
    def label(self) -> str:
        """Class and path, or class and URN: how logs and dead letters name it."""
        return f"{self.actor_class.__name__} ({self.path or self.actor_urn})"
