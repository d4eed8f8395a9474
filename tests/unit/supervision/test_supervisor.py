"""Supervisors at work: restarts, addresses that outlive them, budgets, stops in order, reports."""

import random
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.actors import Crash, Recorder
from townwatch.runtime import (
    ActorDeadError,
    MailboxSpec,
    Shutdown,
    TrioActor,
    dead_letters,
    inspect,
    open_world,
    suspend,
    whereis,
)
from townwatch.runtime.testing import leftovers
from townwatch.supervision import Backoff, ChildError, ChildSpec, MaxIntensity, StartFailed, Supervisor


class Worker(Recorder):
    """Writes + and - as it starts and stops, ! when it fails to start."""

    def __init__(self, name: str, trace: list[Any], fails: Any = (), stop_seconds: float = 0) -> None:
        super().__init__(trace)
        self.name, self.fails, self.stop_seconds = name, fails, stop_seconds

    async def on_start(self) -> None:
        if self.fails and self.fails.pop(0):
            self.trace.append(f"!{self.name}")
            raise Crash("did not start")
        self.trace.append(f"+{self.name}")

    async def on_stop(self) -> None:
        await trio.sleep(self.stop_seconds)
        self.trace.append(f"-{self.name}")

    async def on_receive(self, message: Any) -> Any:
        if message == "shutdown":
            raise Shutdown
        return await super().on_receive(message)


def specs(trace: list[Any], names: str = "abc", **options: Any) -> list[ChildSpec]:
    return [ChildSpec(name, Worker, (name, trace), **options) for name in names]


async def start(*args: Any, **kwargs: Any) -> Any:
    sup = Supervisor.start(*args, **{"name": "top", **kwargs})
    await sup.ping()
    return sup


async def settled(sup: Any) -> list[Any]:
    await trio.testing.wait_all_tasks_blocked()
    return await Supervisor.which_children(sup)


# -- restarts


@pytest.mark.parametrize(
    ("strategy", "trace"),
    [("one_for_one", "+b"), ("rest_for_one", "-c +b +c"), ("one_for_all", "-c -a +a +b +c")],
)
async def test_strategies(world, strategy, trace):
    events: list[str] = []
    sup = await start(specs(events), strategy)
    assert events == ["+a", "+b", "+c"]
    events.clear()
    whereis("top/b").tell("crash")
    await settled(sup)
    assert " ".join(events) == trace


async def test_simultaneous_crashes_cause_one_group_restart(world):
    events: list[str] = []
    sup = await start(specs(events), "one_for_all", intensity=1)
    events.clear()
    for name in "abc":
        whereis(f"top/{name}").tell("crash")
    await settled(sup)
    assert sup.is_alive()
    assert sorted(event for event in events if event[0] == "+") == ["+a", "+b", "+c"]


async def test_a_permanent_child_that_was_stopped_comes_back(world):
    events: list[str] = []
    sup = await start(specs(events, "a"))
    await whereis("top/a").stop()
    await settled(sup)
    assert events == ["+a", "-a", "+a"]


# -- the address


async def test_address_path_proxy_and_unread_messages_survive(world, autojump_clock):
    sup = await start(specs([], "a"), backoff=Backoff(10, jitter=0), intensity=9)
    ref = whereis("top/a")
    proxy, urn, body = ref.proxy(), ref.actor_urn, ref._actor_weakref()
    ref.tell("crash")
    for n in range(3):
        ref.tell(n)
    await trio.sleep(5)
    (child,) = await Supervisor.which_children(sup)
    assert (child.state, inspect(ref).state) == ("restarting", "down")
    ref.tell(3)
    answer = proxy.seen
    assert ref.is_alive()
    assert not ref.is_up
    assert await answer == [0, 1, 2, 3]
    assert (ref.actor_urn, ref.incarnation, whereis("top/a")) == (urn, 2, ref)
    assert ref._actor_weakref() is not body
    assert ref in leftovers()


