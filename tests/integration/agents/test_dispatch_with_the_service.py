"""Orders over REST to a whole runner: a worktree, a model, and a session that goes on; the agent speaks ACP."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.agents.test_acp_host import command
from tests.integration.agents.test_claude_with_the_service import Far
from tests.support.service import open_town
from townwatch.runner import identity
from townwatch.runner.opening import open_runner

pytestmark = pytest.mark.timeout(120)


def repository(directory: Path) -> Path:
    directory.mkdir()
    git = ["git", "-C", str(directory), "-c", "user.name=A", "-c", "user.email=a@b"]
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return directory


async def test_a_worktree_a_model_and_a_session_that_goes_on_over_rest(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    async with open_town(tmp_path / "service") as town:
        headers = {"authorization": f"Bearer {town.token}"}
        async with (
            httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False) as http,
            open_runner(identity.load(town.state), tmp_path / "runner", slot="main") as runner,
        ):
            with trio.fail_after(15):
                await runner.link.connected.wait()

            async def start(**more: Any) -> httpx.Response:
                body = {
                    "providerId": "acp",
                    "command": command("ask"),
                    "repoRef": {"provider": "local", "path": str(work)},
                    "task": {"title": "t", "goal": "go"},
                    **more,
                }
                return await http.post("/api/runner/sessions", json=body)

            refused = await start(model="unknown")
            if refused.status_code == 201:  # it began before the agent was asked
                ended = Far(http, refused.json()["sessionId"])
                why = await ended.until(lambda shown: shown["state"] in ("COMPLETED", "FAILED") and shown["reason"])
                assert "does not take the model unknown: session/set_model: no such model" in why
            started = await start(worktree={"branch": "agent/x"}, model="good")
            assert started.status_code == 201, started.text
            first = Far(http, started.json()["sessionId"])
            await first.decide(await first.asked(), decision="allow")
            await first.is_now("idle")
            shown = await first.until(lambda shown: shown)
            tree = shown["worktree"]
            assert (tree["branch"], tree["base"], tree["status"]) == ("agent/x", "main", "made")
            assert shown["workspacePath"] == tree["path"] != str(work)
            early = await start(resumeOf=first.session_id)
            assert (early.status_code, "stop it first" in early.text) == (409, True)
            early = await first.post("worktree/clean", discard=True)
            assert (early.status_code, "stop it first" in early.text) == (409, True)
            (Path(tree["path"]) / "new").write_text("x")
            await first.post("stop")
            kept = await first.until(lambda shown: shown["state"] == "COMPLETED" and shown["worktree"])
            assert kept["status"] == "kept"
            assert kept["reason"] == "2 files with changes that are not committed"  # and the agent's own notes
            assert (await start(resumeOf="nothing")).status_code == 404
            other = await start(resumeOf=first.session_id, providerId="claude_code")
            assert (other.status_code, other.json()["error"]["details"]) == (400, {"field": "providerId"})

            again = await start(resumeOf=first.session_id)
            assert again.status_code == 201, again.text
            second = Far(http, again.json()["sessionId"])
            await second.decide(await second.asked(), decision="deny")
            await second.is_now("idle")
            shown = await second.until(lambda shown: shown)
            assert shown["resumeOf"] == first.session_id
            assert shown["worktree"]["path"] == shown["workspacePath"] == tree["path"]
            assert shown["agent"]["cliSessionId"] == "s"
            told = (await http.get(f"/api/runner/sessions/{second.session_id}/events?limit=1000")).text
            assert "said before" not in told
            answers = (Path(tree["path"]) / "answers.jsonl").read_text().splitlines()
            methods = [json.loads(line).get("method") for line in answers]
            assert methods[:3] == ["initialize", "session/new", "session/set_model"]
            assert methods.count("session/load") == 1
            await second.post("stop")
            await second.until(lambda shown: shown["state"] == "COMPLETED")
            late = await first.post("worktree/clean", discard=True)
            assert (late.status_code, "has gone on in this worktree" in late.text) == (409, True)
            late = await second.post("worktree/clean")
            assert (late.status_code, "not committed" in late.text) == (409, True)
            assert (await second.post("worktree/clean", discard=True)).status_code == 200
            assert not Path(tree["path"]).exists()
            shown = await second.until(lambda shown: shown)
            assert (shown["worktree"]["status"], shown["worktree"].get("reason")) == ("removed", None)
            assert (await second.post("worktree/clean", discard=True)).status_code == 200
            seen = (await http.get("/api/runners")).json()["items"][0]["capabilities"]
            assert {"worktree", "model", "resume_of"} <= set(seen["features"])
