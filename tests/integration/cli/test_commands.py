"""Sessions from the command line, on this machine's service and with a saved login: what a person would type."""

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.command_line import COMMAND, SECONDS, Done, Person, one_line
from townwatch.cli.help import GROUPS
from townwatch.cli.main import app
from townwatch.runner.session.terminal import Terminal


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a service and a runner on their machine."""
    person = Person.below(tmp_path_factory.mktemp("person"))
    with (
        person.program("serve", "--port=0", until="code="),
        person.program("runner", until="] connected"),
    ):
        yield person


def told(done: Done, status: int = 0) -> str:
    assert done.returncode == status, (done.args, done.stdout, done.stderr)
    return done.stdout


def values(done: Done) -> Any:
    return json.loads(told(done))


def eventually(look: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not fits(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def test_the_help_names_every_command() -> None:
    told_of = {name for _, commands in GROUPS for name, _ in commands}
    assert told_of == {name for name in app if not name.startswith("-")}


def test_a_session_from_start_to_end(person: Person) -> None:
    script = 'echo "ready"; read line; printf "\\033[31mgot %s\\033[0m\\n" "$line"; exit 3'
    made = person.townwatch("start", "--name=reader", "--", "sh", "-c", script)
    session = told(made).strip()
    assert "townwatch attach" in made.stderr
    (one,) = values(person.townwatch("ls", "--json"))
    assert (one["sessionId"], one["agentName"]) == (session, "reader")
    assert "reader" in told(person.townwatch("ls"))
    eventually(lambda: told(person.townwatch("logs", session[:8])), lambda text: "ready" in text)
    shown = told(person.townwatch("status"))
    assert "1 live sessions" in shown and "1 of 1 runners take new work" in shown and "signed in as Owner" in shown
    assert values(person.townwatch("status", "--json"))["counts"]["sessions"] == 1

    async def type_into_it() -> tuple[int, str]:
        """In a terminal of our own, as a person sees it."""
        seen = ""
        terminal = await Terminal.start(
            [str(COMMAND), "attach", "reader"], cwd=person.where, env=person.environ(TERM="xterm"), cols=90, rows=25
        )
        with trio.fail_after(SECONDS):
            typed = False
            async for piece in terminal.output():
                seen += piece if isinstance(piece, str) else ""
                if "ready" in seen and not typed:
                    typed = True
                    await terminal.write("größer\r".encode())
            exit_ = await terminal.wait()
        terminal.close()
        return exit_.shell_code, seen

    status, seen = trio.run(type_into_it)
    assert (status, "got größer" in seen) == (3, True), seen
    logged = told(person.townwatch("logs", session))
    assert "got größer\n" in logged and "\033" not in logged
    assert "\033[31mgot" in told(person.townwatch("logs", "--raw", session))
    events = [json.loads(line) for line in told(person.townwatch("logs", "--json", session)).splitlines()]
    assert events[-1]["type"] == "SESSION_ENDED" and events[-1]["exitCode"] == 3
    assert values(person.townwatch("ls", "--json")) == []
    (ended,) = values(person.townwatch("ls", "--all", "--json"))
    assert ended["state"] == "FAILED"
    for words in (("attach", session), ("stop", session), ("prompt", session, "go on")):
        assert "ended" in one_line(person.townwatch(*words), status=1), words


def test_what_is_typed_before_the_session_is_there_is_not_lost(person: Person) -> None:
    session = told(person.townwatch("start", "--", "sh", "-c", 'read line; echo "got $line"; exit 4')).strip()

    async def type_at_once() -> tuple[int, str]:
        terminal = await Terminal.start(
            [str(COMMAND), "attach", session], cwd=person.where, env=person.environ(TERM="xterm"), cols=80, rows=24
        )
        await terminal.write("früh\r".encode())
        with trio.fail_after(SECONDS):
            seen = "".join([piece async for piece in terminal.output() if isinstance(piece, str)])
            exit_ = await terminal.wait()
        terminal.close()
        return exit_.shell_code, seen

    status, seen = trio.run(type_at_once)
    assert (status, "got früh" in seen) == (4, True), seen


def test_leaving_an_attached_session_lets_it_go_on(person: Person) -> None:
    session = told(person.townwatch("start", "--", "sh", "-c", "echo up; sleep 300")).strip()

    async def look_and_leave() -> tuple[int, str]:
        terminal = await Terminal.start(
            [str(COMMAND), "attach"], cwd=person.where, env=person.environ(TERM="xterm"), cols=80, rows=24
        )
        seen = ""
        with trio.fail_after(SECONDS):
            async for piece in terminal.output():
                seen += piece if isinstance(piece, str) else ""
                if "up" in seen:
                    await terminal.write(b"\x1d")
            exit_ = await terminal.wait()
        terminal.close()
        return exit_.shell_code, seen

    status, seen = trio.run(look_and_leave)
    assert (status, "the session goes on" in seen) == (0, True), seen
    assert "is told to stop" in told(person.townwatch("stop", session))
    eventually(lambda: values(person.townwatch("ls", "--json")), lambda live: live == [])


def test_what_an_agent_asks_is_decided(person: Person) -> None:
    ask = 'townwatch ask --category shell --risk high "rm -rf build/" && echo went'
    for decide, word in ((("approve",), "allow"), (("deny", "--note=not today"), "deny")):
        session = told(person.townwatch("start", "--", "sh", "-c", ask)).strip()
        (waiting,) = eventually(lambda: values(person.townwatch("approve", "--json")), bool)
        assert waiting["sessionId"] == session
        assert "rm -rf build/" in told(person.townwatch("approve"))
        assert word in told(person.townwatch(decide[0], waiting["approvalId"], *decide[1:]))
        assert "no approval" in one_line(person.townwatch("approve", waiting["approvalId"]), status=1)
        shown = told(person.townwatch("logs", "--follow", session))
        assert word in shown and ("went" in shown) == (word == "allow")
        assert "not today" in shown or word == "allow"


def test_a_saved_login_at_another_machines_service(person: Person, tmp_path: Path) -> None:
    other = Person.below(tmp_path)
    link = told(person.townwatch("link")).strip()
    url = link.partition("/?")[0]
    assert f"townwatch login {url}" in one_line(other.townwatch("ls", f"--url={url}"))
    assert "Signed in" in told(other.townwatch("login", link))
    kept = other.state / "logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and os.listdir(other.state) == ["logins.json"]
    assert values(other.townwatch("status", "--json"))["url"] == url
    assert isinstance(values(other.townwatch("ls", "--all", "--json")), list)
    assert told(other.townwatch("open", "--print")).strip() == f"{url}/"
    assert "/?code=" in told(person.townwatch("open", "--print"))
    assert "router" in told(other.townwatch("tree"))  # not to a terminal: once
    token = json.loads(kept.read_text())[url]["token"]
    assert "forgotten" in told(other.townwatch("logout"))
    refused = other.townwatch("ls", f"--url={url}", TOWNWATCH_TOKEN=token)
    assert "townwatch login" in one_line(refused, status=1)
    for wrong in (("login", f"{url}/?code=twc_nonsense"), ("login", url, "--token=tw_nonsense")):
        one_line(other.townwatch(*wrong), status=1)
    assert "https" in one_line(other.townwatch("login", "http://elsewhere.invalid", "--code=x"))


def test_wrong_use_of_the_session_commands(person: Person) -> None:
    wrong: list[tuple[tuple[str, ...], int, str]] = [
        (("attach", "nonsense"), 1, "townwatch ls --all"),
        (("logs", "nonsense"), 1, "no session"),
        (("stop",), 2, "townwatch stop --help"),
        (("approve", "nonsense"), 1, "no approval"),
        (("start",), 2, "townwatch start --"),
        (("start", "--agent=codex"), 2, "--goal"),
        (("start", "--village=elsewhere", "--", "true"), 1, "elsewhere"),
        (("start", "--runner=nobody", "--", "true"), 1, "nobody"),
        (("end", "nonsense"), 2, "--reason"),
        (("ls", "--url=nonsense://x"), 2, "scheme"),
        (("ls", "--url=http://127.0.0.1:9", "--token=x"), 2, "http://127.0.0.1:9"),
        (("ls", "--nope"), 2, "townwatch ls --help"),
        (("nope",), 2, "townwatch --help"),
    ]
    for (words, status, expected), done in zip(wrong, person.all_of([one[0] for one in wrong]), strict=True):
        assert expected in one_line(done, status), words


def test_an_empty_name_is_nobodys(person: Person) -> None:
    """A variable of a script that is not set: the only one that there is, is not what was meant."""
    told(person.townwatch("user", "add", "Second", "--email=second@example.org", "--admin"))
    asks = f"{COMMAND} ask --category=shell --risk=high x || true; sleep 60"
    session = told(person.townwatch("start", "--", "sh", "-c", asks)).strip()
    eventually(lambda: values(person.townwatch("approve", "--json")), bool)
    tried = [
        ("user", "disable", ""), ("stop", ""), ("approve", ""), ("deny", ""), ("webhook", "remove", ""),
        ("channel", "remove", ""), ("deny", "--note=no"), ("approve", "--note=yes"),
    ]  # fmt: skip
    for done in person.all_of(tried):
        assert done.returncode in (1, 2) and done.stderr.count("\n") == 1, done
    (one,) = values(person.townwatch("ls", "--json"))
    assert (one["sessionId"], one["state"]) == (session, "WAITING_FOR_APPROVAL")
    assert "locked out" not in told(person.townwatch("user", "list"))
    told(person.townwatch("stop", session))
    eventually(lambda: values(person.townwatch("ls", "--json")), lambda live: live == [])


@pytest.mark.parametrize("name", ["", "n" * 201, "a\033[31mb"])
def test_a_runner_is_named_as_people_are(person: Person, name: str) -> None:
    assert "1 to 200 printable characters" in one_line(person.townwatch("runner", "code", "--name", name))


def test_an_owner_who_was_locked_out_is_told_so_and_signs_in_again_by_itself(person: Person) -> None:
    told(person.townwatch("user", "add", "Third", "--email=third@example.org", "--admin"))
    told(person.townwatch("ls"))
    told(person.townwatch("user", "disable", "user_owner"))
    for words in (("ls",), ("link",)):
        done = person.townwatch(*words)
        assert done.returncode in (1, 2) and "townwatch user enable user_owner" in done.stderr, done
        assert done.stdout == "" and done.stderr.count("\n") == 1
    told(person.townwatch("user", "enable", "user_owner"))
    told(person.townwatch("ls"))