async def test_a_proxy_shows_what_the_incarnation_of_today_has(world):
    class Growing(Worker):
        async def on_start(self) -> None:
            await super().on_start()
            if self.actor_ref.incarnation == 2:
                self.grown = "taller"

    await start([ChildSpec("a", Growing, ("a", []))])
    ref = whereis("top/a")
    proxy = ref.proxy()
    with pytest.raises(AttributeError):
        proxy.grown  # noqa: B018
    ref.tell("crash")
    await ref.call("after the crash")
    assert await proxy.grown == "taller"


async def test_a_mailbox_may_be_cleared_at_the_restart(world):
    await start(specs([], "a", mailbox="clear"))
    ref = whereis("top/a")
    ref.tell("crash")
    ref.tell("old")
    asked = ref.ask("old too", block=False)
    with pytest.raises(ActorDeadError, match="its mailbox cleared"):
        await asked
    assert await ref.call("new") == "new"
    assert (await ref.get_state())["seen"] == ["new"]
    assert dead_letters.counts() == {"crashed": 1, "cleared": 2}


async def test_down_is_for_the_end_for_good_only(world):
    watcher = Recorder.start()
    sup = await start(specs([], "a", restart="transient"))
    ref = whereis("top/a")
    watcher.watch(ref)
    ref.tell("crash")
    await settled(sup)
    assert (await watcher.get_state())["seen"] == []
    ref.tell("shutdown")
    await settled(sup)
    (down,) = (await watcher.get_state())["seen"]
    assert down.ref is ref
    assert isinstance(down.reason, Shutdown)


async def test_a_suspended_child_is_not_suspended_after_its_restart(world):
    await start(specs([], "a"))
    ref = whereis("top/a")
    suspend(ref)
    ref.exit("killed")
    assert await ref.call("hello") == "hello"


# -- the message in hand


class Retrying(Worker):
    """Crashes on "poison" always, on "once" in its first incarnation only."""

    message_in_hand = "retry"
    redeliveries = 2

    async def on_receive(self, message: Any) -> Any:
        if message == "poison" or (message == "once" and self.actor_ref.incarnation == 1):
            raise Crash
        return await super().on_receive(message)


async def test_a_class_may_choose_to_have_it_retried_first_and_in_order(world):
    await start([ChildSpec("a", Retrying, ("a", []))], intensity=9)
    ref = whereis("top/a")
    ref.tell("once")
    ref.tell("second")
    assert await ref.call("third") == "third"
    assert (await ref.get_state())["seen"] == ["once", "second", "third"]
    assert dead_letters.recent() == []


async def test_a_retried_ask_is_answered_by_the_next_incarnation(world):
    class Strict(Retrying):
        expected_errors = ()

    await start([ChildSpec("a", Strict, ("a", []))], intensity=9)
    assert await whereis("top/a").call("once") == "once"


async def test_a_poisoned_message_is_given_up_after_its_redeliveries(world):
    await start([ChildSpec("a", Retrying, ("a", []))], intensity=9)
    ref = whereis("top/a")
    ref.tell("poison")
    assert await ref.call("after") == "after"
    assert ref.incarnation == 4
    assert [(letter.message, letter.why) for letter in dead_letters.recent()] == [("poison", "retried")]


async def test_killed_in_a_handler_the_asker_is_told_and_what_waits_is_kept(world, autojump_clock):
    await start(specs([], "ab", shutdown=1.0), "one_for_all")
    a, b = whereis("top/a"), whereis("top/b")
    hanging, queued = b.ask("hang", block=False), b.ask("queued", block=False)
    await trio.testing.wait_all_tasks_blocked()
    a.tell("crash")
    with pytest.raises(ActorDeadError, match="while handling"):
        await hanging
    assert await queued == "queued"


# -- the budget


async def test_giving_up_escalates_and_the_top_gives_up_last(world, events):
    trace: list[str] = []
    sub = ChildSpec("sub", Supervisor, (specs(trace, "ab"),), {"intensity": 1})
    top, watcher = await start([*specs(trace, "x"), sub], intensity=1), Recorder.start()
    watcher.watch(top)
    for _ in range(4):
        whereis("top/sub/a").tell("crash")
        await trio.testing.wait_all_tasks_blocked()
    # crash 1: a is restarted; 2: sub gives up, top restarts it; 3: a is restarted; 4: sub gives up, and so does top
    assert " ".join(trace) == "+x +a +b +a -b +a +b +a -b -x"
    (down,) = (await watcher.get_state())["seen"]
    assert isinstance(down.reason, MaxIntensity)
    escalations = [(fields["supervisor"], fields["child"]) for event, fields in events if event == "escalated"]
    assert escalations == [("top/sub", "a"), ("top/sub", "a"), ("top", "sub")]


