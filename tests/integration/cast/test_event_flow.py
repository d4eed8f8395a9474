"""A runner's events through session, journal, router, village and agent to the people's rooms."""

import json
from pathlib import Path

import pytest
import trio

from tests.support.cast import Cast, RecordingLink, batch, event, open_cast
from townwatch.actors import messages as m
from townwatch.runtime import ActorRef

STARTED = {"providerId": "claude_code", "providerVersion": "2.1", "workspacePath": "/src/app"}


def moved(seq: int, previous: str, new: str) -> dict[str, object]:
    return event("SESSION_STATE_CHANGED", seq, previousState=previous, newState=new)


def chunk(seq: int, text: str = "x") -> dict[str, object]:
    return event("TERMINAL_CHUNK", seq, data=text, stream="stdout")


async def until(condition: object, seconds: float = 5) -> None:
    """Wait for something that other actors bring about."""
    assert callable(condition)
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.002)


def link() -> ActorRef[RecordingLink]:
    return RecordingLink.start()


async def received(ref: ActorRef[RecordingLink]) -> list[object]:
    return (await ref.get_state())["received"]


def seqs(cast: Cast, kind: str = "work_stream_event", session: str = "s1") -> list[int]:
    return [s.tag[1] for s in cast.out.published if s.event == kind and s.tag is not None and s.tag[0] == session]


