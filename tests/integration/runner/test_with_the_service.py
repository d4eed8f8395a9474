"""The real runner and the real service: watched, typed into, asked, approved and stopped from afar."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from runner import identity
from runner.identity import new_session_id
from runner.runner import Runner, open_runner
from runner.session import Plan, Session
from tests.integration.runner.conftest import until
from tests.support.service import Town, open_town

ASK = f"{sys.executable} -m app ask --category shell --risk high"


@attrs.define(eq=False)
class Far:
    """Somebody with a browser, far from the runner."""

    town: Town
    runner: Runner
    http: httpx.AsyncClient
    directory: Path

    def start(self, script: str) -> Session:
        plan = Plan(
            session_id=new_session_id(), village="demo", command=["bash", "-c", script], directory=self.directory
        )
        return self.runner.start(plan)

    async def post(self, session: Session, what: str, **body: Any) -> int:
        """The status of a request about a session."""
        return (await self.http.post(f"/api/runner/sessions/{session.plan.session_id}/{what}", json=body)).status_code

    async def shown(self, session: Session) -> dict[str, Any]:
        """What the service says of a session; nothing before it knows it."""
        answer = await self.http.get(f"/api/runner/sessions/{session.plan.session_id}")
        return answer.json() if answer.status_code == 200 else {}

    async def events(self, session: Session) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/runner/sessions/{session.plan.session_id}/events?limit=1000")
        return answer.json()["items"] if answer.status_code == 200 else []

    async def sees(self, session: Session, text: str) -> None:
        """Until the output that the service has holds this text."""
        with trio.fail_after(15):
            while text not in "".join(event.get("data", "") for event in await self.events(session)):
                await trio.sleep(0.05)

    async def becomes(self, session: Session, state: str) -> dict[str, Any]:
        with trio.fail_after(15):
            while (found := await self.shown(session)).get("state") != state:
                await trio.sleep(0.05)
        return found


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    directory = tmp_path / "work"
    directory.mkdir()
    async with open_town(tmp_path / "service") as town:
        known = identity.load(town.state)
        headers = {"authorization": f"Bearer {town.token}"}
        async with (
            httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False) as http,
            open_runner(known, tmp_path / "runner", slot="main") as runner,
        ):
            with trio.fail_after(15):
                await runner.link.connected.wait()
            yield Far(town, runner, http, directory)


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


async def test_a_no_from_afar_is_status_1_here_and_the_end(far: Far) -> None:
    session = far.start(f"{ASK} 'rm -rf /'; echo status=$?; sleep 1000")
    asked = await approval(far, session)
    assert await far.post(session, f"approvals/{asked}", decision="deny") == 200
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
