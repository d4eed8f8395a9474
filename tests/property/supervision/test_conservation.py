"""Whatever crashes: every message has exactly one fate, every ask is answered, and order is kept."""

import math
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from townwatch.runtime import ActorDeadError, MailboxFull, MailboxSpec, TrioActor, dead_letters, open_world, whereis
from townwatch.supervision import Backoff, ChildSpec, RestartChild, Supervisor, TerminateChild

steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["tell", "tell", "tell", "ask", "ask", "send", "crash", "crash-ask", "stop"]), st.just(0)
        ),
        st.tuples(st.sampled_from(["kill", "terminate", "restart"]), st.just(0)),
        st.tuples(st.just("wait"), st.floats(0, 4)),
    ),
    max_size=30,
)


REQUESTS = {"terminate": TerminateChild, "restart": RestartChild}


class Boom(Exception):
    """What the worker dies of."""


class Log:
    """What the test saw of each message."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.refused: list[int] = []
        self.sent: list[int] = []
        self.futures: dict[int, Any] = {}
        self.boxes: dict[int, Any] = {}


def worker(log: Log, spec: MailboxSpec, in_hand: str) -> type[TrioActor]:
    class Worker(TrioActor):
        mailbox = spec
        message_in_hand = in_hand  # type: ignore[assignment]
        expected_errors = ()

        async def on_receive(self, message: Any) -> int:
            await trio.sleep(0.5)
            if message[0] == "crash":
                raise Boom
            log.handled.append(message[1])
            return message[1]

    return Worker


async def send(log: Log, ref: Any, n: int) -> None:
    try:
        await ref.send(("x", n))
    except (ActorDeadError, MailboxFull):
        log.refused.append(n)


async def do(log: Log, sup: Any, senders: trio.Nursery, n: int, what: str, arg: float) -> None:
    """One step of the program."""
    ref = whereis("top/w") or next(iter(log.boxes.values()))
    log.boxes.setdefault(id(ref), ref)
    if what in ("tell", "ask", "send", "crash", "crash-ask"):
        log.sent.append(n)
    message = ("crash" if what.startswith("crash") else "x", n)
    match what:
        case "wait":
            await trio.sleep(arg)
        case "stop":
            ref.request_stop()
        case "kill":
            ref.exit("killed")
        case "terminate" | "restart":
            future = sup.ask(REQUESTS[what]("w"), block=False) if sup.is_alive() else None
            senders.start_soon(settle, future)
        case "send":
            senders.start_soon(send, log, ref, n)
        case "ask" | "crash-ask":
            log.futures[n] = ref.ask(message, block=False)
        case _:
            try:
                ref.tell(message)
            except (ActorDeadError, MailboxFull):
                log.refused.append(n)


async def settle(future: Any) -> None:
    if future is not None:
        with trio.move_on_after(100):
            try:
                await future
            except Exception:  # what the supervisor answers is not this test's business
                return


async def judge(log: Log) -> None:
    """The law."""
    assert len(log.handled) == len(set(log.handled)), "handled twice"
    dead = 0
    for ref in log.boxes.values():
        report = ref.actor_inbox.report()
        assert report.accepted == report.handled + report.dropped + report.dead + report.depth
        assert report.depth == 0, "alive and idle, or dead and emptied"
        dead += report.dead
    assert sum(letter.to.startswith("Worker") for letter in dead_letters.recent()) == dead
    reports = [ref.actor_inbox.report() for ref in log.boxes.values()]
    assert sum(r.accepted + r.refused for r in reports) == len(log.sent)
    assert sum(r.handled for r in reports) == len(log.handled)
    for n, future in log.futures.items():
        assert future.done, "an ask was never answered"
        try:
            assert await future == n
            assert n in log.handled
        except (ActorDeadError, MailboxFull, Boom):
            assert n not in log.handled, "handled, and its asker was told it failed"


@settings(max_examples=500, deadline=None)
@given(
    program=steps,
    policy=st.sampled_from(["wait", "refuse", "drop_oldest", "disconnect"]),
    capacity=st.sampled_from([1, 2, 5, math.inf]),
    restart=st.sampled_from(["permanent", "transient", "temporary"]),
    backoff=st.sampled_from([None, Backoff(1, 4)]),
    in_hand=st.sampled_from(["drop", "retry", "dead_letter"]),
    mailbox=st.sampled_from(["keep", "clear"]),
    intensity=st.sampled_from([2, 10**6]),
)
def test_every_message_has_exactly_one_fate(
    program: Any, policy: Any, capacity: Any, restart: Any, backoff: Any, in_hand: str, mailbox: Any, intensity: int
) -> None:
    dead_letters.clear()
    log = Log()
    actor = worker(log, MailboxSpec(capacity, policy), in_hand)
    spec = ChildSpec("w", actor, restart=restart, backoff=backoff, mailbox=mailbox, shutdown=3.0)

    async def main() -> None:
        async with open_world(), trio.open_nursery() as senders:
            sup = Supervisor.start([spec], intensity=intensity, name="top")
            await sup.ping()
            log.boxes[id(whereis("top/w"))] = whereis("top/w")
            for n, (what, arg) in enumerate(program):
                await do(log, sup, senders, n, what, arg)
            await trio.sleep(1000)
            await judge(log)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