async def test_events_are_durable_then_acknowledged_then_shown(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner = link()
        session = await cast.session()
        await session.send(batch(runner, event("SESSION_STARTED", 1, **STARTED), chunk(2, "hello")))
        await until(lambda: len(seqs(cast)) == 2)
        assert [record.seq for record in cast.log.read("s1")] == [1, 2]
        assert m.Acked("s1", 2) in await received(runner)
        assert [p["type"] for p in cast.out.of("work_stream_event")] == ["session_start", "output"]
        assert cast.out.of("agent_spawn")[0]["agentType"] == "claude"
        await until(lambda: cast.out.of("terminal_output"))
        assert cast.out.of("terminal_output")[0]["data"] == "hello"


async def test_repeats_are_acknowledged_again_and_shown_once(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        await session.send(batch(runner, chunk(1), chunk(2)))
        await until(lambda: len(seqs(cast)) == 2)  # else one group commit takes all, and is acknowledged as one
        for _ in range(2):
            await session.send(batch(runner, chunk(1), chunk(2)))
        await session.send(batch(runner, chunk(3)))
        await until(lambda: len(seqs(cast)) == 3)
        assert seqs(cast) == [1, 2, 3]
        assert (await received(runner)).count(m.Acked("s1", 2)) >= 2


async def test_a_hole_is_asked_for_again_and_nothing_behind_it_is_taken(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        await session.send(batch(runner, chunk(1)))
        await session.send(batch(runner, chunk(3)))
        await until(lambda: seqs(cast) == [1])
        await session.ping()
        assert m.ResendFrom("s1", 1) in await received(runner)
        await session.send(batch(runner, chunk(2), chunk(3)))
        await until(lambda: seqs(cast) == [1, 2, 3])


async def test_a_runner_without_acknowledgements_may_skip_and_the_hole_is_recorded(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        await session.send(batch(runner, chunk(1), lenient=True))
        await session.send(batch(runner, chunk(4), lenient=True))
        await until(lambda: seqs(cast) == [1, 4])
        state = await session.call(m.Describe())
        assert state.holes == 1


async def test_an_unlawful_change_of_state_is_shown_and_counted(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        await session.send(batch(runner, moved(1, "CREATED", "RUNNING"), moved(2, "RUNNING", "COMPLETED")))
        await until(lambda: len(seqs(cast)) == 2)
        state = await session.call(m.Describe())
        assert (state.state, state.violations) == ("COMPLETED", 1)
        assert [p["status"] for p in cast.out.of("agent_update")] == ["RUNNING", "COMPLETED"]


async def test_whoever_is_killed_the_session_goes_on_and_nothing_is_lost_or_shown_twice(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        directory = cast.context.directory
        sent = 0
        for victim in ("session", "village", "agent", "router", "session", "village", "timers"):
            for _ in range(5):
                sent += 1
                await session.send(batch(runner, chunk(sent)))
            victims = {
                "session": session,
                "village": directory.villages.get("demo"),
                "agent": directory.agents.get("demo:runner_s1"),
                "router": cast.context.router,
                "timers": cast.context.timers,
            }
            ref = victims[victim]
            if ref is not None:
                ref.exit(RuntimeError("killed by the test"))
            # A real link sends again what a restarted session asks for.
            await session.send(batch(runner, *[chunk(seq) for seq in range(max(1, sent - 20), sent + 1)]))
        await until(lambda: seqs(cast) and seqs(cast)[-1] == sent and seqs(cast, "terminal_output")[-1:] == [sent])
        assert seqs(cast) == list(range(1, sent + 1))
        assert seqs(cast, "terminal_output") == list(range(1, sent + 1))
        assert [record.seq for record in cast.log.read("s1")] == list(range(1, sent + 1))


async def test_a_killed_journal_brings_new_sessions_that_know_what_was_durable(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        await session.send(batch(runner, chunk(1), chunk(2)))
        await until(lambda: seqs(cast) == [1, 2])
        assert cast.context.journal is not None
        cast.context.journal.exit(RuntimeError("killed by the test"))
        await until(lambda: not session.is_alive())
        again = await cast.session()
        await again.send(batch(runner, chunk(2), chunk(3)))
        await until(lambda: seqs(cast) == [1, 2, 3])


async def test_the_first_decision_wins_and_the_later_one_hears_which(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        runner, session = link(), await cast.session()
        approval = {"approvalId": "a1", "sessionId": "s1", "category": "shell", "risk": "high", "requestedAt": 1}
        asked = event("APPROVAL_REQUESTED", 1, approval={**approval, "summary": "rm -rf build/"})
        await session.send(batch(runner, asked))
        await until(lambda: cast.out.of("approval_requested"))
        first = await session.call(m.Decide("a1", "deny", by="ann"))
        second = await session.call(m.Decide("a1", "allow", by="bob"))
        assert (first.won, first.decision) == (True, "deny")
        assert (second.won, second.decision, second.resolved_by) == (False, "deny", "ann")
        done = event("APPROVAL_RESOLVED", 2, approvalId="a1", decision="deny", resolvedBy="ann")
        await session.send(batch(runner, done))
        await until(lambda: cast.out.of("approval_resolved"))
        assert cast.out.of("approval_resolved")[0]["resolvedBy"] == "ann"
        third = await session.call(m.Decide("a1", "allow", by="cy"))
        assert third.decision == "deny"


async def test_what_was_lost_on_the_way_to_village_and_agent_is_read_back(tmp_path: Path) -> None:
    """A message in flight to an actor that dies for good is a dead letter; the next one tells it."""
    async with open_cast(tmp_path) as cast:
        runner, session, directory = link(), await cast.session(), cast.context.directory
        await session.send(batch(runner, event("SESSION_STARTED", 1, **STARTED)))
        await until(lambda: cast.context.shown.get("s1") == 1)
        village, agent = directory.villages["demo"], directory.agents["demo:runner_s1"]
        directory.villages["demo"] = directory.agents["demo:runner_s1"] = lost = link()
        await session.send(batch(runner, chunk(2, "two"), chunk(3, "three")))
        with trio.fail_after(5):
            while len(await received(lost)) < 2:
                await trio.sleep(0.002)
        directory.villages["demo"], directory.agents["demo:runner_s1"] = village, agent
        await session.send(batch(runner, chunk(4, "four")))
        await until(lambda: cast.context.shown.get("s1") == 4 and len(seqs(cast)) >= 4)
        assert seqs(cast) == [1, 2, 3, 4]
        assert [shown["data"] for shown in cast.out.of("terminal_output")] == ["two", "three", "four"]


async def test_a_late_viewers_screen_says_how_large_it_is(tmp_path: Path) -> None:
    resized = {"type": "terminal_resized", "providerId": "command", "timestamp": 1, "cols": 132, "rows": 43}
    async with open_cast(tmp_path) as cast:
        session = await cast.session()
        await session.send(batch(link(), event("PROVIDER_EVENT_FORWARDED", 1, providerEvent=resized), chunk(2, "$ ")))
        await until(lambda: cast.context.shown.get("s1") == 2)
        entered = await cast.context.directory.agents["demo:runner_s1"].call(m.Enter("c1", "terminal:demo:runner_s1"))
        screen = json.loads(entered.screen[0].payload)
        assert (screen["data"], screen["cols"], screen["rows"], screen["snapshot"]) == ("$ ", 132, 43, True)


async def test_what_was_lost_on_the_way_is_shown_within_a_bound_without_a_next_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("townwatch.actors.router.LOOK_BACK_SECONDS", 0.02)
    async with open_cast(tmp_path) as cast:
        session, directory = await cast.session(), cast.context.directory
        village, lost = await cast.context.router_call(m.EnsureVillage("demo")), link()
        directory.villages["demo"] = lost
        await session.send(batch(link(), chunk(1, "last words")))
        with trio.fail_after(5):
            while not await received(lost):
                await trio.sleep(0.002)
        directory.villages["demo"] = village
        await until(lambda: seqs(cast) == [1])
