"""Actors against their peers, in one run: `python -m bench.actors [--quick]`.

Peers: pykka's ThreadingActor (what TrioActor replaces) and a bare trio memory channel with one receiving task (what
one would write without actors). Each figure is the median of several rounds; the ratios are what counts.
"""

import gc
import logging
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import trio
import trio.testing

from townwatch.runtime import UNBOUNDED, TrioActor, open_world
from townwatch.supervision import ChildSpec, Supervisor

QUICK = "--quick" in sys.argv
ROUNDS = 3 if QUICK else 7
MESSAGES = 5_000 if QUICK else 30_000
ASKS = 1_000 if QUICK else 5_000
THREADS = 200 if QUICK else 1_000
ACTORS = 1_000 if QUICK else 10_000
CROWD = 5_000 if QUICK else 100_000


class Threaded(pykka.ThreadingActor):
    """Echoes."""

    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return message


class Sync(TrioActor):
    """Echoes."""

    mailbox = UNBOUNDED

    def on_receive(self, message: Any) -> Any:
        return message


class Async(Sync):
    """Echoes, with an async handler."""

    async def on_receive(self, message: Any) -> Any:  # pyright: ignore
        return message


class Crashing(Sync):
    """Echoes, or crashes."""

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError
        return message


def clock(count: int, begin: float) -> float:
    """Microseconds each."""
    return (time.perf_counter() - begin) / count * 1e6


def rss() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- threads


def threads_tell() -> float:
    ref = Threaded.start()
    begin = time.perf_counter()
    for n in range(MESSAGES):
        ref.tell(n)
    ref.ask("last")
    spent = clock(MESSAGES, begin)
    ref.stop()
    return spent


def threads_ask() -> float:
    ref = Threaded.start()
    begin = time.perf_counter()
    for n in range(ASKS):
        ref.ask(n)
    spent = clock(ASKS, begin)
    ref.stop()
    return spent


def threads_start_stop() -> tuple[float, float, float]:
    gc.collect()
    before, begin = rss(), time.perf_counter()
    refs = [Threaded.start() for _ in range(THREADS)]
    refs[-1].ask("up?")
    start, grown = clock(THREADS, begin), (rss() - before) / THREADS
    begin = time.perf_counter()
    for future in [ref.stop(block=False) for ref in refs]:
        future.get()
    return start, clock(THREADS, begin), grown


# -- a bare channel


async def channel_tell() -> float:
    send, receive = trio.open_memory_channel[Any](float("inf"))

    async def receiver() -> None:
        async for _ in receive:
            pass

    async with trio.open_nursery() as nursery:
        begin = time.perf_counter()
        nursery.start_soon(receiver)
        for n in range(MESSAGES):
            send.send_nowait(n)
        send.close()
    return clock(MESSAGES, begin)


async def channel_ask() -> float:
    send, receive = trio.open_memory_channel[Any](0)
    reply_send, reply_receive = trio.open_memory_channel[Any](0)

    async def receiver() -> None:
        async for message in receive:
            await reply_send.send(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver)
        begin = time.perf_counter()
        for n in range(ASKS):
            await send.send(n)
            await reply_receive.receive()
        spent = clock(ASKS, begin)
        send.close()
    return spent


# -- trio actors


def tell(actor: type[TrioActor]) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        ref = actor.start()
        await ref.ping()
        begin = time.perf_counter()
        for n in range(MESSAGES):
            ref.tell(n)
        await ref.ask("last", block=False)
        spent = clock(MESSAGES, begin)
        await ref.stop()
        return spent

    return measure


def ask(actor: type[TrioActor], call: bool = False) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        ref = actor.start()
        await ref.ping()
        begin = time.perf_counter()
        for n in range(ASKS):
            await (ref.call(n) if call else ref.ask(n, block=False))
        spent = clock(ASKS, begin)
        await ref.stop()
        return spent

    return measure


async def start_stop() -> tuple[float, float]:
    gc.collect()
    begin = time.perf_counter()
    refs = [Sync.start() for _ in range(ACTORS)]
    await trio.testing.wait_all_tasks_blocked()
    start = clock(ACTORS, begin)
    begin = time.perf_counter()
    for ref in refs:
        ref.request_stop()
    await trio.testing.wait_all_tasks_blocked()
    return start, clock(ACTORS, begin)


