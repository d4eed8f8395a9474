"""What is seen of a tree without asking anybody in it."""

from typing import Any

import trio

from townwatch.runtime import TrioActor, open_world
from townwatch.supervision import ChildSpec, DynamicSupervisor, Supervisor, tree, waiting


class Busy(TrioActor):
    """Never done with its first message."""

    async def on_receive(self, message: Any) -> None:
        await trio.sleep_forever()


class Idle(TrioActor):
    hibernate = True


class Telling(TrioActor):
    note = "connected since noon"


async def test_how_much_waits_is_known_by_class_however_many_children_there_are(autojump_clock: Any) -> None:
    async with open_world():
        crowd = ChildSpec("crowd", DynamicSupervisor, kwargs={"name": "crowd"})
        root = Supervisor.start([ChildSpec("busy", Busy), crowd], name="root")
        await root.ping()
        children = {child.id: child.ref for child in root._actor_weakref()._children.values()}
        for number in range(1500):  # more than a page of the tree shows
            await Supervisor.start_child(children["crowd"], ChildSpec(f"i{number}", Idle))
        busy = await Supervisor.start_child(children["crowd"], ChildSpec("busy too", Busy))
        for _ in range(4):
            children["busy"].tell("work")
            busy.tell("work")
        await trio.testing.wait_all_tasks_blocked()
        counts = waiting(root)
        assert counts["Busy"] == 6  # one of four is in hand, twice
        assert counts["Idle"] == 0
        await root.stop()


async def test_what_an_actor_says_of_itself_stands_at_its_node(autojump_clock: Any) -> None:
    async with open_world():
        root = Supervisor.start([ChildSpec("telling", Telling), ChildSpec("silent", Busy)], name="root")
        await root.ping()
        assert [node.note for node in tree(root).children] == ["connected since noon", None]
        await root.stop()
