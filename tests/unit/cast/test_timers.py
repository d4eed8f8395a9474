"""Timers: messages for later, one task for all of them."""

from typing import Any, cast

import pytest
import trio

from townwatch.actors.timers import AGAIN_SECONDS, LOST_SECONDS, After, Alarm, Rings, Timers, tell_or_later
from townwatch.runtime import MailboxSpec, TrioActor, open_world


class _Context:
    """What of the context timers use."""

    timers: Any = None

    def __init__(self) -> None:
        self.due: list[Any] = []


class Listener(TrioActor):
    """Notes what it is told, and when; busy until a moment."""

    mailbox = MailboxSpec(capacity=1, policy="wait")

    def __init__(self, busy_until: float = 0.0) -> None:
        super().__init__()
        self.heard: list[tuple[str, float]] = []
        self.busy_until = busy_until

    async def on_receive(self, message: str) -> None:
        await trio.sleep_until(self.busy_until)
        self.heard.append((message, trio.current_time()))


class Picky(Listener):
    """Refuses what does not fit."""

    mailbox = MailboxSpec(capacity=1, policy="refuse")


async def test_each_timer_is_told_at_its_moment_whatever_the_order_they_were_set_in(autojump_clock: Any) -> None:
    async with open_world():
        timers, listener = Timers.start(cast(Any, _Context())), Listener.start()
        begun = trio.current_time()
        for delay in (3.0, 1.0, 2.0):
            timers.tell(After(delay, listener, f"{delay:g}"))
        await trio.sleep(10)
        heard = listener.proxy().heard
        assert [(name, round(at - begun, 6)) for name, at in await heard] == [("1", 1), ("2", 2), ("3", 3)]


@pytest.mark.parametrize("kind", [Listener, Picky])
async def test_a_full_mailbox_delays_its_own_timer_and_nobody_elses(autojump_clock: Any, kind: type[Listener]) -> None:
    async with open_world():
        timers, other = Timers.start(cast(Any, _Context())), Listener.start()
        busy = kind.start(trio.current_time() + 3)
        for name in ("in hand", "waiting", "late"):
            timers.tell(After(1.0, busy, name))
        timers.tell(After(1.0, other, "mine"))
        await trio.sleep(2)
        assert [name for name, _ in await other.proxy().heard] == ["mine"]
        await trio.sleep(2 + 2 * AGAIN_SECONDS)
        assert {name for name, _ in await busy.proxy().heard} == {"in hand", "waiting", "late"}


async def test_a_timer_for_somebody_who_is_gone_is_forgotten(autojump_clock: Any) -> None:
    async with open_world():
        timers, gone, other = Timers.start(cast(Any, _Context())), Listener.start(), Listener.start()
        timers.tell(After(2.0, gone, "nobody"))
        timers.tell(After(3.0, other, "mine"))
        await gone.stop()
        await trio.sleep(4)
        assert timers.is_alive()
        assert [name for name, _ in await other.proxy().heard] == ["mine"]


async def test_what_was_set_outlives_a_crash_of_who_keeps_the_time(autojump_clock: Any) -> None:
    async with open_world():
        context, listener = cast(Any, _Context()), Listener.start()
        timers = Timers.start(context)
        await timers.send(After(10.0, listener, "soon"))
        await trio.testing.wait_all_tasks_blocked()
        timers.exit(RuntimeError("planted"), timers)
        later = Timers.start(context)
        await later.send(After(10.0, listener, "later"))
        await trio.sleep(60)
        assert [what for what, _ in await listener.proxy().heard] == ["soon", "later"]


class Looker(TrioActor):
    """Looks a second later, and sooner whenever it is told to hurry."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self.looks: list[float] = []
        self.alarm = Alarm(context)

    def on_receive(self, message: Rings | str) -> None:
        if isinstance(message, str):
            self.alarm.set(self.actor_ref, 0.5)
        elif self.alarm.answers(message):
            self.looks.append(trio.current_time())
            self.alarm.set(self.actor_ref, 1.0)


async def test_an_alarm_rings_at_the_earliest_moment_it_was_set_to_and_once(autojump_clock: Any) -> None:
    async with open_world():
        context = cast(Any, _Context())
        context.timers = Timers.start(context)
        looker = Looker.start(context)
        begun = trio.current_time()
        looker.tell("hurry")
        for _ in range(10):
            await trio.sleep(0.9)
            looker.tell("hurry")
        await trio.sleep(3.4)
        looks = [round(at - begun, 6) for at in await looker.proxy().looks]
        assert looks == [0.5, *(round(0.9 * n + 0.5, 1) for n in range(1, 11)), 10.5, 11.5]


async def test_an_alarm_that_nobody_kept_or_that_was_lost_can_be_set_again(autojump_clock: Any) -> None:
    async with open_world():
        context = cast(Any, _Context())
        looker = Looker.start(context)
        looker.tell("hurry")  # while there are no timers
        await trio.sleep(1)
        context.timers = Timers.start(context)
        looker.tell("hurry")
        await trio.sleep(0.6)
        assert len(await looker.proxy().looks) == 1
        context.due.clear()  # lost
        await trio.sleep(LOST_SECONDS + 1)
        looker.tell("hurry")
        await trio.sleep(0.6)
        assert len(await looker.proxy().looks) == 2


async def test_what_finds_no_room_is_told_when_there_is_some(autojump_clock: Any) -> None:
    async with open_world():
        timers = Timers.start(cast(Any, _Context()))
        busy = Listener.start(trio.current_time() + 3)
        for name in ("in hand", "waiting", "later"):
            tell_or_later(timers, busy, name)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(4)
        assert [name for name, _ in await busy.proxy().heard] == ["in hand", "waiting", "later"]
