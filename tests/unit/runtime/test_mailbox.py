"""Mailboxes: bounds, policies, the system lane, and what is counted."""

import math
from typing import Any

import pytest
import trio
import trio.testing

from tests.support.actors import Recorder
from townwatch.runtime import (
    UNBOUNDED,
    ActorDeadError,
    Down,
    MailboxFull,
    MailboxOverflow,
    MailboxSpec,
    TrioActor,
    dead_letters,
    inspect,
    open_world,
)


class Slow(Recorder):
    """Takes a second for each message."""

    async def on_receive(self, message: Any) -> Any:
        await trio.sleep(1)
        return await super().on_receive(message)


def slow(policy: str, capacity: float = 3, key: Any = None) -> type[Slow]:
    return type("Slow", (Slow,), {"mailbox": MailboxSpec(capacity, policy, key)})  # type: ignore[arg-type]


async def in_hand(ref: Any) -> None:
    """The first message is in hand, the mailbox empty."""
    ref.tell("first")
    await trio.testing.wait_all_tasks_blocked()


# -- wait


async def test_wait_makes_senders_wait_in_turn(world, autojump_clock):
    ref = slow("wait", 2).start()
    sent = []
    for n in range(6):
        await ref.send(n)
        sent.append(trio.current_time())
    start = sent[0]
    assert [at - start for at in sent] == pytest.approx([0, 0, 0, 1, 2, 3], abs=0.01)


async def test_wait_refuses_a_plain_tell_that_cannot_wait(world, autojump_clock):
    ref = slow("wait", 1).start()
    await in_hand(ref)
    ref.tell("fits")
    with pytest.raises(MailboxFull, match="1 of 1 messages waiting"):
        ref.tell("does not")
    assert inspect(ref).mailbox.refused == 1


async def test_wait_keeps_the_order_of_those_who_wait_before_those_who_come_later(world, nursery, autojump_clock):
    ref = slow("wait", 1).start()
    await in_hand(ref)
    for n in range(5):
        nursery.start_soon(ref.send, n)
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(MailboxFull):
        ref.tell("jumps the queue")
    await trio.sleep(10)
    assert (await ref.get_state())["seen"] == ["first", 0, 1, 2, 3, 4]


async def test_a_cancelled_sender_has_sent_nothing(world, autojump_clock):
    ref = slow("wait", 1).start()
    await in_hand(ref)
    ref.tell("second")
    with trio.move_on_after(0.5) as scope:
        await ref.send("never")
    assert scope.cancelled_caught
    await ref.send("third")
    await trio.sleep(10)
    assert (await ref.get_state())["seen"] == ["first", "second", "third"]


async def test_senders_that_wait_for_a_dying_actor_are_told(nursery, autojump_clock):
    told = []

    async def send(ref: Any, n: int) -> None:
        with pytest.raises(ActorDeadError, match="it ended"):
            await ref.send(n)
        told.append(n)

    async with open_world():
        ref = slow("wait", 1).start()
        await in_hand(ref)
        ref.tell("hang")
        for n in range(3):
            nursery.start_soon(send, ref, n)
        await trio.testing.wait_all_tasks_blocked()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(told) == [0, 1, 2]


async def test_send_is_a_checkpoint(world):
    ref = Recorder.start()
    with trio.CancelScope() as scope:
        scope.cancel()
        await ref.send("cancelled before it was sent")
    assert scope.cancelled_caught
    assert (await ref.get_state())["seen"] == []


# -- refuse


async def test_refuse_tells_every_kind_of_sender(world, autojump_clock):
    ref = slow("refuse").start()
    await in_hand(ref)
    for n in range(3):
        ref.tell(n)
    with pytest.raises(MailboxFull):
        ref.tell(3)
    with pytest.raises(MailboxFull):
        await ref.send(3)
    with pytest.raises(MailboxFull):
        await ref.ask(3, block=False)
    with pytest.raises(MailboxFull):
        await ref.call(3)
    assert inspect(ref).mailbox.refused == 4


# -- drop_oldest


