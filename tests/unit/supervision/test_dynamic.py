"""The dynamic supervisor: hard limits under storms, starts and stops side by side, the tree."""

import json
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.actors import Crash, Recorder
from townwatch.runtime import ActorDeadError, open_world, suspend, whereis
from townwatch.runtime.testing import leftovers
from townwatch.supervision import (
    Backoff,
    ChildError,
    ChildSpec,
    DynamicSupervisor,
    MaxIntensity,
    Rate,
    RateLimited,
    StartChild,
    Supervisor,
    TerminateChild,
    TooManyChildren,
    tree,
)


class Client(Recorder):
    """Takes a second to start and, if told so, to stop."""

    alive = 0
    peak = 0

    def __init__(self, trace: Any = None, start_seconds: float = 1, stop_seconds: float = 0, fails: Any = ()) -> None:
        super().__init__(trace)
        self.start_seconds, self.stop_seconds, self.fails = start_seconds, stop_seconds, fails

    async def on_start(self) -> None:
        Client.alive += 1
        Client.peak = max(Client.peak, Client.alive)
        await trio.sleep(self.start_seconds)
        if self.fails and self.fails.pop(0):
            Client.alive -= 1
            raise Crash

    async def on_stop(self) -> None:
        await trio.sleep(self.stop_seconds)
        Client.alive -= 1


def client(id: str, user: str = "u", **kwargs: Any) -> ChildSpec:
    options = {"restart": "temporary", **{k: kwargs.pop(k) for k in ("restart", "shutdown", "backoff") if k in kwargs}}
    return ChildSpec(id, Client, kwargs=kwargs, keys={"user": user, "address": "192.0.2.1"}, **options)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Client.alive = Client.peak = 0


async def start(**options: Any) -> Any:
    sup = DynamicSupervisor.start(**{"name": "clients", "intensity": 5, **options})
    await sup.ping()
    return sup


async def storm(sup: Any, specs: list[ChildSpec]) -> list[Any]:
    """Ask for all children at once; what each asker was answered."""
    answers: list[Any] = []

    async def connect(spec: ChildSpec) -> None:
        try:
            answers.append(await Supervisor.start_child(sup, spec))
        except Exception as error:
            answers.append(error)

    async with trio.open_nursery() as nursery:
        for spec in specs:
            nursery.start_soon(connect, spec)
    return answers


# -- limits


async def test_max_children_is_hard_under_a_storm(world, autojump_clock):
    sup = await start(max_children=5)
    answers = await storm(sup, [client(f"c{n}") for n in range(200)])
    refused = [answer for answer in answers if isinstance(answer, TooManyChildren)]
    assert (len(refused), Client.peak) == (195, 5)
    assert (refused[0].limit, refused[0].current, refused[0].allowed) == ("max_children", 5, 5)


async def test_the_limit_of_a_key_leaves_other_keys_alone(world, autojump_clock):
    sup = await start(max_per_key={"user": 2})
    answers = await storm(sup, [client(f"{user}{n}", user) for user in "ab" for n in range(50)])
    refused = [answer for answer in answers if isinstance(answer, TooManyChildren)]
    assert len(refused) == 96
    assert {(error.limit, error.key, error.retry_after) for error in refused} == {
        ("user", "a", None),
        ("user", "b", None),
    }


async def test_a_rate_limit_says_when_to_come_back(world, autojump_clock):
    sup = await start(rates={"address": Rate(per_second=2, burst=3)})
    answers = await storm(sup, [client(f"c{n}", start_seconds=0) for n in range(10)])
    refused = [answer for answer in answers if isinstance(answer, RateLimited)]
    assert len(refused) == 7
    assert refused[0].retry_after == pytest.approx(0.5)
    await trio.sleep(refused[0].retry_after)
    assert (await Supervisor.start_child(sup, client("again"))).is_alive()


async def test_places_are_given_back_however_a_child_goes(world, autojump_clock):
    sup = await start(max_children=1)
    ref = await Supervisor.start_child(sup, client("terminated"))
    await Supervisor.terminate_child(sup, "terminated")
    assert not ref.is_alive()
    ref = await Supervisor.start_child(sup, client("crashed"))
    ref.tell("crash")
    await trio.sleep(1)
    ref = await Supervisor.start_child(sup, client("stopped"))
    await ref.stop()
    await trio.sleep(1)
    with pytest.raises(Crash):
        await Supervisor.start_child(sup, client("did not start", fails=[True]))
    assert (await Supervisor.start_child(sup, client("last"))).is_alive()
    assert (await Supervisor.count_children(sup)).specs == 1