async def test_a_transient_supervisor_that_gave_up_stays_down_as_in_otp(world):
    sub = ChildSpec("sub", Supervisor, (specs([], "a"),), {"intensity": 0}, restart="transient")
    top = await start([sub])
    whereis("top/sub/a").tell("crash")
    (child,) = await settled(top)
    assert (child.state, child.ref) == ("down", None)


async def test_children_of_a_restarted_supervisor_are_found_again_by_path(world):
    sub = ChildSpec("sub", Supervisor, (specs([], "a"),), {"intensity": 0})
    await start([sub])
    old = whereis("top/sub/a")
    old.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    new = whereis("top/sub/a")
    assert new is not old
    assert not old.is_alive()
    assert await new.call("hello") == "hello"


async def test_a_supervisor_under_a_supervisor_has_the_path_its_parent_gives_it(world):
    sub = ChildSpec("sub", Supervisor, (specs([], "a"),), {"intensity": 0, "name": "mine"})
    await start([sub])
    for _ in range(2):
        assert whereis("mine") is None
        assert whereis("top/sub").path == "top/sub"
        whereis("top/sub/a").tell("crash")
        await trio.testing.wait_all_tasks_blocked()


async def test_if_one_does_not_start_those_before_it_are_stopped(world):
    trace: list[str] = []
    watcher = Recorder.start()
    sup = Supervisor.start([*specs(trace, "ab"), ChildSpec("c", Worker, ("c", trace, [True]))])
    watcher.watch(sup)
    with pytest.raises(ActorDeadError, match="child 'c' did not start: Crash"):
        await sup.ping()
    assert trace == ["+a", "+b", "!c", "-b", "-a"]
    assert isinstance((await watcher.get_state())["seen"][0].reason, StartFailed)


async def test_without_backoff_a_start_that_keeps_failing_burns_the_budget(world):
    trace: list[str] = []
    sup = await start([*specs(trace, "a"), ChildSpec("d", Worker, ("d", trace, [False] + [True] * 99))], intensity=3)
    whereis("top/d").tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert not sup.is_alive()
    assert trace == ["+a", "+d", "!d", "!d", "!d", "-a"]


async def test_a_constructor_that_raises_counts_as_a_failed_start(world):
    class Picky(Worker):
        def __init__(self, name: str, trace: list[Any]) -> None:
            super().__init__(name, trace)
            if self.actor_ref.incarnation == 2:
                raise Crash("not again")

    sup = await start([ChildSpec("a", Picky, ("a", []))], intensity=5)
    whereis("top/a").tell("crash")
    (child,) = await settled(sup)
    assert (child.state, child.incarnation, child.restarts) == ("up", 3, 2)


# -- backoff


async def test_each_failed_start_waits_longer_and_a_healthy_time_resets(world, autojump_clock):
    starts: list[float] = []
    plan = [False] + [True] * 6 + [False] * 9

    class Flaky(TrioActor):
        def on_start(self) -> None:
            starts.append(trio.current_time())
            if plan.pop(0):
                raise Crash

        def on_receive(self, message: Any) -> None:
            raise Crash

    backoff = Backoff(base=1, cap=8, jitter=0.5, reset_after=100)
    await start([ChildSpec("f", Flaky, backoff=backoff)], intensity=99, period=1e9, rng=random.Random(7))
    ref = whereis("top/f")
    begin = trio.current_time()
    ref.tell("crash")
    await trio.sleep(60)
    dice = random.Random(7)
    expected = [min(8, 2**n) * (1 - 0.5 * dice.random()) for n in range(7)]
    gaps = [b - a for a, b in zip([begin, *starts[1:]], starts[1:], strict=False)]
    assert gaps == pytest.approx(expected)
    await trio.sleep(200)
    before = len(starts)
    healthy_until = trio.current_time()
    ref.tell("crash")
    await trio.sleep(20)
    assert len(starts) == before + 1
    assert 0.5 <= starts[-1] - healthy_until <= 1


