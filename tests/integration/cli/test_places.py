"""State is where it belongs, found from every directory; a command in the wrong place says so and makes nothing."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import Person, one_line
from townwatch.config.place import default_state_dir

NEED_A_SERVICE = (
    ("link",),
    ("tree", "--once"),
    ("runner", "code"),
    ("user", "list"),
    ("user", "add", "Eve"),
    ("user", "disable", "eve@example.org"),
    ("chaos",),
    ("backup", "copy"),
    ("doctor",),
)
NEED_A_RUNNER = (("run", "--", "true"), ("demo",), ("runner",), ("runner", "rotate"))


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.below(tmp_path)


@pytest.fixture
def served(person: Person) -> Iterator[Person]:
    """A person whose service runs, started in another directory than they are in."""
    with person.program("serve", "--port=0", until="code="):
        yield person


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/townwatch"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/townwatch"),
        ({"HOME": "/h"}, "/h/.local/state/townwatch"),
    ],
)
def test_the_default_is_where_the_system_keeps_state(environ: dict[str, str], place: str) -> None:
    assert default_state_dir(environ) == place


def test_a_command_in_the_wrong_place_says_where_it_looked_and_makes_nothing(person: Person) -> None:
    for words, done in zip(all_ := NEED_A_SERVICE + NEED_A_RUNNER, person.all_of(all_), strict=True):
        said = one_line(done)
        assert str(person.state) in said, words
        assert "townwatch serve" in said and "--state-dir" in said, words
    assert files(person.home) == files(person.where) == []


def test_a_runners_directory_is_not_taken_for_a_services(person: Person) -> None:
    person.state.mkdir(parents=True)
    (person.state / "runner.json").write_text('{"runnerId": "r1", "token": "t", "url": "wss://elsewhere/runner"}')
    for done in person.all_of([("link",), ("runner", "code"), ("user", "list")]):
        assert "belongs to a runner of another machine's service" in one_line(done)
    assert files(person.state) == ["runner.json"]


def test_the_state_of_an_earlier_version_is_not_left_behind_silently(person: Person) -> None:
    former = person.where / ".townwatch"
    former.mkdir()
    (former / "token.secret").write_text("s")
    for done in person.all_of([("serve", "--port=0"), ("link",), ("run", "--", "true")]):
        assert f"--state-dir {shlex.quote(str(former))}" in one_line(done)
    assert files(person.home) == []


def test_commands_find_the_service_from_every_directory(served: Person) -> None:
    link, tree, code, people, run = served.all_of(
        [("link",), ("tree", "--once"), ("runner", "code"), ("user", "list"), ("run", "--", "echo", "hello")]
    )
    assert "/?code=" in link.stdout, link.stderr
    assert "router" in tree.stdout, tree.stderr
    assert code.stdout.startswith("twe_"), code.stderr
    assert "Owner" in people.stdout, people.stderr
    assert (run.returncode, run.stdout) == (0, "hello\n"), run.stderr
    assert files(served.where) == []


def test_option_and_variable_win(served: Person, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert str(elsewhere) in one_line(served.townwatch("link", f"--state-dir={elsewhere}"))
    assert str(elsewhere) in one_line(served.townwatch("link", TOWNWATCH_STATE_DIR=str(elsewhere)))
    assert str(elsewhere / "townwatch") in one_line(served.townwatch("link", XDG_STATE_HOME=str(elsewhere)))
    done = served.townwatch("link", f"--state-dir={served.state}", TOWNWATCH_STATE_DIR=str(elsewhere))
    assert "/?code=" in done.stdout, done.stderr
    assert not elsewhere.exists()
