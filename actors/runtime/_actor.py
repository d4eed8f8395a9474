"""TrioActor: a pykka actor whose loop is a trio task."""

import logging
import os
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, cast

import pykka
from pykka import ActorRegistry

from actors.runtime._flag import Flag
from actors.runtime._future import TrioFuture
from actors.runtime._life import Life
from actors.runtime._mailbox import Mailbox
from actors.runtime._messages import GetState, Ping
from actors.runtime._reasons import NORMAL, Reason
from actors.runtime._ref import ActorRef
from actors.runtime._spec import MailboxSpec
from actors.runtime._state import public_state, summarize
from actors.runtime._world import current_world

logger = logging.getLogger("pykka")  # what pykka documents to be logged, where pykka documents it

InHand = Literal["drop", "retry", "dead_letter"]


class TrioActor(pykka.Actor):
    """An actor that is a trio task. Handlers, hooks and proxied methods may be `def` or `async def`.

        class Counter(TrioActor):
            mailbox = MailboxSpec(capacity=100, policy="refuse")

            async def on_receive(self, message): ...

        async with open_world():
            ref = Counter.start()
            await ref.call("hello")

    It handles one message at a time: while a handler awaits, the next message waits.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec()
    """bound and policy of this class's mailboxes"""
    expected_errors: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    """Exceptions that are answers: raised for an ask, they go to the asker and the actor lives. Any other is answered
    *and* crashes the actor, so that its supervisor sees it. The default is pykka's rule: every ask is answered and
    nothing crashes. Without an asker every exception crashes the actor, and `Shutdown` always ends it."""
    message_in_hand: ClassVar[InHand] = "dead_letter"
    """What becomes of the message whose handler crashed. Never retried silently:
    drop         counted in the mailbox as dropped by `crash`
    retry        the next incarnation gets it first, `redeliveries` times; then it is a dead letter
    dead_letter  recorded as one"""
    redeliveries: ClassVar[int] = 1
    trap_exits: ClassVar[bool] = False
    """True: the end of a linked actor arrives as a message `Exit(ref, reason)` instead of ending this one"""
    batch_size: ClassVar[int] = 32
    """messages handled between two checkpoints of the actor's task (handlers that await have their own)"""
    hibernates: ClassVar[bool] = False
    """True: under a supervisor it has no task while nothing waits for it. For actors of which there are thousands that
    mostly do nothing: it halves their memory, and waking costs a message some 10 µs. Not together with `_surround`."""
    stop_grace: ClassVar[float] = 1.0
    """seconds that `on_stop()` and `on_failure()` have when the actor was cancelled"""

    actor_inbox: Mailbox  # pyright: ignore[reportIncompatibleVariableOverride]
    actor_stopped: Flag  # pyright: ignore[reportIncompatibleVariableOverride]
    _actor_ref: ActorRef[Any]  # pyright: ignore[reportIncompatibleVariableOverride]

    _life: Life
    _surround: Callable[[Callable[[], Awaitable[Reason]]], Awaitable[Reason]] | None = None
    """what surrounds an incarnation: supervisors keep the nursery of their children here"""
    _moving_in: tuple[ActorRef[Any] | None, bool] | None = None
    """set by `incarnate()` before `__init__()` runs: the address to move in behind, and whether it is supervised"""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Override it, and call `super().__init__()` first. Runs in the caller of `start()`, before `on_start()`."""
        # pykka's __init__ is not called: it makes a new URN, inbox and reference for every incarnation.
        address, supervised = self._moving_in or (None, False)
        self._moving_in = None
        self.actor_stopped = Flag()  # pyright: ignore[reportIncompatibleVariableOverride]
        self._life = Life(self, supervised)
        if address is None:
            self.actor_urn = new_urn()
            self.actor_inbox = self._create_actor_inbox()
            self._actor_ref = ActorRef(self)
            self.actor_inbox.owner = self._actor_ref
        else:
            self.actor_urn, self.actor_inbox, self._actor_ref = address.actor_urn, address.actor_inbox, address  # pyright: ignore
            address.adopt(self)

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start an actor that nobody supervises, in the innermost open world. From a task or any thread.

        Raises RuntimeError without a world; what `__init__()` raises.
        """
        return cast("ActorRef[Self]", super().start(*args, **kwargs))

    @classmethod
    def incarnate(cls, address: ActorRef[Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        """A fresh instance behind `address`, or behind a new one: for supervisors."""
        actor = cls.__new__(cls)
        actor._moving_in = (address, True)
        actor.__init__(*args, **kwargs)
        if getattr(actor, "_actor_ref", None) is None:
            raise RuntimeError(f"{cls.__name__}.__init__() did not call super().__init__()")
        if address is None:
            ActorRegistry.register(actor._actor_ref)
        return actor

    @property
    def actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The actor's own address."""
        return self._actor_ref

    # -- hooks

    def on_start(self) -> Awaitable[None] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Runs in the actor's task before its first message. What it raises ends the actor; no other hook runs then.

        A supervisor waits for it: handshakes belong here, so that old messages do not reach a connection before it.
        """

    def on_stop(self) -> Awaitable[None] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Runs after the last message of an orderly end. What it raises is logged, and is the exit reason."""

    def on_failure(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None] | None:
        """Runs instead of `on_stop()` after a handler crashed or a linked actor's failure arrived."""

    def on_gone(self) -> None:
        """The last thing that runs, however the incarnation ended: killed, crashed, or before it had started. Must not
        wait. What it raises is logged.
        """

    def on_receive(self, message: Any) -> Any:
        """Handle a message; what it returns is the reply. The default logs a warning, as pykka's does."""
        return super().on_receive(message)

    def reply_later(self) -> TrioFuture[Any]:
        """For a handler that cannot answer yet: it returns this future, goes on to the next message, and somebody
        sets the future when the answer is known. If the actor ends first, the asker gets ActorDeadError.
        """
        return self._life.reply_later()

    def state_summary(self) -> dict[str, Any]:
        """What a crash report tells about the state: shapes and small numbers, never contents. Override to say more."""
        return summarize(vars(self))

    # -- the runtime's side: pykka's extension points

    @staticmethod
    def _create_future() -> TrioFuture[Any]:
        return TrioFuture()

    @classmethod  # static in pykka: a class method lets each class choose its mailbox
    def _create_actor_inbox(cls) -> Mailbox:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Mailbox(cls.mailbox, current_world())

    def _start_actor_loop(self) -> None:
        world = self.actor_inbox.world
        try:
            world.spawn(self._life.run, str(self))
        except RuntimeError as error:
            self._actor_ref.retire("noproc")
            raise RuntimeError(f"{self} was not started: its world is closed") from error

    async def _stop(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """pykka's handler of a stop message; here a coroutine, whose result must not become the reply."""
        await self._life.stop(NORMAL)

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """pykka's hook for unexpected failures: log it. What follows from it is up to `Life`."""
        logger.error("Unhandled exception in %s:", self, exc_info=(exception_type, exception_value, traceback))  # pyright: ignore

    def _handle_receive(self, message: Any) -> Any:
        match message:
            case Ping():
                return None
            case GetState():
                return public_state(vars(self))
            case _:
                return super()._handle_receive(message)


def new_urn() -> str:
    """`uuid.uuid4().urn` in a quarter of its time: a random UUID, version 4."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
