"""The runtime as a supervisor needs it: what starts, runs and ends incarnations behind an address.

`townwatch.supervision` is written with this and with `townwatch.runtime` alone; so can be another supervisor:

    incarnation = SomeActor.incarnate(address, args, kwargs)   # a new instance; address None: a new address
    reason = await incarnation.run(started)                    # in a task of the supervisor's
    address.retire(reason)                                     # when it is not to be started again
"""

from typing import Any

from townwatch.runtime._actor import TrioActor
from townwatch.runtime._incarnation import Incarnation
from townwatch.runtime._messages import Envelope
from townwatch.runtime._reasons import describe, is_expected, root_cause
from townwatch.runtime._ref import ActorRef

__all__ = ["Envelope", "Incarnation", "actor_behind", "describe", "incarnation_of", "is_expected", "root_cause"]


def actor_behind(ref: ActorRef[Any]) -> TrioActor | None:
    """Return the actor behind an address, or None between two incarnations and after the end.

    Only for looking at it on its own loop: its state belongs to it.
    """
    return ref._actor_weakref()  # pyright: ignore


def incarnation_of(ref: ActorRef[Any]) -> Incarnation | None:
    """Return the incarnation behind an address, or None as `actor_behind()` does."""
    actor = actor_behind(ref)
    return actor._incarnation if actor is not None else None
