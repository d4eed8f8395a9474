"""Ten ways and more to get it wrong: one line that says what, where and what to do, status 2, never a traceback."""

import os
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, SECONDS, Person, one_line

JOIN, RUNNER = ("runner", "join"), ("runner", "--runner-id=r", "--token=x")
WRONG: list[tuple[tuple[str, ...], str]] = [
    (("serve", "--port=70000"), "port 70000"),
    (("serve", "--port=-1"), "port -1"),
    (("serve", "--port=1.5"), "1.5"),
    ((*RUNNER, "--url=ws://127.0.0.1:9/runner", "--max-sessions=2.5"), "2.5"),
    (("serve", "--host=nowhere.invalid"), "nowhere.invalid:8484: "),
    ((*RUNNER, "--url=nonsense://x"), "scheme 'nonsense'"),
    ((*RUNNER, "--url=ws://host:99999/runner"), "no address of a service"),
    (("runner", "--url=ws://127.0.0.1:9/runner", "--token=x"), "--runner-id"),
    (("runner", "--url=ws://127.0.0.1:9/runner", "--runner-id=r"), "--token"),
    ((*JOIN, "ftp://host", "--code=x"), "scheme 'ftp'"),
    ((*JOIN, "http://[::1", "--code=x"), "no address of a service"),
    ((*JOIN, "http://elsewhere.invalid", "--code=x"), "in the clear"),
    ((*JOIN, "https://elsewhere.invalid", "--code=x"), "https://elsewhere.invalid: "),
    ((*JOIN, "127.0.0.1:9", "--code=x"), "http://127.0.0.1:9: "),
    ((*RUNNER, "--url=ws://127.0.0.1:9/runner", "--max-sessions=-1"), "--max-sessions -1: 0 or more"),
    ((*RUNNER, "--url=ws://127.0.0.1:9/runner", "--spool-mb=0"), "--spool-mb 0: 1 or more"),
    (("chaos", "nonsense://x"), "scheme 'nonsense'"),
    (("run",), "which command"),
    (("run", "--nope"), "unknown option --nope"),
    (("run", "--json", "ls"), "unknown option --json"),
    (("acp", "--nope"), "unknown option --nope; see townwatch acp --help"),
    (("start", "--nope"), "unknown option --nope; see townwatch start --help"),
    (("link", "x", "y"), "Too many words: 'x', 'y' (quote what has blanks). See townwatch link --help"),
    (("user", "--url", "x"), 'no command is "--url". Available commands'),
    (("adopt",), "AGENT is missing. See townwatch adopt --help"),
    (("runner", "join", "https://elsewhere.invalid"), "--code is missing. See townwatch runner join --help"),
    (("runner", "join", "https://elsewhere.invalid", "--code"), "--code requires an argument"),
    (("login", "127.0.0.1:9", "--email=a@b"), "no password of a@b was given"),
    (("login", "127.0.0.1:9", "--token", "-"), "nothing was given"),
    (("serve", "--host="), "[server] host is empty: 127.0.0.1 is this machine only"),
    (("serve", "--state-dir="), "It is empty: say which one, or leave the option out"),
    (("ls", "--url="), "It is empty: say which one, or leave the option out"),
    (("ls", "--token="), "It is empty: say which one, or leave the option out"),
    (("link", "-c", ""), "It is empty: say which one, or leave the option out"),
    (("start", "--nmae", "tests", "--", "pytest", "-q"), "unknown option --nmae; see townwatch start --help"),
    (("run", "--bogus", "--", "x"), "unknown option --bogus; see townwatch run --help"),
    (("prompt", "s", "--bogus"), "unknown option --bogus; see townwatch prompt --help"),
    (("migrate", "mysql://u:SECRETPW@h/d"), "townwatch: mysql://u@h/d: give postgresql://"),
    (("commit", "s", "-m", "x", "--wait=nan"), "'nan' is no number"),
    (("conformance", "runner", "--wait=-1"), "'-1' is less than 0 seconds"),
    (("ls", "--url=http://127.0.0.1:9", "--token=tw_SECRET\r"), "the token has a sign that no token has"),
    (("usage", "--input-tokens=x"), "--input-tokens 'x' is no whole number, 0 or more; see townwatch usage --help"),
]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.below(tmp_path)


def test_wrong_use_is_one_line(person: Person) -> None:
    for (words, expected), done in zip(WRONG, person.all_of([words for words, _ in WRONG]), strict=True):
        said = one_line(done)
        assert expected in said and "SECRET" not in said, words


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TOWNWATCH_SERVER_PROT", "TOWNWATCH_SERVER_PORT"),
        ("TOWNWATCH_PORT", "TOWNWATCH_MAIL_PORT or TOWNWATCH_SERVER_PORT"),
        ("TOWNWATCH_STATEDIR", "TOWNWATCH_STATE_DIR"),
    ],
)
def test_a_typo_in_a_variable_is_said_as_in_the_file(person: Person, variable: str, meant: str) -> None:
    said = one_line(person.townwatch("link", **{variable: "1"}))
    assert variable in said and f"did you mean {meant}?" in said


def test_trouble_with_files_is_told_without_numbers(person: Person) -> None:
    person.state.mkdir(parents=True)
    (person.state / "token.secret").write_text("s")
    sqlite3.connect(person.state / "townwatch.db").close()
    taken = person.home / "taken"
    taken.write_text("")
    assert one_line(person.townwatch("backup", str(taken))) == f"townwatch: {taken}: File exists\n"
    assert "give a directory whose name is text" in one_line(person.townwatch("backup", os.fsdecode(b"\xff")))


def test_tls_on_a_plain_port_says_so(person: Person) -> None:
    """The port answers as one that speaks no TLS does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asking = subprocess.Popen(
            [str(COMMAND), *JOIN, f"https://127.0.0.1:{port}", "--code=x"],
            env=person.environ(),
            cwd=person.where,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        listener.settimeout(SECONDS)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            out, err = asking.communicate(timeout=SECONDS)
    said = one_line(subprocess.CompletedProcess(asking.args, asking.returncode, out, err))
    assert f"try http://127.0.0.1:{port}" in said


@pytest.mark.parametrize("words", ["--help", "serve --help", "ask --help", "schema"])
def test_a_broken_pipe_is_no_error(person: Person, words: str) -> None:
    done = subprocess.run(
        f"{COMMAND} {words} | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env=person.environ(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode in (0, 141) and done.stderr == "", done.stderr


@pytest.mark.parametrize("words", ["--version", "--help", "serve --help", "schema"])
def test_an_output_on_a_full_disk_is_one_line(person: Person, words: str) -> None:
    done = subprocess.run(
        f"{COMMAND} {words} > /dev/full",
        shell=True,
        env=person.environ(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "No space left on device" in one_line(done)