async def test_the_childs_own_backoff_goes_before_the_supervisors(world, autojump_clock):
    slow = specs([], "a", backoff=Backoff(5, jitter=0))
    sup = await start([*slow, *specs([], "b")], backoff=Backoff(1, jitter=0), intensity=9)
    for name in "ab":
        whereis(f"top/{name}").tell("crash")
    await trio.sleep(2)
    assert [child.state for child in await Supervisor.which_children(sup)] == ["restarting", "up"]


async def test_a_restart_loop_leaves_the_supervisor_responsive(world, autojump_clock):
    trace: list[str] = []
    doomed = ChildSpec("d", Worker, ("d", trace, [False] + [True] * 10_000))
    sup = await start([doomed, *specs(trace, "a")], intensity=10**6)
    whereis("top/d").tell("crash")
    for _ in range(50):
        children = {child.id: child.state for child in await Supervisor.which_children(sup)}
        assert children["a"] == "up"
    assert await sup.stop() is True


async def test_a_group_comes_back_together_after_the_wait(world, autojump_clock):
    trace: list[str] = []
    sup = await start(specs(trace), "rest_for_one", backoff=Backoff(10, jitter=0), intensity=9)
    trace.clear()
    whereis("top/b").tell("crash")
    await trio.sleep(5)
    assert trace == ["-c"]
    assert [child.state for child in await Supervisor.which_children(sup)] == ["up", "restarting", "down"]
    whereis("top/a").tell("crash")
    await trio.sleep(6)
    assert trace == ["-c"]  # b waits for a, which comes before it
    await trio.sleep(5)
    assert trace == ["-c", "+a", "+b", "+c"]


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
async def test_a_group_whose_waits_overlap_comes_back_after_the_longest(world, autojump_clock, strategy):
    trace: list[str] = []
    quick, slow = Backoff(1, jitter=0), Backoff(10, jitter=0)
    sup = await start([*specs(trace, "a", backoff=quick), *specs(trace, "b", backoff=slow)], strategy, intensity=9)
    begin = trio.current_time()
    whereis("top/b").tell("crash")
    await trio.sleep(2)
    if strategy == "one_for_all":
        await Supervisor.restart_child(sup, "a")
    whereis("top/a").tell("crash")
    trace.clear()
    await trio.sleep(7)
    assert trace == []  # a could be back, but b's wait is not over
    await trio.sleep(2)
    assert trace == ["+a", "+b"]
    assert trio.current_time() - begin == pytest.approx(11)


async def test_a_child_started_during_the_wait_comes_up_again_in_its_place(world, autojump_clock):
    trace: list[str] = []
    sup = await start(specs(trace, "ab"), "rest_for_one", backoff=Backoff(10, jitter=0), intensity=9)
    trace.clear()
    whereis("top/a").tell("crash")
    await trio.sleep(1)
    assert trace == ["-b"]
    await Supervisor.start_child(sup, ChildSpec("x", Worker, ("x", trace), backoff=Backoff(1, jitter=0)))
    whereis("top/x").tell("crash")
    await trio.sleep(5)
    assert trace == ["-b", "+x"]  # x could be back, but a comes first
    await Supervisor.restart_child(sup, "b")
    await trio.sleep(10)
    assert trace == ["-b", "+x", "+b", "-b", "+a", "+b", "+x"]


async def test_a_brutal_stop_runs_no_hook(world):
    trace: list[str] = []

    class Quick(Worker):
        def on_stop(self) -> None:  # type: ignore[override]
            trace.append("-q")

    sup = await start([ChildSpec("q", Quick, ("q", trace), shutdown="brutal")])
    await Supervisor.terminate_child(sup, "q")
    assert trace == ["+q"]


