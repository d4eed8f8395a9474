"""A session that REST started, with nobody at a terminal: programs that ask their terminal get an answer."""

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.integration.runner.conftest import Far
from townwatch.actors.rendering.terminal import ANSWERS
from townwatch.runner.session.environment import session_environment

QUESTIONS = {
    "cursor position": (r"\e[3;7H\e[6n", r"\e[3;7R"),
    "status": (r"\e[5n", r"\e[0n"),
    "primary attributes": (r"\e[c", r"\e[?62;22c"),
    "secondary attributes": (r"\e[>c", r"\e[>0;276;0c"),
    "bracketed paste mode": (r"\e[?2004h\e[?2004$p", r"\e[?2004;1$y"),
    "synchronised output mode": (r"\e[?2026$p", r"\e[?2026;2$y"),
    "name and version": (r"\e[>0q", r"\eP>|xterm.js(6.0.0)\e\\"),
    "foreground": (r"\e]10;?\e\\", r"\e]10;rgb:d8d8/d9d9/d4d4\e\\"),
    "background": (r"\e]11;?\a", r"\e]11;rgb:0b0b/0e0e/1111\e\\"),
    "palette": (r"\e]4;1;?\a", r"\e]4;1;rgb:ffff/7a7a/6b6b\e\\"),
    "kitty keyboard": (r"\e[>1u\e[?u", r"\e[?1u"),
    "setting": (r"\e[2;9r\eP$qr\e\\", r"\eP1$r2;9r\e\\"),
    "size": (r"\e[18t", r"\e[8;32;120t"),
    "capability": (r"\eP+q544e\e\\", r"\eP1+r544e=787465726D2D323536636F6C6F72\e\\"),
    "cut between two writes": (r"\e[3;7H\e|[6n", r"\e[3;7R"),
}
ASKING = """
import os, select, sys, termios, time, tty
tty.setraw(0)
for part in {parts!r}:
    os.write(1, part); time.sleep(0.05)
end, got = time.monotonic() + 5, b""
while len(got) < {length} and (left := end - time.monotonic()) > 0:
    if select.select([0], [], [], left)[0]: got += os.read(0, 999)
if select.select([0], [], [], 0.2)[0]: got += os.read(0, 999)
os.write(1, b"\\r\\n<<" + got.hex().encode() + b">>\\r\\n")
"""


def real(text: str) -> bytes:
    return text.replace(r"\e", "\x1b").replace(r"\a", "\x07").replace("\\\\", "\\").encode()


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_question_is_answered_once(far: Far, question: str) -> None:
    asked, answer = QUESTIONS[question]
    script = ASKING.format(parts=[real(part) for part in asked.split("|")], length=len(real(answer)))
    body: dict[str, Any] = {
        "villageId": "demo",
        "providerId": "command",
        "command": [sys.executable, "-c", script],
        "repoRef": {"provider": "local", "path": str(far.directory)},
        "task": {"title": "ask", "goal": "ask the terminal"},
    }
    made = await far.http.post("/api/runner/sessions", json=body)
    assert made.status_code == 201, made.text
    session = Started(made.json()["sessionId"])
    await far.sees(session, "<<" + real(answer).hex() + ">>")  # pyright: ignore[reportArgumentType]


@attrs.frozen
class Started:
    """What `Far` needs of a session."""

    session_id: str

    @property
    def plan(self) -> "Started":
        return self


async def test_what_a_viewers_terminal_answers_is_not_typed_into_the_program(far: Far) -> None:
    session = far.start("stty -echo raw; printf ready; cat -v")
    await far.sees(session, "ready")  # pyright: ignore[reportArgumentType]
    for answer in ("\x1b[24;80R", "\x1b[?62;22c", "\x1b[?1;2c", "\x1b]11;rgb:0b0b/0e0e/1111\x1b\\", "\x1b[?2004;2$y"):
        assert ANSWERS.fullmatch(answer), answer
    for keys in ("a", "\x1b[A", "\x1b[1;2R", "\x1b[13;2u", "\x1b", "\x1b[200~x\x1b[201~", "\x1b[<0;1;1M", "\x1b[I"):
        assert not ANSWERS.fullmatch(keys), keys
    with trio.fail_after(5):
        await session.stop(graceful=False)


def test_a_daemons_session_gets_the_environment_of_the_pages_terminal() -> None:
    own = {
        "CLAUDECODE": "1",
        "TMUX": "/tmp/x",
        "TERM_PROGRAM": "vscode",
        "COLUMNS": "55",
        "LINES": "9",
        "HOME": "/home/a",
    }
    own |= {"TERM": "dumb", "PATH": "/usr/bin", "VSCODE_PID": "1", "LC_ALL": "C", "ANTHROPIC_API_KEY": "kept"}
    found = session_environment(own_terminal=False, environ=own)
    assert found["TERM"] == "xterm-256color"
    assert (found["COLORTERM"], found["LANG"]) == ("truecolor", "C.UTF-8")
    assert set(found) == {"TERM", "COLORTERM", "LANG", "HOME", "PATH", "ANTHROPIC_API_KEY"}
    assert found["PATH"].startswith("/usr/bin:")
    german = session_environment(own_terminal=False, environ={"LANG": "de_DE.UTF-8"})
    assert german["LANG"] == "de_DE.UTF-8"


async def test_a_dispatched_command_is_told_the_directory_it_works_in(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", "/somewhere/else")
    body: dict[str, Any] = {
        "villageId": "demo",
        "providerId": "command",
        "command": ["printenv", "PWD"],
        "repoRef": {"provider": "local", "path": str(far.directory)},
        "task": {"title": "where", "goal": "say where"},
    }
    made = await far.http.post("/api/runner/sessions", json=body)
    assert made.status_code == 201, made.text
    with trio.fail_after(15):
        while made.json()["sessionId"] not in far.runner.sessions:
            await trio.sleep(0.02)
    session = far.runner.sessions[made.json()["sessionId"]]
    await far.sees(session, str(far.directory))


def test_a_session_is_told_where_it_begins_and_not_where_its_runner_was_started(tmp_path: Path) -> None:
    own, there, name = {"PWD": "/srv/runner", "OLDPWD": "/root"}, tmp_path / "there", tmp_path / "name"
    there.mkdir()
    name.symlink_to(there)
    assert session_environment(False, own, there)["PWD"] == str(there)
    assert "OLDPWD" not in session_environment(False, own, there)
    assert session_environment(True, own, there)["PWD"] == str(there)
    as_a_shell_has_it = {"PWD": str(name), "OLDPWD": "/root"}
    assert session_environment(True, as_a_shell_has_it, there)["PWD"] == str(name)
    assert session_environment(True, as_a_shell_has_it, there)["OLDPWD"] == "/root"


def test_a_session_in_a_persons_own_terminal_keeps_what_is_said_about_it() -> None:
    own = {"TMUX": "/tmp/x", "TERM": "tmux-256color", "COLUMNS": "55", "LANG": "C"}
    found = session_environment(own_terminal=True, environ=own)
    assert {name: found[name] for name in ("TMUX", "TERM", "LANG")} == {
        "TMUX": "/tmp/x",
        "TERM": "tmux-256color",
        "LANG": "C",
    }
    assert "COLUMNS" not in found
