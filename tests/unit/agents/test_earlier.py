"""The stores in which CLIs keep conversations: what is listed of them, what is not, and what is said to be unknown."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from townwatch.contracts.lists import MOST_CONVERSATIONS
from townwatch.runner.agents import catalog
from townwatch.runner.agents.earlier import files, listing
from townwatch.runner.agents.earlier.stores import STORES

WHERE = "/src/shop"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A machine that has all of the CLIs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for provider in STORES:
        program = programs / catalog.PROGRAMS[provider]
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return {"HOME": str(tmp_path / "home"), "PATH": str(programs), "API_KEY": "a-very-secret-value"}


def write(path: Path, *lines: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def claude(env: dict[str, str], name: str, said: str, **more: Any) -> Path:
    line = {"type": "user", "cwd": WHERE, "message": {"role": "user", "content": said}, **more}
    place = Path(env["HOME"]) / ".claude" / "projects" / "-src-shop"
    return write(place / f"{name}.jsonl", {"type": "queue-operation"}, line)


def test_each_store_is_read_and_the_newest_come_first(env: dict[str, str]) -> None:
    home = Path(env["HOME"])
    old = claude(env, "c1", "mend the cart")
    os.utime(old, (1000, 1000))
    about = {"type": "session_meta", "payload": {"id": "x1", "cwd": WHERE, "source": "cli"}}
    context = {"type": "response_item", "payload": {"role": "user", "content": [{"text": "<environment_context>"}]}}
    said = {"type": "event_msg", "payload": {"type": "user_message", "message": "test\nthe cart"}}
    write(home / ".codex/sessions/2026/11/30/rollout-1-x1.jsonl", about, context, said)
    chats = home / ".gemini/tmp/shop/chats"
    write(chats / "session-1.jsonl", {"sessionId": "g1"}, {"type": "user", "content": [{"text": "draw it"}]})
    (chats.parent / ".project_root").write_text(WHERE)
    parts = {"type": "user", "cwd": WHERE, "message": {"parts": [{"text": "name it"}]}}
    write(home / ".qwen/projects/-src-shop/chats/q1.jsonl", parts)
    began = {"type": "session.start", "data": {"sessionId": "p1", "context": {"cwd": WHERE}}}
    write(home / ".copilot/session-state/p1/events.jsonl", began, {"type": "user.message", "data": {"content": "ship"}})
    (home / ".local/share/opencode").mkdir(parents=True)
    with sqlite3.connect(home / ".local/share/opencode/opencode.db") as database:
        database.execute("CREATE TABLE session (id, directory, title, time_updated, parent_id)")
        rows = [("o1", WHERE, "Paint", 2_000_000, None), ("o2", WHERE, "x", 1, "o1")]
        database.executemany("INSERT INTO session VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
    listed = listing.conversations(env)
    assert listed.unknown == []
    assert {one.path for one in listed.conversations} == {WHERE}
    last = [(one.conversation, one.title) for one in listed.conversations[-2:]]
    assert last == [("o1", "Paint"), ("c1", "mend the cart")]
    assert {(one.provider_id, one.conversation, one.title) for one in listed.conversations[:-2]} == {
        ("codex", "x1", "test the cart"),
        ("gemini_cli", "g1", "draw it"),
        ("qwen_code", "q1", "name it"),
        ("copilot", "p1", "ship"),
    }
    assert listing.conversations({**env, "PATH": "/nowhere"}).conversations == []


def test_secrets_and_control_characters_are_no_title_and_odd_names_are_left_out(env: dict[str, str]) -> None:
    claude(env, "c1", f"use a-very-secret-value \x1b[31mnow {'x' * 500}")
    claude(env, "-c2", "a name that would be an option")
    claude(env, "c3", "in no directory", cwd="relative")
    claude(env, "agent-1", "of a subagent")
    claude(env, "c4", "of a subagent", isSidechain=True)
    (one,) = listing.conversations(env).conversations
    assert one.title is not None
    assert one.title.startswith("use •••••• [31mnow xxx")
    assert len(one.title) <= files.TITLE_CHARS


def test_what_cannot_be_read_is_unknown_and_the_others_are_listed(env: dict[str, str], monkeypatch: Any) -> None:
    home = Path(env["HOME"])
    claude(env, "c1", "hello")
    write(home / ".codex/sessions/2026/11/30/rollout-1-x1.jsonl", {"a": "new shape"})
    (home / ".local/share/opencode").mkdir(parents=True)
    (home / ".local/share/opencode/opencode.db").write_text("no database, not at all")
    (home / ".qwen").mkdir()
    (home / ".qwen" / "projects").write_text("a file")
    listed = listing.conversations(env)
    assert [one.conversation for one in listed.conversations] == ["c1"]
    reasons = {one.provider_id: one.reason for one in listed.unknown}
    assert set(reasons) == {"codex", "opencode", "qwen_code"}
    assert "shape" in reasons["codex"]
    assert "database" in reasons["opencode"]


def test_pipes_are_not_waited_for_and_long_lists_are_cut(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    place = claude(env, "c0", "hello").parent
    os.mkfifo(place / "c-pipe.jsonl")
    assert [one.conversation for one in listing.conversations(env).conversations] == ["c0"]
    monkeypatch.setattr(files, "MOST_FILES", MOST_CONVERSATIONS + 10)
    for number in range(MOST_CONVERSATIONS + 1):
        claude(env, f"n{number}", "hello")
    listed = listing.conversations(env)
    assert (len(listed.conversations), listed.truncated) == (MOST_CONVERSATIONS, True)
