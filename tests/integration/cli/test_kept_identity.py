"""A runner's token is in its runner.json and nowhere else: nothing replaces that file unless it was said to, and where
another runner was meant, the line says whose the directory is and what to do.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Person, one_line

NOWHERE = "ws://127.0.0.1:9/runner"
ELSEWHERE = "wss://town.example/runner"
MINE = {"runnerId": "mine", "token": "twr_mine", "url": ELSEWHERE, "villageId": "acme", "name": "my machine"}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    found = Person.below(tmp_path)
    found.state.mkdir(parents=True)
    (found.state / "runner.json").write_text(json.dumps(MINE))
    return found


def kept(person: Person) -> dict[str, Any]:
    return json.loads((person.state / "runner.json").read_text())


@pytest.mark.parametrize(
    "words",
    [
        (f"--url={NOWHERE}", "--runner-id=other", "--token=t"),
        (f"--url={NOWHERE}", "--token=t"),
        ("--runner-id=other",),
        ("--runner-id=other", "--token=t"),
    ],
    ids=str,
)
def test_options_that_name_another_runner_replace_none(person: Person, words: tuple[str, ...]) -> None:
    said = one_line(person.townwatch("runner", *words, "--run-as=no-such-user"))
    assert f"{person.state} is mine of {ELSEWHERE} already" in said
    assert "another --state-dir for this one, or --anew" in said
    assert kept(person) == MINE


def test_anew_replaces_it_and_says_what_is_forgotten(person: Person) -> None:
    words = ("runner", f"--url={NOWHERE}", "--runner-id=other", "--token=t", "--anew", "--run-as=no-such-user")
    done = person.townwatch(*words)
    assert f"forgotten: mine of {ELSEWHERE}" in done.stderr
    assert (kept(person)["runnerId"], kept(person)["url"], kept(person)["villageId"]) == ("other", NOWHERE, "demo")
    assert "forgotten" not in person.townwatch(*words).stderr


def test_anew_needs_all_of_it(person: Person) -> None:
    assert "--anew was given, so the options must say all: --runner-id" in one_line(
        person.townwatch("runner", "--anew", f"--url={NOWHERE}", "--token=t")
    )
    assert kept(person) == MINE


@pytest.mark.parametrize(
    ("word", "field", "value", "said"),
    [
        (f"--url={NOWHERE}", "url", NOWHERE, f"mine is at {NOWHERE} now, no more at {ELSEWHERE}"),
        ("--token=t2", "token", "t2", "mine has another token now"),
    ],
)
def test_the_same_runner_may_move_or_get_another_token_and_it_is_said(
    person: Person, word: str, field: str, value: str, said: str
) -> None:
    done = person.townwatch("runner", word, "--run-as=no-such-user")
    assert f"{person.state / 'runner.json'}: {said}" in done.stderr
    assert kept(person) == {**MINE, field: value}


def test_a_first_service_does_not_take_a_runners_directory(person: Person) -> None:
    said = one_line(person.townwatch("serve", "--port=0"))
    assert f"{person.state} is mine of {ELSEWHERE}: give this service another --state-dir" in said
    assert [path.name for path in person.state.iterdir()] == ["runner.json"] and kept(person) == MINE


def test_a_service_that_finds_another_ones_runner_in_its_directory_keeps_the_file(person: Person) -> None:
    (person.state / "token.secret").write_text("ab" * 32)
    with person.program("serve", "--port=0", until="code=") as output:
        (aside,) = person.state.glob("runner.json.*")
        assert json.loads(aside.read_text()) == MINE
        assert kept(person)["runnerId"] == "runner_local"
        assert "runner_file_set_aside" in output.read_text() and str(aside) in output.read_text()
