"""A CLI of an unknown version runs; what it says in an unknown shape turns its adapter off, in one alert."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.agents.conftest import Agent
from tests.integration.runner.conftest import Bench, until
from tests.support.agents import fake_wire
from townwatch.runner.agents.adapter import Adapter
from townwatch.runner.agents.claude.terminal import ClaudeTerminal
from townwatch.runner.agents.codex.adapter import CodexAdapter
from townwatch.runner.agents.copilot.adapter import CopilotTerminal
from townwatch.runner.agents.gemini.adapter import GeminiTerminal
from townwatch.runner.agents.opencode.adapter import OpenCodeAdapter
from townwatch.runner.agents.qwen.adapter import QwenTerminal

PROGRAM = f"""#!{sys.executable} -ISu
import sys, time
print("I-am-the-screen", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""
RECORDING = f"""#!{sys.executable} -ISu
import pathlib, runpy, sys
runpy.run_path({str(Path(fake_wire.__file__))!r})["main"](pathlib.Path(sys.argv[0]).name, sys.argv[1:])
"""
OF_CLAUDE = {"session_id": "c1", "hook_event_name": "PermissionRequest", "tool_input": {"command": "ls"}}
Odd = Callable[[Agent], Awaitable[None]]


async def claude_asks_without_a_tool(agent: Agent) -> None:
    host = agent.session.agent
    assert host is not None
    token = agent.session._env["TOWNWATCH_ASK_TOKEN"]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False) as http:
        good: dict[str, Any] = {**OF_CLAUDE, "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "t1"}
        await http.post(f"{host.base_url}/hook", headers=headers, json=good)
        with pytest.raises(httpx.ReadTimeout):  # held: the dialog in the terminal is in charge
            await http.post(f"{host.base_url}/hook", headers=headers, json=OF_CLAUDE, timeout=1)


async def qwen_asks_without_an_id(agent: Agent) -> None:
    host = agent.session.agent
    assert host is not None
    place = Path(host.launch.directory) / "events.jsonl"
    await until(place.exists)
    with place.open("a") as file:
        file.write('{"type": "control_request", "request": {"subtype": "can_use_tool", "input": 5}}\n')


async def copilot_names_no_tool(agent: Agent) -> None:
    await until(lambda: "waiting" in agent.statuses)  # nothing has begun, and its screen stands still
    session = Path(agent.session._env["HOME"]) / ".copilot" / "session-state" / "s1"
    session.mkdir(parents=True)
    first = {
        "type": "session.start",
        "data": {"sessionId": "s1", "context": {"cwd": str(agent.session.plan.directory)}},
    }
    odd = {"type": "tool.execution_start", "data": {"toolCallId": 5}}
    (session / "events.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in (first, odd)))


async def says_what_was_recorded_and_then_something_odd(agent: Agent) -> None:
    """Its adapter has read a turn up to a dialog; then comes a message in another shape, then the rest of the turn."""
    await agent.is_now("waiting")
    if agent.session.plan.provider != "gemini_cli":  # its hooks see a dialog, and cannot answer it
        await agent.asks()
    await agent.keys("odd\r")


CASES: list[tuple[str, type[Adapter], Odd]] = [
    ("claude", ClaudeTerminal, claude_asks_without_a_tool),
    ("qwen", QwenTerminal, qwen_asks_without_an_id),
    ("copilot", CopilotTerminal, copilot_names_no_tool),
    ("codex", CodexAdapter, says_what_was_recorded_and_then_something_odd),
    ("opencode", OpenCodeAdapter, says_what_was_recorded_and_then_something_odd),
    ("gemini", GeminiTerminal, says_what_was_recorded_and_then_something_odd),
]
RECORDED = {"codex", "opencode", "gemini"}


@pytest.mark.parametrize(("name", "adapter", "odd"), CASES, ids=[name for name, _, _ in CASES])
async def test_the_terminal_goes_on_and_one_alert_says_why(
    bench: Bench, tmp_path: Path, name: str, adapter: type[Adapter], odd: Odd
) -> None:
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    program.write_text(RECORDING if name in RECORDED else PROGRAM)
    program.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    session = bench.start(str(program), provider=adapter.provider, adapter=adapter, env={"HOME": str(home)})
    agent = Agent(bench, session)
    await bench.shows(session, "I-am-the-screen")
    await odd(agent)
    await agent.is_now("unknown")
    (alert,) = await until(lambda: [one for one in agent.events if one["type"] == "ALERT_RAISED"])
    assert (alert["severity"], alert["title"]) == ("info", f"adapter off: {adapter.provider}")
    assert "goes on as a plain terminal" in alert["description"]
    assert agent.resolved == [("withdrawn", "terminal")] * len(agent.requests)
    last = agent.told("status")[-1]
    assert (last["status"], last["for"].startswith("not connected: ")) == ("unknown", True)
    await session.type("hello\r")
    await bench.shows(session, "heard hello")
    if name in RECORDED:  # the rest of the turn was said behind it: nobody takes it for work
        assert agent.told("status")[-1] == last
        assert session.events.lifecycle.state == "RUNNING"
    refused = await agent.prompt("go on")
    assert not refused.ok
    assert f"not connected; type into its terminal: unknown ({last['for']})" in refused.error.message
    assert [one["title"] for one in agent.events if one["type"] == "ALERT_RAISED"] == [alert["title"]]
    await session.stop(graceful=False)
    await bench.over(session)
