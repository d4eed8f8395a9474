"""Through the whole service: whoever watches a terminal, from whenever on, has the terminal that every byte makes."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.service.test_pulled_plugs import AGENT, SESSION, STARTED, event
from tests.support.service import NodeClient, Town, open_town
from tests.terminal.comparing import pieces_of
from tests.terminal.oracle import Oracle, Step, difference
from tests.terminal.programs import PROGRAMS
from townwatch.actors import agent

pytestmark = pytest.mark.node
NAMES = (
    "vim comes and goes",
    "vim comes",
    "saved cursor on the alternate",
    "scrollback below an alternate screen",
    "family",
    "aborted",
    "clipboard, long",
    "resized under vim",
    "wide lines reflow",
    "line drawing",
)
END: Step = "\x1b\\\x1b\\"


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


def program(name: str) -> tuple[list[Step], tuple[int, int]]:
    steps, size = PROGRAMS[name]
    return [*pieces_of(steps, seed=len(name)), END], size


def events_of(steps: Sequence[Step], first: int = 2) -> list[dict[str, Any]]:
    """As a runner sends them: a chunk for each piece of text, a provider event for each size."""
    return [
        event("TERMINAL_CHUNK", seq, data=step, stream="stdout")
        if isinstance(step, str)
        else event(
            "PROVIDER_EVENT_FORWARDED",
            seq,
            providerEvent={"type": "terminal_resized", "providerId": "command", "timestamp": 1}
            | {"cols": step[0], "rows": step[1]},
        )
        for seq, step in enumerate(steps, start=first)
    ]


async def shown(town: Town, seq: int) -> None:
    with trio.fail_after(20):
        while min(town.service.context.shown.get(SESSION, 0), town.service.context.published.get(SESSION, 0)) < seq:
            await trio.sleep(0.01)


async def watched(client: NodeClient, last: int) -> tuple[list[Step], tuple[int, int]]:
    """What the client's terminal was given, up to the event `last`: steps for a fresh one of the size."""
    outputs = [line["args"][0] for line in client.lines if line.get("event") == "terminal_output"]
    while not outputs or outputs[-1]["seq"] < last:
        line = await client.until(lambda one: one.get("event") == "terminal_output")
        outputs.append(line["args"][0])
    return steps_of(outputs)


def steps_of(outputs: Sequence[dict[str, Any]]) -> tuple[list[Step], tuple[int, int]]:
    steps: list[Step] = []
    size = (80, 24)
    for output in outputs:
        if output.get("snapshot"):
            steps, size = [], (output.get("cols", 80), output.get("rows", 24))
        elif output.get("cols"):
            steps.append((output["cols"], output["rows"]))
        steps += [output["data"]] if output["data"] else []
    return steps, size


def join(**more: Any) -> list[Any]:
    return ["join_agent", {"agentId": AGENT, "terminal": True, **more}]


def equal(oracle: Oracle, want: dict[str, Any], seen: tuple[list[Step], tuple[int, int]]) -> None:
    state = oracle.state(*seen)
    assert difference({**want, "answers": ""}, {**state, "answers": ""}) is None


@pytest.mark.parametrize("name", NAMES)
async def test_live_late_returning_and_after_a_restart(
    tmp_path: Path, oracle: Oracle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "CHECKPOINT_CHARS", 2000)
    steps, size = program(name)
    want = oracle.state(steps, size)
    whole = events_of([size, *steps])
    half, last = random.Random(name).randint(2, len(whole)), len(whole) + 1
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        await shown(town, 1)
        async with town.client(joins=[join()]) as live:
            await runner.send(*whole[: half - 1])
            await runner.acked(half)
            async with town.client(joins=[join()]) as returning:
                before = [line["args"][0] for line in returning.lines if line.get("event") == "terminal_output"]
            await runner.send(*whole[half - 1 :])
            await runner.acked(last)
            await shown(town, last)
            equal(oracle, want, await watched(live, last))
            assert not [line for line in live.lines if line.get("event") == "work_stream_event" and is_output(line)]
        async with town.client(joins=[join()]) as late:
            equal(oracle, want, await watched(late, last))
        since = {SESSION: before[-1]["seq"]} if before else {SESSION: 1}
        async with town.client(joins=[join(since=since)]) as back:
            after = [line["args"][0] for line in back.lines if line.get("event") == "terminal_output"]
            equal(oracle, want, steps_of([*before, *after]) if before else steps_of(after))
    async with open_town(tmp_path) as town, town.client(joins=[join()]) as restarted:
        equal(oracle, want, await watched(restarted, last))


def is_output(line: dict[str, Any]) -> bool:
    return line["args"][0]["type"] == "output"


async def test_a_viewer_who_is_there_before_the_first_output_learns_the_size(tmp_path: Path, oracle: Oracle) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        await shown(town, 1)
        async with town.client(joins=[join()]) as client:
            await runner.send(*events_of([(100, 30), "x"]))
            steps, _ = await watched(client, 3)
            assert steps == [(100, 30), "x"]
        async with town.client(joins=[join(), ["join_village", {"villageId": "demo"}]]) as both:
            await runner.send(*events_of(["once"], first=4))
            await watched(both, 4)
            await both.emit("ping")
            assert [line for line in both.lines if line.get("event") == "work_stream_event" and is_output(line)] == []


async def test_a_recording_begins_with_the_terminals_state_where_the_first_events_are_gone(
    tmp_path: Path, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from townwatch.store.log.records import Retention
    from townwatch.transports.http import recording

    monkeypatch.setattr(agent, "CHECKPOINT_CHARS", 50)
    steps: list[Step] = [
        "\x1b[?1049h\x1b[?2004h\x1b[2J" + "first screen",
        *(f"\x1b[{n};1Hrow {n}" * 9 for n in range(1, 20)),
    ]
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED, *events_of([(90, 25), *steps]))
        last = len(steps) + 2
        await runner.acked(last)
        await shown(town, last)
        log, state = town.service.context.journal_log, town.service.context.board.session(SESSION)
        assert state is not None
        with trio.fail_after(10):
            while await trio.to_thread.run_sync(log.load_snapshot, f"terminal:{SESSION}") is None:
                await trio.sleep(0.02)
        size = sum(len(record.body) for record in log.read(SESSION, 0, 99999, 1 << 30))
        log.retain("demo", Retention(max_bytes=size // 2))  # type: ignore[attr-defined]
        made = await trio.to_thread.run_sync(lambda: b"".join(recording.cast(log, state)))
    assert b"?1049h" in made or b"?47h" in made
    assert b"?2004h" in made
