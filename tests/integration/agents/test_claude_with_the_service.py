"""The whole product around the real Claude Code: a person's terminal, the service, and somebody far away."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.agents.conftest import Home
from tests.integration.runner.test_run_command import Screen, own_terminal
from tests.support.service import open_town
from townwatch.config.process import free_port
from townwatch.runner import identity
from townwatch.runner.opening import open_runner

pytestmark = pytest.mark.timeout(180)
TOWNWATCH = [sys.executable, "-P", "-m", "townwatch"]


@attrs.define(eq=False)
class Far:
    """Somebody with a browser. `session_id`: the one session that they look at."""

    http: httpx.AsyncClient
    session_id: str = ""

    async def get(self, path: str) -> Any:
        try:
            answer = await self.http.get(path)
        except httpx.TransportError:  # the service is away
            return {}
        return answer.json() if answer.status_code == 200 else {}

    async def until(self, wanted: Any) -> Any:
        """What `wanted` says of the session, as soon as it says something."""
        shown: Any = {}
        with trio.move_on_after(150):
            while True:
                shown = await self.get(f"/api/runner/sessions/{self.session_id}") if self.session_id else {}
                if shown and (found := wanted(shown)):
                    return found
                if not self.session_id:
                    items = (await self.get("/api/runner/sessions")).get("items") or [{}]
                    self.session_id = items[0].get("sessionId", "")
                await trio.sleep(0.05)
        raise AssertionError(f"it did not come; the session: {shown}")

    async def is_now(self, status: str) -> None:
        await self.until(lambda shown: (shown.get("agent") or {}).get("status") == status)

    async def asked(self) -> dict[str, Any]:
        """The one approval that waits, as the list for everything has it."""
        await self.until(lambda shown: shown["pendingApprovals"])
        (waiting,) = (await self.get("/api/approvals"))["items"]
        return waiting

    async def post(self, what: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/api/runner/sessions/{self.session_id}/{what}", json=body)

    async def decide(self, approval: dict[str, Any], **body: Any) -> httpx.Response:
        return await self.post(f"approvals/{approval['approvalId']}", **body)

    async def resolved(self) -> list[tuple[str, str]]:
        items = (await self.get(f"/api/runner/sessions/{self.session_id}/events?limit=1000"))["items"]
        found = [one for one in items if one["type"] == "APPROVAL_RESOLVED"]
        return [(one["decision"], one.get("resolvedBy", "")) for one in found]


@asynccontextmanager
async def service(state: Path, port: int) -> AsyncIterator[trio.Process]:
    """A service in a process of its own, which is killed at the end."""
    command = [*TOWNWATCH, "serve", f"--state-dir={state}", f"--port={port}"]
    process = await trio.lowlevel.open_process(command, stdout=-3, stderr=-3)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            with trio.fail_after(90):
                while True:
                    try:
                        if (await http.get("/readyz")).status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    await trio.sleep(0.05)
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def signed_in(http: httpx.AsyncClient, state: Path) -> None:
    """As the owner, with a link that the machine prints."""
    link = await trio.run_process([*TOWNWATCH, "link", f"--state-dir={state}"], capture_stdout=True)
    code = link.stdout.decode().strip().partition("code=")[2]
    token = (await http.post("/api/auth/exchange", json={"code": code})).json()["token"]
    http.headers["authorization"] = f"Bearer {token}"


async def test_one_session_is_the_real_terminal_and_is_answered_from_afar_over_a_killed_service(
    tmp_path: Path, claude: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, state, port = tmp_path / "work", tmp_path / "state", free_port("127.0.0.1")
    work.mkdir()
    home.know(work)
    for name, value in home.env.items():
        monkeypatch.setenv(name, value)
    here = ["bash", "-c", f"cd '{work}' && exec \"$@\"", "bash"]
    command = [*here, *TOWNWATCH, "run", f"--state-dir={state}", "--", str(claude), "--permission-mode=manual"]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        far = Far(http)
        async with service(state, port) as process:
            await signed_in(http, state)
            async with own_terminal(state, *command) as screen:
                await far.is_now("idle")
                shown = await far.until(lambda shown: shown)
                assert (shown["providerId"], shown["agent"]["version"]) == ("claude_code", "2.1.332")
                await _types(screen, "do:two")
                asked = await far.asked()
                assert asked["summary"] == "Bash: echo first > first.txt"
                refused = await far.post("input", data="please also update the changelog\r")
                assert (refused.status_code, refused.json()["error"]["code"]) == (409, "WAITING")
                refused = await far.post("prompts", text="and the changelog")
                assert (refused.status_code, refused.json()["error"]["code"]) == (409, "WAITING")
                process.kill()  # while the dialog is open
                await process.wait()
                assert not (work / "first.txt").exists()
                await _after_the_service_is_back(far, screen, asked, state, port, work)


async def _after_the_service_is_back(
    far: Far, screen: Screen, asked: dict[str, Any], state: Path, port: int, work: Path
) -> None:
    async with service(state, port):
        await far.is_now("waiting")
        assert (await far.asked())["approvalId"] == asked["approvalId"]
        assert (await far.decide(asked, decision="allow")).status_code == 200
        await far.until(lambda shown: [one["summary"] for one in shown["pendingApprovals"]] == [SECOND])
        assert (work / "first.txt").exists()
        second = await far.asked()
        await trio.sleep(1)  # a dialog takes no keys in its first moment
        await screen.type("\r")
        await far.until(lambda shown: not shown["pendingApprovals"])
        late = await far.decide(second, decision="deny")
        assert (late.status_code, late.json()["error"]["details"]["standing"]["resolvedBy"]) == (409, "terminal")
        await far.is_now("idle")
        assert (work / "second.txt").exists()
        assert await far.resolved() == [("allow", "Owner"), ("withdrawn", "terminal")]
        assert (await far.post("prompts", text="do:hello from afar")).status_code == 201
        await screen.shows("Hello")
        await far.is_now("idle")
        await _types(screen, "/exit")
        ended = await far.until(lambda shown: shown["state"] == "COMPLETED" and shown)
        assert ended["usage"]["costUsd"] > 0
        assert ended["usage"]["inputTokens"] >= 1200 * 4
        assert ended["usage"]["model"].startswith("claude")


SECOND = "Bash: echo second > second.txt"


async def _types(screen: Screen, text: str) -> None:
    await screen.type(text)
    await trio.sleep(0.7)
    await screen.type("\r")


async def test_a_session_is_started_from_afar_asked_and_answered_from_afar(
    tmp_path: Path, claude: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(claude.parent), os.environ["PATH"]]))
    async with open_town(tmp_path / "service") as town:
        headers = {"authorization": f"Bearer {town.token}"}
        async with (
            httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False) as http,
            open_runner(identity.load(town.state), tmp_path / "runner", slot="main") as runner,
        ):
            with trio.fail_after(15):
                await runner.link.connected.wait()
            started = await http.post(
                "/api/runner/sessions",
                json={
                    "providerId": "claude_code",
                    "runnerId": "runner_local",
                    "repoRef": {"provider": "local", "path": str(work)},
                    "task": {"title": "Ask", "goal": "do:ask"},
                    "env": home.env,
                },
            )
            assert started.status_code == 201, started.text
            far = Far(http, started.json()["sessionId"])
            asked = await far.asked()
            assert asked["context"]["questions"][0]["question"] == "Which colour?"
            empty = await far.decide(asked, decision="allow")
            assert empty.status_code == 400
            assert (await far.decide(asked, decision="allow", answers={"Which colour?": "red"})).status_code == 200
            await far.is_now("idle")
            assert await far.resolved() == [("allow", "Owner")]
            assert (await far.post("prompts", text="do:two")).status_code == 201
            asked = await far.asked()
            queued = (await far.post("prompts", text="do:hello", mode="queue")).json()["promptId"]
            await far.until(lambda shown: [one["promptId"] for one in shown["agent"]["prompts"]] == [queued])
            listed = (await far.get(f"/api/runner/sessions/{far.session_id}/prompts"))["items"]
            assert [(one["promptId"], one["text"]) for one in listed] == [(queued, "do:hello")]
            gone = await http.delete(f"/api/runner/sessions/{far.session_id}/prompts/{queued}")
            assert gone.status_code == 200
            await far.until(lambda shown: shown["agent"]["prompts"] == [])
            assert (await far.decide(asked, decision="deny", stop=True)).status_code == 200
            await far.until(lambda shown: shown["state"] == "COMPLETED")
            assert not list(work.iterdir())
