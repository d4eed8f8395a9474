"""A decision reaches its runner, whoever was not there at the moment when it was made."""

import pytest
import trio

from tests.support.cast import Cast, RecordingLink, batch, event, open_cast
from townwatch.actors import messages as m
from townwatch.app.supervision_tree import RUNNERS
from townwatch.contracts.link import Hello
from townwatch.runtime import ActorRef, whereis

HELLO = Hello(runner_id="r1", name="r1", version="1")
ASKED = {
    "approvalId": "ap1",
    "sessionId": "s1",
    "category": "shell",
    "summary": "may I",
    "risk": "low",
    "requestedAt": 1,
}
USAGE = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}


def told(link: ActorRef) -> list[str]:
    """The decisions that came to the runner."""
    return [one.command.command_id for one in link._actor_weakref().received if isinstance(one, m.SendCommand)]


async def asked(cast: Cast, link: ActorRef) -> ActorRef:
    """A session whose runner was heard and that waits for a decision; the runner's actor is not there yet."""
    session = await cast.session()
    await session.call(m.ResumeSession(link, 1))
    await session.send(batch(link, event("APPROVAL_REQUESTED", 1, approval=ASKED)))
    await cast.settle()
    return session


async def test_a_decision_between_welcome_and_introduction_is_told_with_the_introduction(tmp_path):
    async with open_cast(tmp_path) as cast:
        link = RecordingLink.start()
        session = await asked(cast, link)
        await session.call(m.Decide("ap1", "allow", "ann"))
        runner = await cast.context.router_call(m.EnsureRunner("r1"))
        await runner.call(m.LinkUp(link, HELLO, False))
        await cast.settle()
        assert told(link) == ["approve:s1:ap1"]


async def test_a_stop_that_waits_for_its_runner_outlives_a_crash_of_the_runners_actor(tmp_path):
    async with open_cast(tmp_path) as cast:
        link = RecordingLink.start()
        session = await asked(cast, link)
        runner = await cast.context.router_call(m.EnsureRunner("r1"))
        await session.call(m.Stop(True))
        runner.exit(RuntimeError("planted"), runner)
        await cast.settle()
        await runner.call(m.LinkUp(link, HELLO, False))
        await cast.settle()
        assert told(link) == ["stop:s1:True"]


async def test_that_a_runner_is_away_is_told_although_its_actor_crashed(tmp_path, monkeypatch):
    monkeypatch.setattr("townwatch.actors.runner.OFFLINE_SECONDS", 0.1)
    async with open_cast(tmp_path) as cast:
        told: list[dict[str, str]] = []
        cast.context.subscriptions.add("runner:r1", "test", told.append)
        runner = await cast.context.router_call(m.EnsureRunner("r1"))
        await runner.call(m.LinkUp(RecordingLink.start(), HELLO, False))
        runner.exit(RuntimeError("planted"), runner)
        with trio.fail_after(5):
            while len(told) < 2:
                await trio.sleep(0.01)
        assert [one["status"] for one in told] == ["online", "offline"]


async def test_that_a_runner_is_away_is_told_although_all_runners_actors_are_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("townwatch.actors.runner.OFFLINE_SECONDS", 0.1)
    monkeypatch.setattr("townwatch.actors.router.LOOK_BACK_SECONDS", 0.02)
    async with open_cast(tmp_path) as cast:
        told: list[dict[str, str]] = []
        cast.context.subscriptions.add("runner:r1", "test", told.append)
        runner = await cast.context.router_call(m.EnsureRunner("r1"))
        await runner.call(m.LinkUp(RecordingLink.start(), HELLO, False))
        whereis(RUNNERS).exit(RuntimeError("planted"))
        with trio.fail_after(5):
            while len(told) < 2:
                await trio.sleep(0.01)
        assert [one["status"] for one in told] == ["online", "offline"]


async def test_a_decision_that_crosses_the_sessions_end_is_what_the_runner_says(tmp_path):
    async with open_cast(tmp_path) as cast:
        link = RecordingLink.start()
        session = await asked(cast, link)
        accepted = await session.call(m.Decide("ap1", "allow", "ann"))
        denied = event("APPROVAL_RESOLVED", 2, approvalId="ap1", decision="deny", resolvedBy="session end")
        await session.send(batch(link, denied))
        await cast.settle()
        standing = await session.call(m.Decide("ap1", "allow", "ann"))
        assert (accepted.decision, accepted.confirmed) == ("allow", False)
        assert (standing.decision, standing.resolved_by, standing.confirmed) == ("deny", "session end", True)
        assert cast.context.decisions.standing["s1", "ap1"].decision == "deny"


async def test_who_still_asks_when_a_runner_says_that_it_ended_is_denied(tmp_path):
    async with open_cast(tmp_path) as cast:
        link = RecordingLink.start()
        session = await asked(cast, link)
        ended = {"finalState": "FAILED", "totalDurationMs": 1, "totalUsage": USAGE}
        await session.send(batch(link, event("SESSION_ENDED", 2, **ended)))
        await cast.settle()
        with pytest.raises(m.SessionOver, match="too late"):
            await session.call(m.Decide("ap1", "deny", "ann"))
        assert (await session.call(m.Describe())).pending == {}


async def test_a_decision_that_a_runners_actor_lost_in_a_crash_is_told_again(tmp_path):
    async with open_cast(tmp_path) as cast:
        link, later = RecordingLink.start(), RecordingLink.start()
        session = await asked(cast, link)
        runner = await cast.context.router_call(m.EnsureRunner("r1"))
        await runner.call(m.LinkUp(link, HELLO, False))
        await session.call(m.Decide("ap1", "allow", "ann"))
        runner.exit(RuntimeError("planted"), runner)
        await cast.settle()
        await runner.call(m.LinkUp(later, HELLO, False))
        await cast.settle()
        assert told(later) == ["approve:s1:ap1"]
