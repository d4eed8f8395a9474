"""Going on with conversations that agents had outside."""

import json
import os
from pathlib import Path

import pytest

from townwatch.runner.agents import catalog
from townwatch.runner.agents.adopting import WAYS, CannotAdopt, command_line


def test_each_agent_goes_on_in_its_own_words_and_is_recognised() -> None:
    assert command_line("claude", "c1") == ["claude", "--resume", "c1"]
    assert command_line("codex", None, latest=True) == ["codex", "resume", "--last"]
    assert command_line("claude_code", None) == ["claude", "--resume"]
    assert command_line("copilot", "c1") == ["copilot", "--resume=c1"]
    for program in ("claude", "codex", "opencode", "gemini", "qwen"):
        assert catalog.recognise(command_line(program, "c1")) is not None
    assert set(WAYS) <= set(catalog.PROGRAMS.values())


@pytest.mark.parametrize(
    ("agent", "conversation", "why"),
    [("vim", "c1", "vim is no agent"), ("codex", "--yolo", "no name"), ("gemini", None, "--latest")],
)
def test_what_cannot_be_is_refused(agent: str, conversation: str | None, why: str) -> None:
    with pytest.raises(CannotAdopt, match=why):
        command_line(agent, conversation)


def test_a_conversation_that_is_open_is_not_adopted(tmp_path: Path) -> None:
    sessions = tmp_path / ".claude" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / f"{os.getpid()}.json").write_text(json.dumps({"sessionId": "c1", "status": "idle"}))
    (sessions / "99999999.json").write_text(json.dumps({"sessionId": "c2", "status": "idle"}))
    env = {"HOME": str(tmp_path)}
    with pytest.raises(CannotAdopt, match=f"open in process {os.getpid()}"):
        command_line("claude", "c1", env=env)
    assert command_line("claude", "c2", env=env)[-1] == "c2"
    with (tmp_path / "rollout-2026-5f0e2f2a-aa01.jsonl").open("w"), pytest.raises(CannotAdopt, match="open in process"):
        command_line("codex", "5f0e2f2a-aa01")
    assert command_line("codex", "5f0e2f2a-aa01")
