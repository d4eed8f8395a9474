"""Looking at actors without stopping them; telemetry; finding them."""

import uuid
from typing import Any

import pytest
import trio
import trio.testing
from pykka import ActorRegistry

from tests.support.actors import Crash, Recorder
from townwatch.runtime import TrioActor, inspect, open_world, resume, suspend, telemetry, trace, whereis
from townwatch.runtime._actor import new_urn


async def test_get_state_shows_public_attributes_and_overtakes_what_is_queued(world, autojump_clock):
    class Slow(Recorder):
        async def on_receive(self, message: Any) -> Any:
            await trio.sleep(1)
            return await super().on_receive(message)

    ref = Slow.start()
    for n in range(10):
        ref.tell(n)
    state = await ref.get_state()
    assert set(state) == {"trace", "seen"}
    assert len(state["seen"]) <= 1


async def test_inspect_sees_an_actor_that_hangs(world, autojump_clock):
    ref = Recorder.start()
    assert inspect(ref).state == "starting"
    ref.tell("hang")
    ref.tell("next")
    await trio.sleep(3)
    report = inspect(ref)
    assert (report.state, report.in_hand, report.mailbox.depth, report.actor) == ("up", "str", 1, "Recorder")
    assert report.in_hand_for == pytest.approx(3)
    assert inspect(ref).end is None


async def test_inspect_says_why_a_dead_actor_ended(world):
    ref = Recorder.start()
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert (inspect(ref).state, inspect(ref).end) == ("dead", "Crash: on purpose")


async def test_a_suspended_actor_answers_system_messages_only(world, autojump_clock):
    ref = Recorder.start()
    await ref.ping()
    suspend(ref)
    answer = ref.ask("later", block=False)
    await ref.ping()
    assert (inspect(ref).state, answer.done, (await ref.get_state())["seen"]) == ("suspended", False, [])
    resume(ref)
    assert await answer == "later"
    assert inspect(ref).state == "up"


async def test_trace_tells_types_times_and_outcomes_but_no_contents(world, nursery, autojump_clock):
    class Mixed(Recorder):
        async def on_receive(self, message: Any) -> Any:
            await trio.sleep(0.5)
            return await super().on_receive(message)

        def fail(self) -> None:
            raise Crash("on purpose")

    ref = Mixed.start()
    await ref.ping()
    entries: list[Any] = []

    async def watch() -> None:
        entries.extend(await trace(ref, duration=10))

    nursery.start_soon(watch)
    await trio.testing.wait_all_tasks_blocked()
    ref.tell("secret")
    ref.tell("secret")
    with pytest.raises(Crash):
        await ref.proxy().fail()
    await ref.ping()
    await trio.sleep(20)
    assert [(e.message_type, e.kind, e.outcome) for e in entries] == [
        ("str", "tell", "ok"),
        ("str", "tell", "ok"),
        ("ProxyCall", "ask", "Crash: on purpose"),
        ("LivenessPing", "system", "ok"),
    ]
    assert [e.waited for e in entries][:2] == pytest.approx([0, 0.5])
    assert [e.took for e in entries][:2] == pytest.approx([0.5, 0.5])
    assert "secret" not in str(entries)
    ref.tell("after the trace")
    await trio.sleep(1)
    assert len(entries) == 4


async def test_trace_keeps_the_latest_only(world, nursery, autojump_clock):
    ref = Recorder.start()
    await ref.ping()
    entries: list[Any] = []

    async def watch() -> None:
        entries.extend(await trace(ref, duration=1, limit=5))

    nursery.start_soon(watch)
    await trio.testing.wait_all_tasks_blocked()
    for n in range(50):
        ref.tell(n)
    await trio.sleep(2)
    assert len(entries) == 5


async def test_telemetry_tells_starts_stops_and_crashes(world, events):
    one, two = Recorder.start(), Recorder.start()
    await one.ping()
    await one.stop()
    two.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    told = [(event, fields["actor"], fields.get("reason")) for event, fields in events if "actor" in fields]
    assert told.count(("started", "Recorder", None)) == 2
    assert ("stopped", "Recorder", "normal") in told
    assert ("crashed", "Recorder", "Crash: on purpose") in told


async def test_a_subscriber_that_raises_harms_nobody(world, events):
    def broken(event: str, fields: dict[str, Any]) -> None:
        raise RuntimeError

    unsubscribe = telemetry.subscribe(broken)
    ref = Recorder.start()
    await ref.ping()
    unsubscribe()
    assert [event for event, _ in events] == ["started"]


async def test_whereis_finds_by_path_until_the_end(world):
    ref = Recorder.start()
    ref.set_path("hall/clock")
    assert whereis("hall/clock") is ref
    assert "hall/clock" in ref.label
    await ref.stop()
    assert whereis("hall/clock") is None


async def test_a_path_taken_over_is_not_forgotten_when_the_first_owner_ends(world):
    one, two = Recorder.start(), Recorder.start()
    one.set_path("desk")
    two.set_path("desk")
    await one.stop()
    assert whereis("desk") is two


async def test_an_actor_has_one_path_at_a_time(world):
    ref = Recorder.start()
    ref.set_path("old")
    ref.set_path("new")
    assert (whereis("old"), whereis("new")) == (None, ref)


async def test_a_world_knows_its_actors_and_pykkas_registry_is_left_alone(world):
    refs = [Recorder.start(), Recorder.start()]
    assert world.actors() == refs
    assert ActorRegistry.get_all() == []
    assert type(ActorRegistry._actor_refs) is list  # pykka's own
    await refs[0].stop()
    assert world.actors() == [refs[1]]


async def test_pykkas_registry_knows_the_actors_of_a_world_that_asks_for_it():
    class Special(Recorder):
        pass

    async with open_world(pykka_registry=True):
        refs = [Recorder.start(), Special.start()]
        assert ActorRegistry.get_all() == refs
        assert ActorRegistry.get_by_class(Recorder) == refs
        assert ActorRegistry.get_by_class_name("Special") == [refs[1]]
        assert ActorRegistry.get_by_urn(refs[0].actor_urn) is refs[0]
        ActorRegistry.broadcast("news", Special)
        assert (await refs[1].get_state())["seen"] == ["news"]
    assert ActorRegistry.get_all() == []


def test_urns_are_random_uuids_of_version_4():
    urns = {new_urn() for _ in range(1000)}
    assert len(urns) == 1000
    assert {uuid.UUID(urn).version for urn in urns} == {4}
    assert {uuid.UUID(urn).variant for urn in urns} == {uuid.RFC_4122}
    assert all(uuid.UUID(urn).urn == urn for urn in urns)


class Forgetful(TrioActor):
    def __init__(self) -> None:
        pass


async def test_an_actor_that_forgot_super_init_is_told_so(world):
    for start in (Forgetful.start, lambda: Forgetful.incarnate(None, (), {})):
        with pytest.raises(TypeError, match=r"Forgetful\.__init__\(\) did not call super\(\)\.__init__\(\)"):
            start()