async def test_a_child_that_waits_for_its_restart_keeps_its_place(world, autojump_clock):
    sup = await start(max_children=1)
    ref = await Supervisor.start_child(sup, client("c", restart="permanent", backoff=Backoff(10, jitter=0)))
    ref.tell("crash")
    await trio.sleep(5)
    with pytest.raises(TooManyChildren):
        await Supervisor.start_child(sup, client("d"))
    await trio.sleep(10)
    assert (ref.is_up, ref.incarnation) == (True, 2)


# -- side by side


async def test_slow_starts_hold_nobody_up(world, autojump_clock):
    sup = await start()
    begin = trio.current_time()
    answers = await storm(sup, [client(f"c{n}", start_seconds=5) for n in range(20)])
    assert all(answer.is_alive() for answer in answers)
    assert trio.current_time() - begin == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("told", ["to stop", "to terminate it"])
async def test_a_child_that_is_stopped_before_its_start_began_never_starts(world, autojump_clock, told):
    sup = DynamicSupervisor.start()
    await sup.ping()
    Client.alive = 0
    start = sup.ask(StartChild(ChildSpec("c", Client)), block=False)
    end = sup.stop(block=False) if told == "to stop" else sup.ask(TerminateChild("c"), block=False)
    await end  # handled behind the start, before its task had a first step
    with pytest.raises(ActorDeadError):
        await start
    await trio.sleep(5)
    assert Client.alive == 0


async def test_all_stop_at_once_each_with_its_own_deadline(world, autojump_clock):
    sup = await start()
    await storm(sup, [client(f"c{n}", stop_seconds=3) for n in range(10)])
    await storm(
        sup, [client("late", stop_seconds=99, shutdown=4.0), client("brutal", stop_seconds=99, shutdown="brutal")]
    )
    begin = trio.current_time()
    assert await sup.stop() is True
    assert trio.current_time() - begin == pytest.approx(4, abs=0.1)
    assert leftovers() == []


async def test_a_child_can_be_terminated_while_it_starts(world, autojump_clock):
    sup = await start(max_children=1)
    starting = sup.ask(StartChild(client("c", start_seconds=9)), block=False)
    await trio.sleep(1)
    await Supervisor.terminate_child(sup, "c")
    with pytest.raises(ActorDeadError, match="stopped while starting"):
        await starting
    assert (await Supervisor.count_children(sup)).specs == 0
    assert (await Supervisor.start_child(sup, client("d"))).is_alive()


async def test_a_child_that_waits_for_its_restart_can_be_terminated(world, autojump_clock):
    sup = await start()
    ref = await Supervisor.start_child(sup, client("c", restart="permanent", backoff=Backoff(10, jitter=0)))
    ref.tell("crash")
    await trio.sleep(1)
    await Supervisor.terminate_child(sup, "c")
    await trio.sleep(20)
    assert (ref.is_alive(), await Supervisor.which_children(sup)) == (False, [])


async def test_the_askers_of_starts_are_told_when_the_supervisor_ends(nursery, autojump_clock):
    told = []

    async def ask(future: Any) -> None:
        with pytest.raises(ActorDeadError):
            await future
        told.append(True)

    async with open_world():
        sup = await start()
        nursery.start_soon(ask, sup.ask(StartChild(client("c", start_seconds=99)), block=False))
        await trio.sleep(1)
    await trio.testing.wait_all_tasks_blocked()
    assert told == [True]


# -- restarts


async def test_a_crash_restarts_only_that_child_behind_the_same_address(world, autojump_clock):
    sup = await start()
    one, two = await storm(sup, [client("one", restart="transient"), client("two", restart="transient")])
    one.tell("crash")
    assert await one.call("back") == "back"
    assert (one.incarnation, two.incarnation) == (2, 1)


