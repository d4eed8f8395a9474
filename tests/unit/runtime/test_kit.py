"""`townwatch.runtime.testing`, as its users have it."""

import time

import pytest
import trio

from townwatch.runtime import Down, TrioActor, testing
from townwatch.runtime._mailbox import Mailbox
from townwatch.supervision import Backoff, ChildSpec, Supervisor


def test_run_gives_a_world_in_which_waiting_takes_no_time():
    async def body(seconds: float) -> float:
        assert await testing.Probe.start().call("x") == "x"
        await trio.sleep(seconds)
        return trio.current_time()

    begin = time.monotonic()
    assert testing.run(body, 3600) >= 3600
    assert time.monotonic() - begin < 600


def test_a_probe_keeps_what_it_gets():
    async def body() -> None:
        probe, other = testing.Probe.start(), testing.Probe.start()
        probe.watch(other)
        probe.tell("first")
        assert await testing.received(probe) == "first"
        await other.stop()
        down = await testing.received(probe)
        assert isinstance(down, Down)
        assert (down.ref, down.reason) == (other, "normal")
        with pytest.raises(trio.TooSlowError):
            await testing.received(probe, timeout=2)

    testing.run(body)


def test_a_crash_on_order_is_seen_by_the_supervisor():
    async def body() -> None:
        specs = [ChildSpec("now", testing.Probe), ChildSpec("later", testing.Probe, backoff=Backoff(2, jitter=0))]
        sup = Supervisor.start(specs, intensity=9, name="top")
        now, later = [await Supervisor.child_ref(sup, id, testing.Probe) for id in ("now", "later")]
        await testing.crash(now)
        await testing.crash(later, ValueError("on order"))
        assert (now.is_up, now.incarnation, later.is_up) == (True, 2, False)
        await trio.sleep(2)
        await testing.settle()
        assert later.is_up

    testing.run(body)


def test_a_message_that_is_unaccounted_for_is_found(monkeypatch):
    monkeypatch.setattr(Mailbox, "report", _without_handled(Mailbox.report))

    async def body() -> None:
        await testing.Probe.start().call("x")

    with pytest.raises(AssertionError, match=r"Probe .*accepted=1"):
        testing.run(body)


def _without_handled(report):
    import attrs

    return lambda self: attrs.evolve(report(self), handled=0)


def test_a_task_that_outlives_the_world_is_found():
    async def body() -> None:
        async with trio.open_nursery() as nursery, testing.world():
            nursery.start_soon(trio.sleep, 1)

    with pytest.raises(AssertionError, match="1 tasks outlived the world"):
        testing.run(body)


def test_what_the_test_raises_comes_out():
    class Odd(TrioActor):
        def on_receive(self, message):
            raise KeyError(message)

    async def body() -> None:
        await Odd.start().call("x")

    with pytest.raises(KeyError, match="x"):
        testing.run(body)
