"""pykka's proxy, on a reference that outlives its actor."""

from typing import Any

from pykka import ActorProxy


class Proxy(ActorProxy[Any]):
    """Looks at the incarnation of today.

    pykka's proxy keeps the actor it was made from: it would pin a dead incarnation and describe it for ever.
    """

    @property
    def _actor(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.actor_ref._actor_weakref()  # pyright: ignore

    @_actor.setter
    def _actor(self, actor: Any) -> None:
        """pykka's __init__ assigns it; there is nothing to keep."""