async def test_drop_oldest_keeps_the_newest_and_tells_the_evicted_asker(world, autojump_clock):
    ref = slow("drop_oldest").start()
    await in_hand(ref)
    evicted = ref.ask("evicted", block=False)
    for n in range(5):
        ref.tell(n)
    with pytest.raises(MailboxFull, match="evicted by a newer message"):
        await evicted
    report = inspect(ref).mailbox
    assert (report.depth, report.dropped, report.dropped_by) == (3, 3, {"drop_oldest": 3})
    await trio.sleep(10)
    assert (await ref.get_state())["seen"] == ["first", 2, 3, 4]


async def test_drop_oldest_never_drops_a_stop(world, autojump_clock):
    ref = slow("drop_oldest", 1).start()
    await in_hand(ref)
    stopped = ref.stop(block=False)
    for n in range(3):
        with pytest.raises(MailboxFull):
            ref.tell(n)
    assert await stopped is True


# -- coalesce


async def test_coalesce_replaces_a_waiting_message_in_its_place(world, autojump_clock):
    ref = slow("coalesce", 3, key=lambda message: message[0]).start()
    await in_hand(ref)
    for message in ("a1", "b1", "a2", "c1", "c2", "b2"):
        ref.tell(message)
    with pytest.raises(MailboxFull):
        ref.tell("d1")
    assert inspect(ref).mailbox.dropped_by == {"coalesce": 3}
    await trio.sleep(10)
    assert (await ref.get_state())["seen"] == ["first", "a2", "b2", "c2"]


async def test_coalesce_tells_the_asker_whose_message_was_superseded_and_answers_the_new_one(world, autojump_clock):
    ref = slow("coalesce", 3, key=lambda message: message[0]).start()
    await in_hand(ref)
    older, newer = ref.ask("a1", block=False), ref.ask("a2", block=False)
    with pytest.raises(MailboxFull, match="superseded"):
        await older
    assert await newer == "a2"


async def test_coalesce_leaves_what_is_in_hand_and_what_has_no_key(world, autojump_clock):
    ref = slow("coalesce", 9, key=lambda message: None if message.startswith("x") else message[0]).start()
    await in_hand(ref)
    for message in ("x1", "x2", "f1", "f2"):
        ref.tell(message)
    await trio.sleep(10)
    assert (await ref.get_state())["seen"] == ["first", "x1", "x2", "f2"]
    ref.tell("f3")
    await trio.sleep(2)
    assert (await ref.get_state())["seen"][-1] == "f3"


async def test_calls_by_proxy_pass_a_coalescing_mailbox_untouched(world, autojump_clock):
    ref = slow("coalesce", 9, key=lambda message: message["cell"]).start()
    ref.tell({"cell": 1})
    first, second = ref.proxy().seen, ref.proxy().seen
    assert await first is await second


# -- disconnect


async def test_disconnect_gives_up_what_waits_and_ends_the_actor(world, autojump_clock):
    failures = []

    class Cut(slow("disconnect", 2)):  # type: ignore[misc]
        def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
            failures.append(kind)

    ref, watcher = Cut.start(), Recorder.start()
    watcher.watch(ref)
    await in_hand(ref)
    ref.tell(1)
    waiting = ref.ask(2, block=False)
    with pytest.raises(MailboxFull):
        ref.tell(3)
    with pytest.raises(MailboxFull, match="too slow"):
        await waiting
    await trio.sleep(2)
    assert not ref.is_alive()
    assert failures == [MailboxOverflow]
    (down,) = (await watcher.get_state())["seen"]
    assert isinstance(down.reason, MailboxOverflow)
    assert ref.actor_inbox.report().dropped_by == {"disconnect": 2}


async def test_disconnect_cuts_a_handler_that_hangs(world, autojump_clock):
    ref = slow("disconnect", 1).start()
    ref.tell("hang")
    await trio.sleep(1.5)
    ref.tell(1)
    with pytest.raises(MailboxFull):
        ref.tell(2)
    await trio.sleep(0.1)
    assert not ref.is_alive()


# -- what is not bounded


