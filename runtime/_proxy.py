"""pykka's proxy, on a reference that outlives its actor."""

from typing import Any

from pykka import ActorProxy


class Proxy(ActorProxy[Any]):
    """A proxy that looks at the current incarnation.

    pykka's proxy keeps the actor it was made from: it would pin a dead incarnation and describe it for ever.
    """

    @property
    def _actor(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.actor_ref._actor_weakref()  # pyright: ignore

    @_actor.setter
    def _actor(self, actor: Any) -> None:
        """Ignore pykka's assignment in __init__: there is nothing to keep."""
