"""TrioActor: a pykka actor whose loop is a trio task."""

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sized
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Literal, Self

import pykka

from townwatch.runtime._future import Flag, TrioFuture
from townwatch.runtime._incarnation import Incarnation
from townwatch.runtime._mailbox import Mailbox
from townwatch.runtime._messages import GetState, LivenessPing
from townwatch.runtime._reasons import NORMAL
from townwatch.runtime._ref import ActorRef
from townwatch.runtime._spec import MailboxSpec
from townwatch.runtime._world import current_world

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
    """The fate of the message whose handler crashed. It is never retried silently:
    drop         counted in the mailbox as dropped by `crash`
    retry        the next incarnation gets it first, `redeliveries` times; then it is a dead letter
    dead_letter  recorded as one"""
    redeliveries: ClassVar[int] = 1
    trap_exits: ClassVar[bool] = False
    """True: the end of a linked actor arrives as a message `Exit(ref, reason)` instead of ending this one"""
    batch_size: ClassVar[int] = 32
    """messages handled between two checkpoints of the actor's task (handlers that await have their own)"""
    hibernate: ClassVar[bool] = False
    """True: under a supervisor it has no task while nothing waits for it. For actors of which there are thousands that
    mostly do nothing: it halves their memory, and waking costs a message some 10 µs. Not together with `lifespan()`."""
    child_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """defaults of `supervision.child()` for this class: {"restart": "transient"}"""
    stop_grace: ClassVar[float] = 1.0
    """seconds that `on_stop()` and `on_failure()` have when the actor was cancelled"""

    actor_inbox: Mailbox  # pyright: ignore[reportIncompatibleVariableOverride]
    actor_stopped: Flag  # pyright: ignore[reportIncompatibleVariableOverride]
    _actor_ref: ActorRef[Any]  # pyright: ignore[reportIncompatibleVariableOverride]

    _incarnation: Incarnation
    _rebinding: tuple[ActorRef[Any] | None, bool] | None = None
    """set before `__init__()` runs: the address to take over (None: a new one), and whether it is supervised"""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Override it, and call `super().__init__()` first. Runs in the caller of `start()`, before `on_start()`."""
        # pykka's __init__ is not called: it makes a new URN, inbox and reference for every incarnation.
        address, supervised = self._rebinding or (None, False)
        self._rebinding = None
        self.actor_stopped = Flag()  # pyright: ignore[reportIncompatibleVariableOverride]
        self._incarnation = Incarnation(self, supervised, self.lifespan if type(self)._has_lifespan else None)
        if address is None:
            self.actor_urn = new_urn()
            self.actor_inbox = self._create_actor_inbox()
            self._actor_ref = ActorRef(self)
            self.actor_inbox.owner = self._actor_ref
        else:
            self.actor_urn, self.actor_inbox, self._actor_ref = address.actor_urn, address.actor_inbox, address  # pyright: ignore
            address.rebind(self)

    _has_lifespan: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_lifespan = cls.lifespan is not TrioActor.lifespan
        if cls._has_lifespan and cls.hibernate:
            raise TypeError(f"{cls.__name__} has a lifespan(), which needs a task all the time: leave out `hibernate`")

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start an actor without a supervisor, in the innermost open world. From a task or any thread.

        Args:
            args, kwargs: for `__init__()`.

        Raises:
            RuntimeError: no world is open here.
            TypeError: `__init__()` did not call `super().__init__()`.
            Exception: what `__init__()` raised.
        """
        actor = cls._make(None, False, args, kwargs)
        logger.debug("Starting %s", actor)
        actor._start_actor_loop()
        return actor.actor_ref

    @classmethod
    def incarnate(cls, address: ActorRef[Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Incarnation:
        """Make a fresh instance behind `address`, or behind a new one, and return its incarnation: for supervisors."""
        return cls._make(address, True, args, kwargs)._incarnation

    @classmethod
    def _make(
        cls, address: ActorRef[Any] | None, supervised: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Self:
        actor = cls.__new__(cls)
        actor._rebinding = (address, supervised)
        actor.__init__(*args, **kwargs)
        ref = actor.actor_ref
        if address is None:
            actor.actor_inbox.world.register(ref)
        return actor

    @property
    def actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The actor's own address."""
        ref: ActorRef[Self] | None = getattr(self, "_actor_ref", None)
        if ref is None:
            raise TypeError(f"{type(self).__name__}.__init__() did not call super().__init__(): call it first")
        return ref

    # -- hooks

    def lifespan(self) -> AbstractAsyncContextManager[None] | AsyncGenerator[None, None]:
        """Hold what the actor needs as long as it runs: a connection, a nursery. Surrounds `on_start()` … `on_stop()`.

            async def lifespan(self):
                async with trio.open_nursery() as self.tasks:
                    yield
                    self.tasks.cancel_scope.cancel()

        Override it as an async generator that yields once (use `try … finally` for what must happen even when the
        actor is cancelled), or return an async context manager. What it raises, or a task of its nursery, crashes the
        actor.
        """
        raise NotImplementedError

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
        """Runs last, however the incarnation ended: killed, crashed, or before it had started. Must not wait. What it
        raises is logged.
        """

    def on_receive(self, message: Any) -> Any:
        """Handle a message; what it returns is the reply. The default logs a warning, as pykka's does."""
        return super().on_receive(message)

    def reply_later(self) -> TrioFuture[Any]:
        """Return a future for a handler that cannot answer yet: the handler returns it, and any task sets it when the
        answer is known. If the actor ends first, the asker gets ActorDeadError.
        """
        return self._incarnation.reply_later()

    def state_summary(self) -> dict[str, Any]:
        """Return an outline of the state for crash reports: shapes and small numbers, never contents."""
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
            world.spawn(self._incarnation.run, str(self))
        except RuntimeError as error:
            self._actor_ref.retire("noproc")
            raise RuntimeError(f"{self} was not started: its world is closed") from error

    async def _stop(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """pykka's handler of a stop message; here a coroutine, whose result must not become the reply."""
        await self._incarnation.stop(NORMAL)

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """pykka's hook for unexpected failures: log it. What follows from it is up to `Incarnation`."""
        logger.error("Unhandled exception in %s:", self, exc_info=(exception_type, exception_value, traceback))  # pyright: ignore

    def _handle_receive(self, message: Any) -> Any:
        match message:
            case LivenessPing():
                return None
            case GetState():
                return public_state(vars(self))
            case _:
                return super()._handle_receive(message)


def new_urn() -> str:
    """Return what `uuid.uuid4().urn` does, in a quarter of its time: a random UUID, version 4."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


RUNTIME_FIELDS = frozenset({"actor_urn", "actor_inbox", "actor_stopped"})
"""pykka's own public attributes of every actor"""
SUMMARY_LIMIT = 40
"""attributes in a summary"""


def public_state(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that pykka's proxies would show: those without a leading underscore, less pykka's own."""
    return {name: value for name, value in fields.items() if name[0] != "_" and name not in RUNTIME_FIELDS}


def summarize(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"frames": "deque of 3", "retries": 2, "token": "str of 40"}: numbers as they are, of all else the shape.

    Contents stay out: a report may end in a log, and state holds secrets.
    """
    own = [(name, value) for name, value in fields.items() if name not in RUNTIME_FIELDS and name != "_incarnation"]
    return {name: _shape(value) for name, value in own[:SUMMARY_LIMIT] if name != "_actor_ref"}


def _shape(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    kind = type(value).__name__
    if isinstance(value, str | bytes | bytearray | list | tuple | set | frozenset | dict):
        return f"{kind} of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
    try:
        return f"{kind} of {len(value)}" if isinstance(value, Sized) else kind
    except Exception:  # a __len__ that raises: a report must not fail on it
        return kind
