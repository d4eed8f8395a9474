"""Claude Code's TUI in a session: what it does is told as it is, and its dialogs are answered once, by either side."""

import json
import os
from pathlib import Path

import pytest
import trio

from tests.integration.agents.conftest import Bench, Home, open_terminal
from townwatch.runner.agents import adopting

pytestmark = pytest.mark.timeout(180)


async def test_a_turn_with_permissions_is_told_from_its_prompt_to_its_cost(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:test please")
        written = await agent.asks(1)
        assert (written["category"], written["summary"]) == ("edit", f"Write: {bench.directory}/test_sum.py")
        assert "+    def test_sum(self):" in written["context"]["diff"]
        assert agent.session.lifecycle.state == "WAITING_FOR_APPROVAL"
        await agent.decide(written, "allow")
        ran = await agent.asks(2)
        assert (ran["category"], ran["context"]["input"]["command"]) == ("shell", "python3 -m unittest -v test_sum")
        await agent.decide(ran, "allow")
        assert await agent.turn_ends() == "completed"
        await agent.is_now("idle")
        assert agent.session.lifecycle.state == "RUNNING"
        assert agent.resolved == [("allow", "ada"), ("allow", "ada")]
        assert agent.tools == [("Write", "running"), ("Write", "ok"), ("Bash", "running"), ("Bash", "ok")]
        assert [one["text"] for one in agent.told("prompt")] == ["do:test please"]
        assert agent.told("message")[-1]["text"] == "One test, which passes."
        (begun,) = [one for one in agent.events if one["type"] == "TEST_RUN_STARTED"]
        (ended,) = [one for one in agent.events if one["type"] == "TEST_RUN_FINISHED"]
        assert (begun["command"], ended["passed"], ended["exitCode"]) == ("python3 -m unittest -v test_sum", 1, 0)
        assert (bench.directory / "test_sum.py").exists()
        await agent.until(lambda one: one.session.usage._tokens and one.session.usage._tokens[0] >= 3600)
    ticks = [one["units"] for one in agent.events if one["type"] == "USAGE_TICK"]
    assert sum(one.get("inputTokens") or 0 for one in ticks) >= 3600
    assert sum(one.get("costUsd") or 0 for one in ticks) > 0
    assert any(one.get("model", "").startswith("claude") for one in ticks)


async def test_a_denial_is_about_the_one_call_and_the_agent_is_told_why(bench: Bench, claude: Path, home: Home) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:two")
        await agent.decide(await agent.asks(1), "deny", note="not the first")
        await agent.decide(await agent.asks(2), "allow")
        assert await agent.turn_ends() == "completed"
        assert agent.resolved == [("deny", "ada"), ("allow", "ada")]
        assert not (bench.directory / "first.txt").exists()
        assert (bench.directory / "second.txt").exists()
        assert "ada said no: not the first" in home.model.results[0]
        assert agent.tools == [("Bash", "running"), ("Bash", "denied"), ("Bash", "running"), ("Bash", "ok")]
        assert not agent.session.lifecycle.ended


async def test_what_the_terminal_answers_first_stands_and_is_withdrawn_from_everywhere_else(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:two")
        first = await agent.asks(1)
        await agent.dialog()
        await agent.keys("\r")  # yes
        await agent.until(lambda one: len(one.resolved) == 1)
        assert (await agent.decide(first, "deny")).ok  # too late: it changes nothing
        await agent.asks(2)
        await trio.sleep(1)  # a dialog takes no keys in its first moment
        await agent.keys("\x1b")  # no, and the turn is over
        await agent.until(lambda one: len(one.resolved) == 2)
        assert agent.resolved == [("withdrawn", "terminal"), ("withdrawn", "terminal")]
        await agent.is_now("idle")
        assert await agent.turn_ends() == "interrupted"
        assert agent.session.lifecycle.state == "RUNNING"
        assert (bench.directory / "first.txt").exists()
        assert not (bench.directory / "second.txt").exists()


async def test_a_question_is_answered_by_an_option_and_only_by_an_answer(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:ask")
        asked = await agent.asks()
        assert (asked["category"], asked["summary"]) == ("question", "AskUserQuestion: Which colour?")
        assert [one["label"] for one in asked["context"]["options"]] == ["red", "blue"]
        refused = await agent.decide(asked, "allow")
        assert not refused.ok
        assert "needs an answer" in refused.error.message
        assert agent.resolved == []
        assert (await agent.decide(asked, "allow", answers={"Which colour?": "blue"})).ok
        assert await agent.turn_ends() == "completed"
        assert "blue" in home.model.results[-1]
        assert agent.resolved == [("allow", "ada")]
        await agent.says("do:ask again")
        await agent.asks(2)
        await trio.sleep(1)
        await agent.keys("\x1b[B\r")  # the second one, in the terminal
        await agent.until(lambda one: len(one.resolved) == 2)
        assert agent.resolved[-1] == ("withdrawn", "terminal")
        assert await agent.turn_ends(2) == "completed"
        assert "blue" in home.model.results[-1]


async def test_text_never_answers_a_dialog_and_prompts_are_given_to_an_idle_agent(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.is_now("idle")
        assert (await agent.prompt("do:shell from afar")).ok
        asked = await agent.asks()
        for refused in (
            await agent.prompt("and the changelog"),
            await agent.prompt("stop, and the changelog", "interrupt"),
            await agent.command("input", data="please also update the changelog\r", mode="raw"),
            await agent.command("input", data="y", mode="line"),
        ):
            assert (refused.ok, refused.error.code) == (False, "WAITING")
        assert (await agent.prompt("do:hello later", "queue")).ok
        assert agent.resolved == []
        assert not (bench.directory / "shell.txt").exists()
        await agent.decide(asked, "allow")
        await agent.turn_ends(2)
        said = [(one["text"], one.get("queued", False)) for one in agent.told("prompt")]
        assert said == [("do:shell from afar", False), ("do:hello later", True), ("do:hello later", False)]
        assert agent.turns == ["completed", "completed"]


async def test_a_turn_is_interrupted_for_another_prompt(bench: Bench, claude: Path, home: Home) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:slow")
        await agent.is_now("busy")
        await agent.until(lambda one: "word3" in one.screen)
        assert (await agent.prompt("do:hello instead", "interrupt")).ok
        await agent.turn_ends(2)
        assert agent.turns == ["interrupted", "completed"]


async def test_a_trust_dialog_is_waited_for_and_nothing_answers_it_but_a_key(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home, trusted=False) as agent:
        await agent.is_now("waiting")
        assert agent.session.lifecycle.state == "WAITING_FOR_APPROVAL"
        refused = await agent.prompt("do:hello")
        assert (refused.ok, refused.error.code) == (False, "WAITING")
        assert agent.requests == []
        await agent.keys("\x1b[B")
        await trio.sleep(0.3)
        await agent.keys("\r")
        await agent.is_now("idle")
        assert agent.session.lifecycle.state == "RUNNING"


async def test_the_users_settings_hooks_and_plugins_are_left_as_they_are(
    bench: Bench, claude: Path, home: Home
) -> None:
    fired = bench.directory.parent / "fired"
    hook = {"hooks": [{"type": "command", "command": f"echo $CLAUDE_PID >> {fired}"}]}
    settings = home.path / ".claude" / "settings.json"
    settings.write_text(json.dumps({"hooks": {"PreToolUse": [hook], "PermissionRequest": [hook]}}))
    project = bench.directory / ".claude" / "settings.json"
    project.parent.mkdir()
    project.write_text(json.dumps({"hooks": {"Stop": [hook]}}))
    before = settings.read_bytes(), project.read_bytes()
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:shell")
        await agent.decide(await agent.asks(), "allow")
        await agent.turn_ends()
        await agent.until(lambda _: len(fired.read_text().split()) >= 3)
        files = bench.directory.parent / "state" / "runner" / "main" / "agents"
        assert {oct(one.stat().st_mode & 0o777) for one in files.iterdir()} == {"0o700"}
    assert (settings.read_bytes(), project.read_bytes()) == before
    assert list(files.iterdir()) == []


async def test_a_runner_that_does_not_answer_leaves_the_dialog_in_charge(
    bench: Bench, claude: Path, home: Home
) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.is_now("idle")
        bench.runner.agent_http.forget(agent.session.plan.session_id)  # every hook is refused from now on
        await agent.says("do:shell")
        await agent.is_now("waiting")
        assert agent.requests == []
        assert agent.session.lifecycle.state == "WAITING_FOR_APPROVAL"
        await agent.dialog()
        assert not (bench.directory / "shell.txt").exists()
        await agent.keys("\r")
        await agent.until(lambda _: (bench.directory / "shell.txt").exists())
        await agent.is_now("idle")


async def test_a_stop_while_a_dialog_is_open_is_a_no(bench: Bench, claude: Path, home: Home) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:shell")
        await agent.asks()
        await agent.command("stop")
        await agent.session.over.wait()
        assert agent.resolved == [("deny", "session end")]
        assert not (bench.directory / "shell.txt").exists()


@pytest.mark.parametrize(("afar", "key"), [("deny", "\r"), ("allow", "\x1b")])
async def test_two_answers_at_once_are_one_and_everybody_says_which(
    bench: Bench, claude: Path, home: Home, afar: str, key: str
) -> None:
    async with open_terminal(bench, claude, home) as agent:
        await agent.says("do:shell")
        asked = await agent.asks()
        await agent.dialog()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent.decide, asked, afar)
            nursery.start_soon(agent.keys, key)
        await agent.is_now("idle")
        await agent.until(lambda one: one.resolved)
        (resolved,) = agent.resolved
        # A yes from afar may be taken, and the Esc that comes then interrupts the command: that is no answer any more.
        taken = agent.tools[-1][1] != "denied" if afar == "allow" else not (bench.directory / "shell.txt").exists()
        assert resolved == ((afar, "ada") if taken else ("withdrawn", "terminal"))
        if agent.tools[-1][1] == "denied":
            assert not (bench.directory / "shell.txt").exists()


async def test_a_conversation_that_began_outside_is_adopted(
    bench: Bench, claude: Path, home: Home, tmp_path: Path
) -> None:
    home.know(bench.directory)
    conversation = "0b1e3a6e-6a44-4c0e-9f38-53f3a4b0a001"
    asked = [str(claude), "-p", "do:shell please", f"--session-id={conversation}", "--allowedTools=Bash"]
    await trio.run_process(asked, cwd=bench.directory, env={**os.environ, **home.env}, capture_stdout=True)
    _, *flags = adopting.command_line("claude", conversation, env=home.env)
    async with open_terminal(bench, claude, home, *flags) as agent:
        await agent.says("do:hello")
        assert await agent.turn_ends() == "completed"
        assert home.model.history == ["shell", "hello"]
        assert agent.told("session")[-1]["cliSessionId"] == conversation
