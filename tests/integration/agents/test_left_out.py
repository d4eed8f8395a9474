"""A village that keeps nothing of what is said, a whole runner, and a service that is torn down while an agent asks."""

from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.agents.test_acp_host import command
from tests.integration.agents.test_claude_with_the_service import Far
from tests.integration.service.test_left_out import PHRASE, SAID, files_with, keep_out
from tests.integration.service.test_promises import crashing
from tests.support.people import rest
from tests.support.service import open_town
from townwatch.config.process import free_port
from townwatch.config.settings import Settings
from townwatch.runner import identity
from townwatch.runner.opening import open_runner

pytestmark = pytest.mark.timeout(60)


async def start(http: httpx.AsyncClient, work: Path) -> Far:
    body: dict[str, Any] = {
        "providerId": "acp",
        "command": command("ask"),
        "repoRef": {"provider": "local", "path": str(work)},
        "task": {"title": "t", "goal": f"go {SAID}"},
    }
    started = await http.post("/api/runner/sessions", json=body)
    assert started.status_code == 201, started.text
    return Far(http, started.json()["sessionId"])


async def test_a_question_outlives_the_service_in_the_runners_memory_alone(tmp_path: Path) -> None:
    work, state, port = tmp_path / "work", tmp_path / "service", free_port("127.0.0.1")
    work.mkdir()

    def changes(settings: Settings) -> Settings:
        return attrs.evolve(settings, server=attrs.evolve(settings.server, port=port))

    async with crashing(state, changes) as (town, http):
        await keep_out(http)
        known = identity.load(town.state)
    async with open_runner(known, tmp_path / "runner", slot="main") as runner:
        async with crashing(state, changes) as (town, http):
            with trio.fail_after(15):
                await runner.link.connected.wait()
            far = await start(http, work)
            asked = await far.asked()
            assert asked["context"]["input"] == {"command": "make"}
            assert SAID in (work / "answers.jsonl").read_text()  # the agent was told
        async with open_town(state, changes) as town, rest(town, town.token) as http:
            far = Far(http, far.session_id)
            with trio.fail_after(20):
                while "leftOut" in (asked := await far.asked()):
                    await trio.sleep(0.05)
            assert asked["context"]["input"] == {"command": "make"}
            assert (await far.decide(asked, decision="allow")).status_code == 200
            await far.is_now("idle")
            assert await far.resolved() == [("allow", "Owner")]
            told = (await http.get(f"/api/runner/sessions/{far.session_id}/events?limit=1000")).text
            assert PHRASE in told
            assert '"make' not in told
            assert files_with(state, SAID) == []