async def crash_to_answer() -> float:
    rounds = ASKS // 5
    sup = Supervisor.start([ChildSpec("c", Crashing)], intensity=10**9, name="bench")
    await sup.ping()
    ref = await Supervisor.child_ref(sup, "c")
    begin = time.perf_counter()
    for _ in range(rounds):
        ref.tell("crash")
        await ref.ask("up?", block=False)
    spent = clock(rounds, begin)
    await sup.stop()
    return spent


async def crowd() -> tuple[float, float, float, float, float]:
    """Bytes per idle actor that has answered once; a turn of the loop and an ask, alone and in a crowd."""

    async def turn() -> float:
        begin = time.perf_counter()
        for _ in range(2000):
            await trio.lowlevel.checkpoint()
        return clock(2000, begin)

    async with open_world():
        alone, ask_alone = await turn(), await ask(Sync)()
        gc.collect()
        before = rss()
        refs = [Sync.start() for _ in range(CROWD)]
        for ref in refs:
            ref.tell("once")
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        grown = (rss() - before) / CROWD
        gc.freeze()
        return grown, alone, await turn(), ask_alone, await ask(Sync)()


# -- the table


async def trio_round() -> dict[str, float]:
    async with open_world():
        start, stop = await start_stop()
        gc.collect()  # what ten thousand ended actors left is nobody else's cost
        return {
            "channel tell": await channel_tell(),
            "channel ask": await channel_ask(),
            "tell": await tell(Sync)(),
            "tell async": await tell(Async)(),
            "ask": await ask(Sync)(),
            "ask async": await ask(Async)(),
            "call": await ask(Sync, call=True)(),
            "start": start,
            "stop": stop,
            "crash": await crash_to_answer(),
        }


def threads_round() -> dict[str, float]:
    start, stop, grown = threads_start_stop()
    return {
        "threads tell": threads_tell(),
        "threads ask": threads_ask(),
        "threads start": start,
        "threads stop": stop,
        "threads bytes": grown,
    }


def medians() -> dict[str, float]:
    """Peers take turns, so that a busy minute of the machine hits all of them."""
    rounds = [{**threads_round(), **trio.run(trio_round)} for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]} | {
        "threads bytes": rounds[0]["threads bytes"]  # later rounds reuse the first one's memory
    }


def row(name: str, ours: float, threads: float | None = None, channel: float | None = None, goal: str = "") -> None:
    faster = f"{threads:10.1f} {threads / ours:7.1f}x" if threads is not None else f"{'–':>10} {'–':>8}"
    against = f"{channel:10.1f} {channel / ours:7.1f}x" if channel is not None else f"{'–':>10} {'–':>8}"
    print(f"{name:34} {ours:10.1f} {faster} {against}  {goal}")


def main() -> None:
    logging.disable(logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    grown, alone, crowded, ask_alone, ask_crowded = trio.run(crowd)  # first: memory is measured in a fresh process
    gc.unfreeze()
    of = medians()
    print(f"{'µs each':34} {'TrioActor':>10} {'Threading':>10} {'ratio':>8} {'channel':>10} {'ratio':>8}  goal")
    row("tell to handled", of["tell"], of["threads tell"], of["channel tell"], ">= 2x Threading")
    row("tell to handled, async handler", of["tell async"], of["threads tell"], of["channel tell"])
    row("ask round trip", of["ask"], of["threads ask"], of["channel ask"], ">= 3x")
    row("ask round trip, async handler", of["ask async"], of["threads ask"], of["channel ask"])
    row("call (ask with a deadline)", of["call"], of["threads ask"], of["channel ask"])
    row("start", of["start"], of["threads start"], None, ">= 3x")
    row("stop", of["stop"], of["threads stop"])
    row("crash to answering again", of["crash"])
    row("bytes per idle actor", grown, of["threads bytes"], None, "<= 6144")
    row(f"turn of the loop, {CROWD} actors", crowded, alone, None, "alone in the second column")
    row(f"ask round trip, {CROWD} actors", ask_crowded, ask_alone, None, "alone in the second column")


if __name__ == "__main__":
    main()
