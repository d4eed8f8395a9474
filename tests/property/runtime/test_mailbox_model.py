"""The mailbox against a model of twenty lines, program by program.

The actor's handler waits for a permit, so the program says when a message is handled: the model knows what is in
hand, what waits and what became of all others, under every policy.
"""

import math
from collections import deque
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from townwatch.runtime import MailboxFull, MailboxSpec, TrioActor, inspect, open_world

POLICIES = ("wait", "refuse", "drop_oldest", "coalesce")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("handle"), st.just(0)),
    ),
    max_size=40,
)


class Model:
    """A deque with a bound. Messages are (serial, key)."""

    def __init__(self, capacity: float, policy: str) -> None:
        self.capacity, self.policy = capacity, policy
        self.waiting: deque[tuple[int, int]] = deque()
        self.in_hand: tuple[int, int] | None = None
        self.fate: dict[int, str] = {}

    def send(self, message: tuple[int, int]) -> None:
        if self.in_hand is None:
            self.in_hand = message
            return
        same = next((i for i, other in enumerate(self.waiting) if other[1] == message[1]), None)
        if self.policy == "coalesce" and same is not None:
            self.fate[self.waiting[same][0]] = "dropped"
            self.waiting[same] = message
        elif len(self.waiting) < self.capacity:
            self.waiting.append(message)
        elif self.policy == "drop_oldest":
            self.fate[self.waiting.popleft()[0]] = "dropped"
            self.waiting.append(message)
        else:
            self.fate[message[0]] = "refused"

    def handle(self) -> None:
        if self.in_hand is not None:
            self.fate[self.in_hand[0]] = "handled"
        self.in_hand = self.waiting.popleft() if self.waiting else None


@settings(max_examples=150, deadline=None)
@given(program=steps, policy=st.sampled_from(POLICIES), capacity=st.sampled_from([1, 2, 5, math.inf]))
def test_every_message_has_the_fate_the_model_gives_it(program: Any, policy: Any, capacity: float) -> None:
    class Gated(TrioActor):
        mailbox = MailboxSpec(capacity, policy, (lambda message: message[1]) if policy == "coalesce" else None)

        def __init__(self) -> None:
            super().__init__()
            self._permits = trio.Semaphore(0)
            self.handled: list[int] = []

        async def on_receive(self, message: Any) -> Any:
            await self._permits.acquire()
            self.handled.append(message[0])
            return message[0]

    async def main() -> None:
        async with open_world():
            ref, model = Gated.start(), Model(capacity, policy)
            actor: Any = ref._actor_weakref()
            refused, asked = [], {}
            await trio.testing.wait_all_tasks_blocked()
            for serial, (what, key) in enumerate(program):
                if what == "handle":
                    if model.in_hand is not None:
                        actor._permits.release()
                    model.handle()
                else:
                    model.send((serial, key))
                    if what == "ask":
                        asked[serial] = ref.ask((serial, key), block=False)
                    else:
                        try:
                            ref.tell((serial, key))
                        except MailboxFull:
                            refused.append(serial)
                await trio.testing.wait_all_tasks_blocked()
                assert [envelope.message for envelope in ref.actor_inbox.queue] == list(model.waiting)
            await agrees(ref, model, actor.handled, refused, asked)

    trio.run(main)


async def agrees(ref: Any, model: Model, handled: list[int], refused: list[int], asked: dict[int, Any]) -> None:
    """Counters, replies and order are those of the model."""
    assert handled == [serial for serial, fate in model.fate.items() if fate == "handled"]
    report = inspect(ref).mailbox
    fates = list(model.fate.values())
    assert (report.refused, report.dropped, report.depth) == (
        fates.count("refused"),
        fates.count("dropped"),
        len(model.waiting),
    )
    assert report.depth <= report.high_water <= model.capacity
    assert report.accepted == report.handled + report.dropped + report.dead + report.depth
    for serial, future in asked.items():
        fate = model.fate.get(serial)
        assert future.done == (fate is not None)
        if fate == "handled":
            assert await future == serial
        elif fate is not None:
            try:
                await future
            except MailboxFull:
                continue
            raise AssertionError(f"ask {serial} was {fate} and got an answer")
    assert set(refused) == {s for s, fate in model.fate.items() if fate == "refused" and s not in asked}
