"""The real runner and the real service: watched, typed into, asked, approved and stopped from afar."""

import sys
from pathlib import Path

import attrs
import pytest
import trio

from tests.integration.runner.conftest import Far, until
from townwatch.runner import identity
from townwatch.runner.identity import new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session

ASK = f"{sys.executable} -P -m townwatch ask --category shell --risk high"


async def test_a_session_is_watched_typed_into_and_stopped(far: Far) -> None:
    session = far.start("echo ready; read -r line; echo got:$line; sleep 1000")
    await far.sees(session, "ready")
    shown = await far.becomes(session, "RUNNING")
    assert (shown["villageId"], shown["workspacePath"]) == ("demo", str(far.directory))
    assert await far.post(session, "input", data="hello\r") == 200
    await far.sees(session, "got:hello")
    assert await far.post(session, "stop") == 200
    await far.becomes(session, "COMPLETED")
    await until(lambda: far.runner.recorder.spool.size()[0] == 0)
    events = await far.events(session)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["type"], events[-1]["exitCode"]) == ("SESSION_ENDED", 128 + 15)


async def approval(far: Far, session: Session) -> str:
    """The session's open approval, as the service lists it."""
    with trio.fail_after(15):
        while not (pending := (await far.shown(session)).get("pendingApprovals")):
            await trio.sleep(0.05)
    return pending[0]["approvalId"]


async def test_a_yes_from_afar_is_status_0_here(far: Far) -> None:
    session = far.start(f"{ASK} 'rm -rf build/'; echo status=$?")
    asked = await approval(far, session)
    assert await far.post(session, f"approvals/{asked}", decision="allow", note="go on") == 200
    await far.sees(session, "status=0")
    shown = await far.becomes(session, "COMPLETED")
    assert shown["pendingApprovals"] == []


async def test_a_denial_from_afar_is_status_1_here_and_the_session_goes_on(far: Far) -> None:
    session = far.start(f"{ASK} 'rm -rf /'; echo status=$?; echo went on")
    asked = await approval(far, session)
    assert await far.post(session, f"approvals/{asked}", decision="deny") == 200
    await far.sees(session, "status=1")
    await far.sees(session, "went on")
    await far.becomes(session, "COMPLETED")


async def test_a_denial_with_stop_from_afar_is_status_1_here_and_the_end(far: Far) -> None:
    session = far.start(f"{ASK} 'rm -rf /'; echo status=$?; sleep 1000")
    asked = await approval(far, session)
    assert await far.post(session, f"approvals/{asked}", decision="deny", stop=True) == 200
    await far.sees(session, "status=1")
    await far.becomes(session, "COMPLETED")
    ended = (await far.events(session))[-1]
    assert ended["reason"].startswith("approval denied by ")


async def test_a_terminal_that_takes_no_keys_holds_up_nobody_else(far: Far) -> None:
    stuck = far.start("stty raw -echo; echo ready; sleep 1000")
    other = far.start("echo ready; read -r line; echo got:$line")
    await far.sees(stuck, "ready")
    await far.sees(other, "ready")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lambda: far.post(stuck, "input", data="x" * 60_000))
        assert await far.post(other, "input", data="hello\r") == 200
        await far.sees(other, "got:hello")
        assert await far.post(stuck, "stop") == 200
        await far.becomes(stuck, "COMPLETED")
        nursery.cancel_scope.cancel()


def _not_known(_self: object) -> None:
    """What an old kernel says of how another's child ended."""


async def test_a_verdict_that_is_not_known_is_unknown_to_every_viewer(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's output is thrown away, and the kernel does not say how it ended."""
    monkeypatch.setattr("townwatch.runner.observers.exits.ProcessExit._from_info", _not_known)
    monkeypatch.setattr("townwatch.runner.observers.exits.ProcessExit._is_zombie", _not_known)
    case = "import time, unittest\nclass It(unittest.TestCase):\n    def test_a(self): time.sleep(1)\n"
    (far.directory / "test_it.py").write_text(case)
    session = far.start(f"{sys.executable} -m unittest test_it > /dev/null 2>&1; sleep 2; true")
    await far.becomes(session, "COMPLETED")
    last = (await far.shown(session))["lastTest"]
    assert last["verdict"] == "unknown"
    assert last["reason"].endswith("and its exit status cannot be seen")
    assert not {"exitCode", "passed", "failed"} & {name for name, value in last.items() if value is not None}
    houses = (await far.http.get("/api/villages/demo/houses")).json()["items"]
    (house,) = [one for one in houses if one["repoPath"] == str(far.directory)]
    assert house["indicators"]["smoke"].get("buildStatus") not in ("passed", "failed")


async def test_what_a_runner_that_is_gone_left_is_told_by_another(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service was away when a session of another slot ended: any runner process of the machine tells its end."""
    monkeypatch.setattr("townwatch.runner.slots.FIRST_LOOK_SECONDS", 0.05)
    monkeypatch.setattr("townwatch.runner.slots.LOOK_SECONDS", 0.2)
    known = identity.load(far.town.state)
    nowhere = attrs.evolve(known, url="ws://127.0.0.1:9/runner")
    state = tmp_path / "machine"
    async with open_runner(nowhere, state, dispatch=False) as gone:
        gone.link.renew = lambda: nowhere
        plan = SessionSpec(
            session_id=new_session_id(), village="demo", command=["sh", "-c", "exit 7"], directory=far.directory
        )
        session = gone.start(plan)
        await session.over.wait()
    async with open_runner(known, state, dispatch=False):
        shown = await far.becomes(session, "FAILED")
    assert shown["exitCode"] == 7


async def test_sessions_beside_the_daemon_are_counted_apart(far: Far, tmp_path: Path) -> None:
    await far.becomes(far.start("sleep 1000"), "RUNNING")
    async with open_runner(identity.load(far.town.state), tmp_path / "beside", dispatch=False) as runner:
        await far.becomes(attrs.evolve(far, runner=runner).start("sleep 1000"), "RUNNING")
        (listed,) = (await far.http.get("/api/runners")).json()["items"]
        assert (listed["status"], listed["activeSessions"], listed["sessionsBeside"]) == ("online", 1, 1)
