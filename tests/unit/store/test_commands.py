"""Promised commands: one row for one wish, open until its result, void with its session; nothing secret is kept."""

import pytest
from sqlalchemy import text

from townwatch.contracts.link import Command
from townwatch.store import commands
from townwatch.store.commands import TooManyOpen
from townwatch.store.database import Database


def stop(session: str = "s1") -> Command:
    return Command(command_id=f"stop:{session}:True", command="stop", session_id=session, graceful=True)


def test_the_same_wish_is_one_row_while_it_is_open_and_after_it_was_done(database: Database) -> None:
    first = database.run(commands.promise, "r1", stop(), 1, session_id="s1")
    again = database.run(commands.promise, "r1", stop(), 2, session_id="s1")
    assert (first.fresh, again.fresh, again.command) == (True, False, first.command)
    assert database.run(commands.open_of, "r1", 3) == [stop()]
    assert database.run(commands.settle, "r1", "stop:s1:True", "ok", None, 4)
    assert not database.run(commands.settle, "r1", "stop:s1:True", "failed", "late", 5)  # the first word counts
    done = database.run(commands.promise, "r1", stop(), 6, session_id="s1")
    assert (done.row.open, done.row.outcome) == (False, "ok")
    assert database.run(commands.open_of, "r1", 7) == []


def test_after_a_failure_it_is_another_command(database: Database) -> None:
    database.run(commands.promise, "r1", stop(), 1)
    database.run(commands.settle, "r1", "stop:s1:True", "failed", "no", 2)
    anew = database.run(commands.promise, "r1", stop(), 3)
    assert (anew.command.command_id, anew.fresh) == ("stop:s1:True:2", True)


def test_the_end_of_a_session_voids_its_commands_and_no_others(database: Database) -> None:
    database.run(commands.promise, "r1", stop("s1"), 1, session_id="s1")
    database.run(commands.promise, "r1", stop("s2"), 2, session_id="s2")
    assert database.run(commands.void, "ended", 3, session_id="s1") == ["stop:s1:True"]
    assert [one.session_id for one in database.run(commands.open_of, "r1", 4)] == ["s2"]
    with pytest.raises(ValueError, match="neither"):
        database.run(commands.void, "everything", 5)


def test_what_is_not_answered_in_time_expires_and_its_body_is_erased(database: Database) -> None:
    database.run(commands.promise, "r1", stop(), 1, expires_ms=10)
    assert database.run(commands.open_of, "r1", 10) == []
    assert database.run(commands.expire, 9) == []
    assert database.run(commands.expire, 10) == ["stop:s1:True"]
    assert database.run(lambda c: c.execute(text("SELECT body FROM commands")).scalar()) == ""
    assert database.run(commands.forget, 11) == 1


def test_a_runner_that_never_answers_gets_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "OPEN_PER_RUNNER", 2)
    for number in range(2):
        database.run(commands.promise, "r1", stop(f"s{number}"), 1)
    with pytest.raises(TooManyOpen, match="gets no more"):
        database.run(commands.promise, "r1", stop("s9"), 1)
    assert database.run(commands.promise, "r2", stop("s9"), 1).fresh