async def test_restarts_that_fail_are_retried_until_the_budget_is_spent(world, autojump_clock):
    watcher = Recorder.start()
    sup = await start(intensity=3)
    watcher.watch(sup)
    ref = await Supervisor.start_child(
        sup, client("c", restart="permanent", start_seconds=0, fails=[False] + [True] * 9)
    )
    ref.tell("crash")
    await trio.sleep(10)
    assert not sup.is_alive()
    (down,) = (await watcher.get_state())["seen"]
    assert isinstance(down.reason, MaxIntensity)


async def test_ids_are_unique_and_nothing_is_ever_down(world, autojump_clock):
    sup = await start()
    await Supervisor.start_child(sup, client("c"))
    for call, argument, code in [
        (Supervisor.start_child, client("c"), "already_started"),
        (Supervisor.restart_child, "c", "running"),
        (Supervisor.delete_child, "c", "running"),
        (Supervisor.terminate_child, "x", "not_found"),
    ]:
        with pytest.raises(ChildError) as raised:
            await call(sup, argument)
        assert raised.value.code == code


# -- the tree


async def test_the_tree_as_data(world, autojump_clock):
    clients = ChildSpec("clients", DynamicSupervisor, kwargs={"max_children": 10, "intensity": 7})
    top = Supervisor.start(
        [ChildSpec("store", Recorder), clients], "rest_for_one", name="root", intensity=3, period=60.0
    )
    await top.ping()
    first = await Supervisor.start_child(whereis("root/clients"), client("c1"))
    whereis("root/store").tell("crash")
    await trio.sleep(10)
    assert not first.is_alive()
    await Supervisor.start_child(whereis("root/clients"), client("c2"))
    whereis("root/clients/c2").tell("hang")
    await trio.sleep(2)
    root = tree(top)
    assert (root.id, root.kind, root.strategy, root.intensity, root.period, root.recent) == (
        "root", "supervisor", "rest_for_one", 3, 60.0, 1,
    )  # fmt: skip
    store, group = root.children
    assert (store.id, store.kind, store.state, store.restarts, store.incarnation) == ("store", "worker", "up", 1, 2)
    assert store.last_exit.reason == "Crash: on purpose"
    assert store.last_exit.age == pytest.approx(13, abs=0.1)
    assert store.uptime == pytest.approx(13, abs=0.1)
    assert (store.mailbox.capacity, store.mailbox.depth, store.mailbox.dropped) == (1024, 0, 0)
    assert (group.kind, group.strategy, group.intensity, group.last_exit.reason) == (
        "supervisor",
        "one_for_one",
        7,
        "shutdown",
    )
    assert [(node.id, node.in_hand, node.path) for node in group.children] == [("c2", "str", "root/clients/c2")]
    text = json.dumps(root.as_dict())
    assert '"path": "root/clients/c2"' in text


async def test_the_tree_shows_those_who_start_wait_or_are_suspended(world, autojump_clock):
    sup = await start()
    sup.ask(StartChild(client("starting", start_seconds=99)), block=False)
    waits = await Supervisor.start_child(sup, client("waits", restart="permanent", backoff=Backoff(30, jitter=0)))
    rests = await Supervisor.start_child(sup, client("rests"))
    waits.tell("crash")
    suspend(rests)
    await trio.sleep(1)
    assert {node.id: node.state for node in tree(sup).children} == {
        "starting": "starting",
        "waits": "restarting",
        "rests": "suspended",
    }


async def test_a_big_tree_is_cut_and_says_so(world, autojump_clock):
    sup = await start()
    await storm(sup, [client(f"c{n}") for n in range(30)])
    root = tree(sup, limit=10)
    assert (len(root.children), root.more) == (10, 20)


class Unbending(Recorder):
    """Its start is in the hands of a thread, which cannot be cancelled."""

    async def on_start(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)


async def test_a_child_that_comes_up_as_its_supervisor_crashes_ends_with_it(nursery, autojump_clock):
    """Found by the simulation: it lived on, shielded and forgotten, and its supervisor waited for it for ever."""
    async with open_world():
        many = DynamicSupervisor.start(name="many")
        starting = many.ask(StartChild(ChildSpec(id="a", actor=Unbending, args=(None,))), block=False)
        await trio.sleep(0.5)
        many.exit(Crash("as it starts"), many)
        with trio.fail_after(5):
            with pytest.raises(ActorDeadError):
                await starting
            while many.is_alive():
                await trio.sleep(0.1)
        assert not leftovers()
