"""Every command that keeps files says in one line why it cannot, where, and what to do; and makes nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.command_line import Person

COMMANDS = [
    ("serve", "--port", "0"),
    ("serve", "--port", "0", "--keep"),
    ("run", "--", "true"),
    ("demo",),
    ("runner",),
    ("runner", "join", "http://127.0.0.1:1", "--code", "x"),
    ("runner", "rotate"),
    ("link",),
    ("user", "list"),
    ("login", "http://127.0.0.1:1", "--code", "x"),
]


@pytest.mark.parametrize("kind", ["device", "below a file"])
def test_what_is_no_directory_is_said_in_one_line(tmp_path: Path, kind: str) -> None:
    person = Person.below(tmp_path)
    file = tmp_path / "file"
    file.touch()
    state, said = ("/dev/null", "it is a device") if kind == "device" else (f"{file}/state", f"{file} is a file")

    def run(words: tuple[str, ...]) -> tuple[int, str]:
        place = words.index("--") if "--" in words else len(words)
        done = person.townwatch(*words[:place], f"--state-dir={state}", *words[place:])
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(2) as pool:
        for words, (status, output) in zip(COMMANDS, pool.map(run, COMMANDS), strict=True):
            assert status == 2, (words, output)
            assert output.count("\n") == 1, (words, output)
            assert output.startswith(f"townwatch: {state} cannot be the state directory: {said}"), (words, output)
            assert "--state-dir" in output, (words, output)
    assert file.read_bytes() == b""