async def test_start_timeout_is_a_failed_start(world, autojump_clock):
    class Slow(TrioActor):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    sup = await start(intensity=0)
    begin = trio.current_time()
    with pytest.raises(trio.TooSlowError, match=r"on_start\(\) of 's' took longer than 3 s"):
        await Supervisor.start_child(sup, ChildSpec("s", Slow, start_timeout=3))
    assert trio.current_time() - begin == pytest.approx(3)
    assert await Supervisor.which_children(sup) == []


# -- children at run time


async def test_terminate_restart_delete_and_count(world):
    trace: list[str] = []
    sup = await start(specs(trace, "ab"))
    old = whereis("top/a")
    await Supervisor.terminate_child(sup, "a")
    assert (trace[-1], old.is_alive(), whereis("top/a")) == ("-a", False, None)
    count = await Supervisor.count_children(sup)
    assert (count.specs, count.active, count.supervisors, count.workers) == (2, 1, 0, 2)
    new = await Supervisor.restart_child(sup, "a")
    assert (trace[-1], new.is_alive(), await Supervisor.child_ref(sup, "a")) == ("+a", True, new)
    for call, id, code in [
        (Supervisor.restart_child, "a", "running"),
        (Supervisor.delete_child, "a", "running"),
        (Supervisor.terminate_child, "x", "not_found"),
        (Supervisor.child_ref, "x", "not_found"),
    ]:
        with pytest.raises(ChildError) as raised:
            await call(sup, id)
        assert (raised.value.code, raised.value.id) == (code, id)
    await Supervisor.terminate_child(sup, "a")
    await Supervisor.delete_child(sup, "a")
    assert [child.id for child in await Supervisor.which_children(sup)] == ["b"]


async def test_a_child_that_waits_for_its_restart_can_be_terminated(world, autojump_clock):
    sup = await start(specs([], "a"), backoff=Backoff(5, jitter=0), intensity=9)
    ref = whereis("top/a")
    ref.tell("crash")
    waiting = ref.ask("waiting", block=False)
    await trio.sleep(1)
    for call in (Supervisor.restart_child, Supervisor.delete_child):
        with pytest.raises(ChildError, match="restarting"):
            await call(sup, "a")
    await Supervisor.terminate_child(sup, "a")
    with pytest.raises(ActorDeadError):
        await waiting
    await trio.sleep(20)
    (child,) = await Supervisor.which_children(sup)
    assert child.state == "down"


async def test_start_child_gives_an_address_and_refuses_a_second_of_the_same_id(world):
    sup = await start()
    ref = await Supervisor.start_child(sup, ChildSpec("a", Worker, ("a", [])))
    assert await ref.call("hello") == "hello"
    with pytest.raises(ChildError, match="already started"):
        await Supervisor.start_child(sup, ChildSpec("a", Worker, ("a", [])))


async def test_a_child_that_does_not_start_leaves_nothing_behind(world):
    sup = await start()
    with pytest.raises(Crash):
        await Supervisor.start_child(sup, ChildSpec("a", Worker, ("a", [], [True])))
    assert await Supervisor.which_children(sup) == []
    assert leftovers() == [sup]


# -- stopping


async def test_children_stop_in_reverse_each_with_its_own_deadline(world, autojump_clock, events):
    trace: list[str] = []
    children = [
        ChildSpec("a", Worker, ("a", trace), {"stop_seconds": 2}),
        ChildSpec("b", Worker, ("b", trace), {"stop_seconds": 100}),  # too slow: cancelled after 5 s
        ChildSpec("c", Worker, ("c", trace), {"stop_seconds": 100}, shutdown="brutal"),
        ChildSpec("d", Worker, ("d", trace), {"stop_seconds": 30}, shutdown="infinity"),
    ]
    sup = await start(children)
    begin = trio.current_time()
    assert await sup.stop() is True
    assert trio.current_time() - begin == pytest.approx(30 + 0 + 5 + 2)
    assert trace[4:] == ["-d", "-a"]
    assert [fields["child"] for event, fields in events if event == "killed"] == ["c", "b"]


async def test_a_handler_that_hangs_is_cancelled_at_the_deadline(world, autojump_clock):
    sup = await start(specs([], "a", shutdown=7.0))
    ref = whereis("top/a")
    ref.tell("hang")
    await trio.testing.wait_all_tasks_blocked()
    begin = trio.current_time()
    await Supervisor.terminate_child(sup, "a")
    assert trio.current_time() - begin == pytest.approx(7)
    assert not ref.is_alive()