async def test_stops_and_system_messages_always_fit(world, autojump_clock):
    ref, other = slow("refuse", 1).start(), Recorder.start()
    await in_hand(ref)
    ref.tell("fills it")
    ref.watch(other)
    await other.stop()
    stopped = ref.stop(block=False)
    await trio.sleep(10)
    assert await stopped is True


async def test_system_messages_overtake(world, autojump_clock):
    ref, other = Slow.start(), Recorder.start()
    ref.watch(other)
    await in_hand(ref)
    ref.tell("second")
    await other.stop()
    await trio.sleep(10)
    first, down, second = (await ref.get_state())["seen"]
    assert (first, type(down), second) == ("first", Down, "second")


async def test_an_unbounded_mailbox_takes_whatever_comes(world):
    class Pykka(Recorder):
        mailbox = UNBOUNDED

    ref = Pykka.start()
    for n in range(5000):
        ref.tell(n)
    assert inspect(ref).mailbox.capacity == math.inf
    assert len(await ref.proxy().seen) == 5000


# -- counters


async def test_depth_high_water_and_age_of_the_oldest(world, autojump_clock):
    ref = slow("wait", 10).start()
    await in_hand(ref)
    ref.tell(1)
    await trio.sleep(0.25)
    ref.tell(2)
    await trio.sleep(0.25)
    report = inspect(ref).mailbox
    assert (report.depth, report.high_water, report.capacity, report.policy) == (2, 2, 10, "wait")
    assert report.oldest == pytest.approx(0.5)
    await trio.sleep(10)
    report = inspect(ref).mailbox
    assert (report.depth, report.high_water, report.oldest, report.handled) == (0, 2, 0, 3)


async def test_a_refusal_is_told_to_telemetry(world, autojump_clock, events):
    ref = slow("refuse", 1).start()
    await in_hand(ref)
    ref.tell(1)
    with pytest.raises(MailboxFull):
        ref.tell(2)
    (fields,) = [fields for event, fields in events if event == "mailbox_full"]
    assert (fields["policy"], fields["capacity"], fields["message"]) == ("refuse", 1, "int")


async def test_messages_left_at_the_end_are_dead_letters_and_their_askers_are_told(world, autojump_clock, events):
    ref = Slow.start()
    await in_hand(ref)
    ref.request_stop()
    ref.tell("left over")
    asked = ref.ask("left over too", block=False)
    with pytest.raises(ActorDeadError, match=r"stopped before handling the message \(normal\)"):
        await asked
    assert [(letter.message, letter.why) for letter in dead_letters.recent()] == [
        ("left over", "stopped"),
        ("left over too", "stopped"),
    ]
    assert ref.actor_urn in dead_letters.recent()[0].to
    assert dead_letters.counts() == {"stopped": 2}
    assert [fields["why"] for event, fields in events if event == "dead_letter"] == ["stopped", "stopped"]


async def test_the_ring_of_dead_letters_is_bounded(world, autojump_clock):
    class Deep(Slow):
        mailbox = UNBOUNDED

    ref = Deep.start()
    await in_hand(ref)
    ref.request_stop()
    for n in range(dead_letters.KEPT + 100):
        ref.tell(n)
    await trio.sleep(5)
    assert len(dead_letters.recent()) == dead_letters.KEPT
    assert dead_letters.recent()[-1].message == dead_letters.KEPT + 99
    assert dead_letters.counts() == {"stopped": dead_letters.KEPT + 100}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"capacity": 0}, "at least 1"),
        ({"policy": "block"}, "unknown mailbox policy 'block'"),
        ({"policy": "coalesce"}, "needs `key`"),
        ({"key": str}, "only with it"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(wrong, says):
    with pytest.raises(ValueError, match=says):
        MailboxSpec(**wrong)


async def test_a_busy_mailbox_does_not_starve_the_loop(world):
    class Busy(TrioActor):
        mailbox = UNBOUNDED

        def on_receive(self, message: Any) -> None:
            pass

    ref = Busy.start()
    for n in range(Busy.batch_size * 50):
        ref.tell(n)
    turns = 0
    while len(ref.actor_inbox):
        turns += 1
        await trio.lowlevel.checkpoint()
    assert turns >= 50
