"""Messages that the runtime itself sends. Those derived from `System` overtake all others."""

from typing import TYPE_CHECKING, Any

import attrs
from pykka import messages as pykka_messages

from actors.runtime._reasons import Reason

if TYPE_CHECKING:
    from actors.runtime._ref import ActorRef

ActorStop = pykka_messages._ActorStop  # pyright: ignore[reportPrivateUsage]
"""pykka's own stop message. It keeps its place in the queue: what was sent before it is handled."""


class System:
    """Base of messages that overtake the others and never count against a mailbox's bound."""

    __slots__ = ()


@attrs.frozen(eq=False)
class Down(System):
    """A watched actor will never answer again.

    reason: `normal`, `shutdown`, `killed`, `noproc` (it was dead when the watch began) or the exception.
    """

    ref: "ActorRef[Any]"
    reason: Reason


@attrs.frozen(eq=False)
class Exit(System):
    """A linked actor ended; only actors with `trap_exits = True` see this, others end with it."""

    ref: "ActorRef[Any]"
    reason: Reason


@attrs.frozen
class Ping(System):
    """Answered with None by every actor whose `on_start()` has returned."""


@attrs.frozen
class GetState(System):
    """Answered with a shallow copy of the actor's public attributes."""


INTERNAL = frozenset(
    {
        ActorStop,
        pykka_messages.ProxyCall,
        pykka_messages.ProxyGetAttr,
        pykka_messages.ProxySetAttr,
        Ping,
        GetState,
    }
)
"""Exact types that the runtime handles by itself; everything else goes to `on_receive()`."""