async def test_cancelling_the_world_still_stops_children_one_by_one_last_first(autojump_clock):
    trace: list[str] = []
    async with open_world():
        inner = ChildSpec("sub", Supervisor, ([ChildSpec("y", Worker, ("y", trace), {"stop_seconds": 3})],))
        await start([*specs(trace, "x"), inner, *specs(trace, "z")])
        begin = trio.current_time()
    assert trace == ["+x", "+y", "+z", "-z", "-y", "-x"]
    assert trio.current_time() - begin == pytest.approx(3)


@pytest.mark.parametrize(
    ("mode", "after_one", "after_both"),
    [("any_significant", False, False), ("all_significant", True, False)],
)
async def test_auto_shutdown(world, mode, after_one, after_both):
    significant = specs([], "ab", restart="transient", significant=True)
    sup = await start([*significant, *specs([], "c")], auto_shutdown=mode)
    a, b = whereis("top/a"), whereis("top/b")
    await a.stop()
    await trio.testing.wait_all_tasks_blocked()
    assert sup.is_alive() is after_one
    if after_one:
        await b.stop()
        await trio.testing.wait_all_tasks_blocked()
    assert sup.is_alive() is after_both


async def test_a_thousand_restarts_leave_nothing_behind(world):
    sup = await start(specs([], "abcd"), "one_for_all", intensity=10**6)
    tasks = trio.lowlevel.current_statistics().tasks_living
    dice = random.Random(1)
    for _ in range(250):
        whereis(f"top/{dice.choice('abcd')}").tell("crash")
        await settled(sup)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert len(leftovers()) == 5


# -- reports


async def test_a_crash_report_carries_all_there_is_to_know(world, autojump_clock, events):
    class Secretive(Worker):
        mailbox = MailboxSpec(capacity=10)

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.token, self.count = "s3cret", 7

    await start([ChildSpec("a", Secretive, ("a", []))], intensity=5, backoff=Backoff(4, jitter=0))
    ref = whereis("top/a")
    await trio.sleep(100)
    ref.tell("crash")
    ref.tell("next")
    await trio.sleep(1)
    (report,) = [fields["report"] for event, fields in events if event == "crashed"]
    assert isinstance(report.reason, Crash)
    assert (report.supervisor, report.child, report.actor, report.urn) == ("top", "top/a", "Secretive", ref.actor_urn)
    assert (report.phase, report.decision, report.delay, report.incarnation) == ("running", "restart", 4, 1)
    assert (report.message_type, report.waiting, report.restarts, report.recent) == ("str", 1, 0, 1)
    assert (report.intensity, report.period, report.strategy) == (5, 5.0, "one_for_one")
    assert report.uptime == pytest.approx(100)
    assert (report.state["token"], report.state["count"], report.state["seen"]) == ("str of 6", 7, "list of 0")
    assert "s3cret" not in str(report)
    await trio.sleep(10)
    (restart,) = [fields for event, fields in events if event == "restarted"]
    assert (restart["path"], restart["incarnation"], restart["restarts"]) == ("top/a", 2, 1)


async def test_a_state_summary_that_fails_does_not_hide_the_crash(world, events):
    class Broken(Worker):
        def state_summary(self) -> dict[str, Any]:
            raise RuntimeError("no idea")

    await start([ChildSpec("a", Broken, ("a", []))])
    whereis("top/a").tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    (report,) = [fields["report"] for event, fields in events if event == "crashed"]
    assert report.state == {"state_summary": "RuntimeError: no idea"}


async def test_a_failed_start_is_reported_as_one(world, events):
    sup = await start([ChildSpec("a", Worker, ("a", [], [False, True]))], intensity=5)
    whereis("top/a").tell("crash")
    await settled(sup)
    reports = [fields["report"] for event, fields in events if event == "crashed"]
    assert [(report.phase, report.decision) for report in reports] == [("running", "restart"), ("starting", "restart")]
