"""Every command that keeps files says in one line why it cannot, where, and what to do; and makes nothing."""

from pathlib import Path

import pytest

from tests.support.command_line import Person

COMMANDS = [
    ("serve", "--port", "0"),
    ("run", "--", "true"),
    ("demo",),
    ("runner",),
    ("runner", "join", "http://127.0.0.1:1", "--code", "x"),
    ("link",),
    ("login", "http://127.0.0.1:1", "--code", "x"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_is_no_directory_is_said_in_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    person = Person.below(tmp_path)
    file = tmp_path / "file"
    file.touch()
    below = words[0] in ("serve", "runner", "link")
    state, said = (f"{file}/state", f"{file} is a file") if below else ("/dev/null", "it is a device")
    place = words.index("--") if "--" in words else len(words)
    done = person.townwatch(*words[:place], f"--state-dir={state}", *words[place:])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith(f"townwatch: {state} cannot be the state directory: {said}")
    assert "--state-dir" in done.stderr
    assert file.read_bytes() == b""
