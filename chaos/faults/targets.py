"""Targets that a fault may hit, and how it finds them."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import attrs
import trio

from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.chaos.faults.disk import FaultyDisk
from townwatch.chaos.faults.faulty_sockets import FaultySocket, FaultySockets
from townwatch.runtime import ActorDeadError, whereis
from townwatch.runtime.tasks import TaskOwner
from townwatch.supervision import Node, tree

BACK_SECONDS = 15.0
"""How long a killed part may take to come back before the fault is answered anyway."""
LOOK_SECONDS = 0.001
NOT_BY_CHANCE = frozenset({"townwatch/listener", "townwatch/socketio", "townwatch/chaos", "townwatch/demo"})
"""Actors never picked at random: they carry this request, or are not part of the service."""


class NoTarget(Exception):
    """There is nothing to break by that name, or nothing of the kind."""


class Killed(Exception):
    """The reason of an actor that a fault ended."""


@attrs.define(eq=False, kw_only=True)
class FaultContext:
    """The service, as faults see it."""

    context: Context
    plugs: FaultySockets
    disk: FaultyDisk
    root: Callable[[], Ref | None] = lambda: None
    nursery: trio.Nursery | None = None
    last_recovery: Any = None
    """`townwatch.chaos.faults.vitals.Recovery`"""

    def nodes(self) -> list[Node]:
        """The whole tree, flat, top down."""
        root = self.root()
        return [] if root is None else list(_flat(tree(root, 100_000)))

    def actor(self, path: str | None, dice: Random, *, kind: str = "worker") -> tuple[str, Ref]:
        """The actor at `path`; without one, a class of actors by chance and one of these. Raises `NoTarget`."""
        if path is None:
            path = self._any_path(dice, kind)
        ref = whereis(path)
        if ref is None:
            raise NoTarget(f"there is no actor at {path!r}: GET /api/chaos names those there are")
        return path, ref

    def _any_path(self, dice: Random, kind: str) -> str:
        """Choose a path, by class first: a thousand clients must not keep the one router from being chosen."""
        classes: dict[str, list[str]] = {}
        for node in self.nodes()[1:]:
            if node.kind == kind and node.state == "up" and node.path and node.path not in NOT_BY_CHANCE:
                classes.setdefault(node.actor if kind == "worker" else node.path, []).append(node.path)
        if not classes:
            raise NoTarget(f"there is no {kind} that is up")
        return dice.choice(sorted(classes[dice.choice(sorted(classes))]))

    def connection(self, kind: str, name: str | None, dice: Random) -> FaultySocket:
        """An open connection of a kind (`runner`, `socket.io`), by the peer's address. Raises `NoTarget`."""
        found = [plug for plug in self.plugs.of_kind(kind) if plug.state == "well" and name in (None, plug.name)]
        if not found:
            raise NoTarget(f"there is no {kind} connection" + (f" from {name}" if name else ""))
        return dice.choice(found)

    async def kill(self, path: str, ref: Ref, why: str) -> float | None:
        """End it where it stands. Return the seconds until it answered again; None for one that does not come back by
        itself.
        """
        began, life = trio.current_time(), ref.incarnation
        comes_back = path.rpartition("/")[0] not in ("townwatch/clients", "townwatch/ledger/links")
        ref.kill(Killed(why))
        if not comes_back:
            return None
        with trio.move_on_after(BACK_SECONDS):
            while not await _answers(path, ref, life):  # noqa: ASYNC110 - it has no event that would tell
                await trio.sleep(LOOK_SECONDS)
            return trio.current_time() - began
        return None

    def later(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Run it in a task of its own, as long as the service runs."""
        if self.nursery is None:
            raise NoTarget("the service is starting or stopping")
        self.nursery.start_soon(work, *arguments)


class ChaosActor(TaskOwner):
    """Owns what faults leave running; when it ends, everything is well again."""

    def __init__(self, place: FaultContext) -> None:
        super().__init__()
        self._place = place

    def on_start(self) -> None:
        self._place.nursery = self._place.plugs.nursery = self.tasks

    def on_stop(self) -> None:
        self._place.plugs.heal()
        self._place.disk.delay, self._place.disk.full = 0.0, False


async def _answers(path: str, killed: Ref, life: int) -> bool:
    """Return True if a later incarnation of the killed actor is at `path` and handles messages."""
    now = whereis(path)
    if now is None or not now.is_up or (now is killed and now.incarnation <= life):
        return False
    try:
        await now.ping(timeout=None)  # its deadline is the caller's
    except ActorDeadError:
        return False
    return True


def _flat(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _flat(child)
