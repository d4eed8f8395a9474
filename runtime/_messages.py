"""The envelope that carries a message, and the messages that the runtime itself sends."""

from typing import Any, Generic, TypeVar

import attrs
from pykka import messages as pykka_messages
from pykka._envelope import Envelope as PykkaEnvelope

from townwatch.runtime._future import TrioFuture

R = TypeVar("R")

ActorStop = pykka_messages._ActorStop  # pyright: ignore[reportPrivateUsage]
"""pykka's own stop message. It keeps its place in the queue: what was sent before it is handled."""


class Ask(Generic[R]):
    """Base of a question: `class Balance(Ask[int])` tells the type checker that `await ref.call(Balance())` is an int.

    Any object can be a message; this base only adds the type of the reply.
    """

    __slots__ = ()


class System:
    """Base of messages that overtake the others and never count against a mailbox's bound."""

    __slots__ = ()


@attrs.frozen
class LivenessPing(System):
    """A question that every actor answers with None once its `on_start()` has returned."""


@attrs.frozen
class GetState(System):
    """A question that every actor answers with a shallow copy of its public attributes."""


INTERNAL = frozenset(
    {
        ActorStop,
        pykka_messages.ProxyCall,
        pykka_messages.ProxyGetAttr,
        pykka_messages.ProxySetAttr,
        LivenessPing,
        GetState,
    }
)
"""Exact types that the runtime handles by itself; everything else goes to `on_receive()`."""


class Envelope(PykkaEnvelope[Any]):
    """pykka's envelope, with the time when it was sent and how often its handler crashed."""

    __slots__ = ("crashes", "sent_at")

    reply_to: TrioFuture[Any] | None

    def __init__(self, message: Any, reply_to: TrioFuture[Any] | None = None, sent_at: float = 0.0) -> None:
        self.message = message
        self.reply_to = reply_to  # pyright: ignore[reportIncompatibleVariableOverride]
        self.sent_at = sent_at
        self.crashes = 0

    def fail(self, error: BaseException) -> None:
        """Tell the asker, if there is one, that no other answer will come."""
        if self.reply_to is not None:
            self.reply_to.fail(error)
