"""The ACP face: the official client of npm, as an editor, drives sessions through a whole service and a real runner."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.integration.agents.conftest import Home, claude as claude, home as home, model as model
from tests.integration.agents.test_acp_host import command
from tests.integration.runner.conftest import Far, far as far
from tests.support.people import person
from tests.support.service import JS, NodeClient, Town, open_node

pytestmark = pytest.mark.timeout(120)
Json = dict[str, Any]


@attrs.define(eq=False)
class Editor:
    """The official client in a process of its own."""

    node: NodeClient
    cwd: Path

    async def tell(self, what: str, params: Any) -> None:
        stdin = self.node._process.stdin
        assert stdin is not None
        await stdin.send_all(json.dumps([what, params]).encode() + b"\n")

    async def until(self, wanted: Callable[[Json], Any]) -> Json:
        return await self.node.until(wanted)

    async def ask(self, what: str, params: Any = None) -> Json:
        await self.tell(what, params or {})
        return await self.answer(what)

    async def answer(self, what: str) -> Json:
        line = await self.until(lambda line: line.get("to") == what)
        assert "error" not in line, line
        return line["answer"]

    async def new(self) -> str:
        return (await self.ask("session/new", {"cwd": str(self.cwd), "mcpServers": []}))["sessionId"]

    async def prompt(self, session: str, text: str) -> None:
        await self.tell("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": text}]})

    def updates(self, kind: str) -> list[Json]:
        found = [line["update"] for line in self.node.lines if "update" in line]
        return [one for one in found if one["sessionUpdate"] == kind]

    @property
    def said(self) -> str:
        return "".join(one["content"]["text"] for one in self.updates("agent_message_chunk"))


@asynccontextmanager
async def open_editor(town: Town, cwd: Path, *options: str, token: str | None = None) -> AsyncIterator[Editor]:
    if not (JS / "node_modules" / "@agentclientprotocol" / "sdk").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    arguments = ["-P", "-m", "townwatch", "acp", f"--state-dir={town.state}", *options]
    arguments[4:4] = [f"--token={token}"] if token else []
    async with open_node(JS / "acp.mjs", json.dumps({"command": sys.executable, "args": arguments})) as process:
        editor = Editor(NodeClient(process), cwd)
        about = {"protocolVersion": 1, "clientInfo": {"name": "zed", "version": "1"}, "clientCapabilities": {}}
        greeted = await editor.ask("initialize", about)
        assert (greeted["protocolVersion"], greeted["agentInfo"]["name"]) == (1, "townwatch")
        assert greeted["agentCapabilities"]["loadSession"]
        yield editor


def scripted(mode: str) -> list[str]:
    return ["--agent=acp", "--", *command(mode)]


async def sessions(far: Far) -> list[Json]:
    return (await far.http.get("/api/runner/sessions")).json()["items"]


async def test_the_main_job(far: Far) -> None:
    async with open_editor(far.town, far.directory, *scripted("ask")) as editor:
        session = await editor.new()
        assert await sessions(far) == []  # nothing runs before the first prompt
        await editor.prompt(session, "go")
        asked = (await editor.until(lambda line: "asked" in line))["asked"]
        assert asked["sessionId"] == session and asked["toolCall"]["kind"] == "execute"
        assert [one["kind"] for one in asked["options"]] == ["allow_once", "allow_always", "reject_once"]
        await editor.tell("choose", "yes")
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"
        (began,) = editor.updates("tool_call")
        assert (began["title"], began["rawInput"], began["toolCallId"]) == ("make", {"command": "make"}, "t1")
        assert editor.updates("tool_call_update")[-1]["status"] == "completed"
        assert editor.updates("user_message_chunk") == []  # the editor shows its own prompt
        (shown,) = await sessions(far)
        assert (shown["agentName"], shown["providerId"]) == (f"zed {session}", "acp")

        await editor.prompt(session, "again")  # first decision wins: this one is made on the page
        await editor.until(lambda line: "asked" in line)
        (waiting,) = (await far.http.get("/api/approvals")).json()["items"]
        path = f"/api/runner/sessions/{shown['sessionId']}/approvals/{waiting['approvalId']}"
        assert (await far.http.post(path, json={"decision": "deny"})).status_code == 200
        await editor.until(lambda line: "withdrawn" in line)
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"

        await editor.prompt(session, "a third time")  # and this turn is cancelled with its question open
        await editor.until(lambda line: "asked" in line)
        await editor.tell("session/cancel", {"sessionId": session})
        assert (await editor.answer("session/prompt"))["stopReason"] == "cancelled"
        answers = [json.loads(line) for line in (far.directory / "answers.jsonl").read_text().splitlines()]
        assert [one["params"]["prompt"][0]["text"] for one in answers if one.get("method") == "session/prompt"] == [
            "go", "again", "a third time",
        ]  # fmt: skip
        outcomes = [one["result"]["outcome"].get("optionId") for one in answers if "outcome" in one.get("result", {})]
        assert outcomes == ["yes", "no", None]


async def test_a_session_is_loaded_listed_and_gone_on_with(far: Far) -> None:
    async with open_editor(far.town, far.directory, *scripted("plain")) as editor:
        session = await editor.new()
        await editor.prompt(session, "say something")
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"
        assert editor.said == "heard"
    async with open_editor(far.town, far.directory, *scripted("plain")) as editor:  # the editor was started anew
        await editor.ask("session/load", {"sessionId": session, "cwd": str(far.directory), "mcpServers": []})
        assert [one["content"]["text"] for one in editor.updates("user_message_chunk")] == ["say something"]
        assert editor.said == "heard"
        await editor.prompt(session, "and more")
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"
        assert editor.said == "heardheard"
        (listed,) = (await editor.ask("session/list", {"cwd": str(far.directory)}))["sessions"]
        await editor.ask("session/close", {"sessionId": session})
        with trio.fail_after(20):
            while (await sessions(far))[0]["state"] != "COMPLETED":
                await trio.sleep(0.05)
        loaded = {"sessionId": listed["sessionId"], "cwd": str(far.directory), "mcpServers": []}
        await editor.ask("session/load", loaded)  # by the service's own name, and it has ended
        await editor.prompt(listed["sessionId"], "go on")
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"
        newest, *_ = await sessions(far)
        assert (newest["resumeOf"], newest["state"]) == (listed["sessionId"], "RUNNING")


async def test_what_cannot_be_is_said(far: Far) -> None:
    reader = await person(far.town, "reader", "operator", scopes=frozenset({"read"}))
    async with open_editor(far.town, far.directory, *scripted("plain"), token=reader) as editor:

        async def refused(what: str, params: Json) -> str:
            await editor.tell(what, params)
            line = await editor.until(lambda line: line.get("to") == what)
            return f"{line.get('code')} {line.get('error')}"

        session = await editor.new()
        text = {"type": "text", "text": "go"}
        assert "drive" in await refused("session/prompt", {"sessionId": session, "prompt": [text]})
        assert "-32002" in await refused("session/prompt", {"sessionId": "none", "prompt": [text]})
        image = {"type": "image", "mimeType": "image/png", "data": "aa"}
        assert "image" in await refused("session/prompt", {"sessionId": session, "prompt": [image]})
        long = {"type": "text", "text": "x" * 4001}
        assert "4000" in await refused("session/prompt", {"sessionId": session, "prompt": [long]})
        assert "absolute" in await refused("session/new", {"cwd": "here", "mcpServers": []})
        load = {"cwd": "/", "mcpServers": []}
        assert "-32002" in await refused("session/load", {"sessionId": "acp-000000000000", **load})
        assert "-32002" in await refused("session/load", {"sessionId": "nothing", **load})
        assert "-32601" in await refused("session/set_mode", {"sessionId": session, "modeId": "x"})
        assert await sessions(far) == []


@pytest.fixture
def at_home(tmp_path: Path, claude: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The real Claude Code is found by the runner, and asks the scripted model."""
    home.know(tmp_path / "work")
    for name, value in home.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{claude.parent}:/usr/bin:/bin")
    return home


async def test_a_real_agent(at_home: Home, far: Far) -> None:
    async with open_editor(far.town, far.directory) as editor:
        session = await editor.new()
        await editor.prompt(session, "do:shell")
        asked = (await editor.until(lambda line: "asked" in line or line.get("to")))["asked"]
        assert "shell.txt" in asked["toolCall"]["title"]
        allow = next(one for one in asked["options"] if one["kind"] == "allow_once")
        await editor.tell("choose", allow["optionId"])
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"
        assert [one["kind"] for one in editor.updates("tool_call")] == ["execute"]
        assert editor.updates("tool_call_update")[-1]["status"] == "completed"
        assert "The command ran." in editor.said
        assert (far.directory / "shell.txt").read_text() == "from-the-shell\n"
        await editor.prompt(session, "do:slow")
        with trio.fail_after(15):
            while (await sessions(far))[0]["agent"]["status"] != "busy":
                await trio.sleep(0.05)
        await editor.tell("session/cancel", {"sessionId": session})
        assert (await editor.answer("session/prompt"))["stopReason"] == "cancelled"
        await editor.prompt(session, "do:hello")
        assert (await editor.answer("session/prompt"))["stopReason"] == "end_turn"
        assert editor.said.endswith("Hello from the scripted model.")
