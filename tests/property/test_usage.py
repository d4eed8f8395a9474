"""Usage is money: the total is the sum of the ticks that are durable, whatever is repeated, killed or restarted."""

import json
import sqlite3
import tempfile
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import trio
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.support.cast import Cast, RecordingLink, batch, event, open_cast
from townwatch.app.upkeep.restore import restore
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import UsageMetrics

TICKS = 60
PARTS = ("session", "village", "agent", "router", "timers", "journal")


def tick(seq: int) -> dict[str, Any]:
    """No two alike, and with fractions that do not add up exactly in another order."""
    units = {
        "agentSeconds": seq / 10, "terminalKb": seq / 7, "filesTouched": seq % 3, "commandsRun": seq % 2,
        "approvalsRequested": 0, "inputTokens": 1 << (seq % 20), "costUsd": seq / 1000,
    }  # fmt: skip
    return event("USAGE_TICK", seq, providerId="claude_code", units=units)


def sums() -> list[UsageMetrics]:
    """What the first n ticks come to, by n."""
    ticks = (decode_event(json.dumps(tick(seq)).encode()) for seq in range(1, TICKS + 1))
    return list(accumulate((one.units for one in ticks), UsageMetrics.plus, initial=UsageMetrics.zero()))


TOTALS = sums()


def judge(cast: Cast) -> int:
    """At any instant the total is that of the ticks it claims to hold. Returns how many."""
    state = cast.context.board.session("s1")
    if state is None:
        return 0
    assert state.total_usage == TOTALS[state.seq]
    return state.seq


async def durable(cast: Cast) -> int:
    heads = await trio.to_thread.run_sync(cast.log.heads)
    return heads["s1"].max_seq if "s1" in heads else 0


class Run:
    """One runner's session through the lives of a service."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lives = 0

    async def play(self, lives: list[list[tuple[Any, ...]]]) -> None:
        for steps in lives:
            async with self._life() as cast:
                for step in steps:
                    await self._step(cast, *step)
                    judge(cast)
                await self._die(cast)
        async with self._life() as cast:
            with trio.fail_after(20):
                while await durable(cast) < TICKS or judge(cast) < TICKS:
                    await self._send(cast, TICKS, 0)
                    await trio.sleep(0.01)
            assert judge(cast) == TICKS
        async with self._life() as cast:
            assert judge(cast) == TICKS

    def _life(self) -> AbstractAsyncContextManager[Cast]:
        folder = self.home / str(self.lives)
        folder.mkdir(exist_ok=True)
        return open_cast(folder, prepare=restore)

    async def _die(self, cast: Cast) -> None:
        """kill -9: the next life finds what was committed at this instant."""
        self.lives += 1
        await trio.to_thread.run_sync(_copy, self.home / str(self.lives - 1), self.home / str(self.lives))

    async def _step(self, cast: Cast, kind: str, *details: Any) -> None:
        match kind:
            case "send":
                await self._send(cast, *details)
            case "kill":
                self._kill(cast, *details)
            case _:
                await cast.settle()

    async def _send(self, cast: Cast, count: int, again: int) -> None:
        """The next `count` ticks behind what is durable, and `again` of those before."""
        first = await durable(cast) + 1
        ticks = [tick(seq) for seq in range(max(1, first - again), min(TICKS, first + count - 1) + 1)]
        if ticks:
            session = await cast.session()
            await session.send(batch(RecordingLink.start(), *ticks))

    def _kill(self, cast: Cast, part: str) -> None:
        directory = cast.context.directory
        victim = {
            "session": directory.sessions.get("s1"),
            "village": directory.villages.get("demo"),
            "agent": directory.agents.get("demo:runner_s1"),
            "router": cast.context.router,
            "timers": cast.context.timers,
            "journal": cast.context.journal,
        }[part]
        if victim is not None:
            victim.exit(RuntimeError("killed by the test"))


def _copy(old: Path, new: Path) -> None:
    new.mkdir()
    source, target = sqlite3.connect(old / "journal.db"), sqlite3.connect(new / "journal.db")
    with target:
        source.backup(target)
    source.close()
    target.close()


steps = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 20), st.integers(0, 30)),
    st.tuples(st.just("kill"), st.sampled_from(PARTS)),
    st.tuples(st.just("settle")),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives=st.lists(st.lists(steps, max_size=8), max_size=3))
@example(lives=[[("send", 10, 0), ("settle",), ("send", 5, 10), ("kill", "session")], [("send", 20, 30), ("settle",)]])
def test_the_total_is_the_sum_of_the_durable_ticks(lives: list[list[tuple[Any, ...]]]) -> None:
    with tempfile.TemporaryDirectory(prefix="tw-usage-") as home:
        trio.run(partial(Run(Path(home)).play, lives))
