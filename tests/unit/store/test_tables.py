"""The nouns: villages, members, agents, sessions, runners, audit, idempotency keys, settings."""

import sqlite3
import threading
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from townwatch.store import (
    audit,
    idempotency,
    members,
    runner_grants,
    runners,
    sessions,
    tokens,
    users,
    villages,
)
from townwatch.store.audit import Entry
from townwatch.store.database import Database
from townwatch.store.members import LastOwner
from townwatch.store.runners import RunnerRow
from townwatch.store.sessions import SessionRow
from townwatch.store.tokens import Code


@pytest.fixture
def town(database: Database) -> Database:
    """Ada owns demo; square is public; bob belongs nowhere."""
    for name in ("ada", "bob"):
        database.run(users.create, name, 1, email=f"{name}@example.org", user_id=name)
    database.run(villages.create, "demo", "Demo village", 1, key="demo")
    database.run(villages.create, "square", "The square", 1, public=True, key="square")
    database.run(members.put, "demo", "ada", "owner", 1)
    return database


def test_text_with_nul_fails_no_statement(town: Database) -> None:
    """PostgreSQL refuses it: one such id or name must not stop what goes through all rows."""
    assert town.run(sessions.create, session("s\0", created_by="ada"))
    assert town.run(sessions.get, "s\0") is not None
    assert town.run(sessions.starters, ["none\0"]) == {}
    assert town.run(members.of_village, "\0") == []
    assert town.run(users.create, "a\0b", 1, user_id="nul").name in ("a\0b", "a\u2400b")


def session(session_id: str, at: int = 1, **more: object) -> SessionRow:
    fields = {"village_id": "demo", "agent_id": f"runner_{session_id}", "provider_id": "command"}
    return SessionRow(session_id=session_id, created_ms=at, **fields | more)  # type: ignore[arg-type]


def test_everybody_sees_their_villages_and_the_public_ones(town: Database) -> None:
    def seen(user_id: str | None) -> list[tuple[str, str | None]]:
        return [(v.village_id, v.role) for v in town.run(villages.of_user, user_id)]

    assert seen("ada") == [("demo", "owner"), ("square", None)]
    assert seen("bob") == [("square", None)]
    assert seen(None) == [("square", None)]
    assert [v.village_id for v in town.run(villages.of_user, "ada", public_too=False)] == ["demo"]


def test_a_village_keeps_an_owner(town: Database) -> None:
    with pytest.raises(LastOwner, match="another member"):
        town.run(members.remove, "demo", "ada")
    with pytest.raises(LastOwner):
        town.run(members.put, "demo", "ada", "viewer", 2)
    town.run(members.put, "demo", "bob", "owner", 2)
    town.run(members.put, "demo", "ada", "viewer", 3)
    assert [(m.user_id, m.role, m.added_ms) for m in town.run(members.of_village, "demo")] == [
        ("ada", "viewer", 1),
        ("bob", "owner", 2),
    ]
    assert town.run(members.remove, "demo", "ada")
    assert not town.run(members.remove, "demo", "ada")
    with pytest.raises(ValueError, match="owner, operator, viewer"):
        town.run(members.put, "demo", "ada", "emperor", 2)  # type: ignore[arg-type]


def test_an_address_belongs_to_one_person_whatever_its_case(town: Database) -> None:
    with pytest.raises(IntegrityError):
        town.run(users.create, "another ada", 1, email=" ADA@example.org")
    found = town.run(users.by_email, "Ada@Example.ORG")
    assert found is not None
    assert found.user_id == "ada"


@pytest.mark.parametrize("nobody", ["", "  "])
def test_no_address_is_nobodys(town: Database, nobody: str) -> None:
    town.run(users.create, "without an address", 1)
    assert town.run(users.by_email, nobody) is None


def test_what_a_village_holds_goes_with_it(town: Database) -> None:
    town.run(sessions.create, session("s1"))
    assert town.run(villages.remove, "demo")
    assert not town.run(villages.remove, "demo")
    assert town.run(sessions.get, "s1") is None


def test_a_requested_session_keeps_its_first_row(town: Database) -> None:
    assert town.run(sessions.create, session("s1", config={"env": {"A": "ü"}}))
    assert not town.run(sessions.create, session("s1", at=99))
    found = town.run(sessions.get, "s1")
    assert found is not None
    assert (found.created_ms, found.config) == (1, {"env": {"A": "ü"}})
    town.run(sessions.create, session("s0", at=0))
    assert [one.session_id for one in town.run(sessions.everything)] == ["s0", "s1"]
    assert town.run(sessions.remove, "s1")
    assert not town.run(sessions.remove, "s1")


def test_a_runner_says_what_it_is_and_people_say_what_it_is_for(town: Database) -> None:
    town.run(runners.put, RunnerRow(runner_id="r1", name="one", created_ms=1))
    town.run(runners.set_state, "r1", "draining")
    town.run(runners.put, RunnerRow(runner_id="r1", name="one!", created_ms=9, labels={"gpu": "no"}))
    found = town.run(runners.get, "r1")
    assert found is not None
    assert (found.name, found.state, found.created_ms, found.labels) == ("one!", "draining", 1, {"gpu": "no"})
    town.run(runners.put, RunnerRow(runner_id="r0", name="any", created_ms=1))
    assert [r.runner_id for r in town.run(runners.everyone, None)] == ["r0", "r1"]
    assert not town.run(runners.set_state, "nobody", "active")


def test_a_runner_serves_the_villages_that_it_was_granted_and_no_others(town: Database) -> None:
    for name in ("r1", "r2"):
        town.run(runners.put, RunnerRow(runner_id=name, name=name, created_ms=1))
    assert town.run(runners.everyone, "demo") == []
    assert town.run(runner_grants.grant, "r1", "square", "ada", 2)
    assert town.run(runner_grants.grant, "r1", "demo", "ada", 1)
    assert not town.run(runner_grants.grant, "r1", "demo", "bob", 3)
    assert [one.village_id for one in town.run(runner_grants.of_runner, "r1")] == ["demo", "square"]
    assert [one.runner_id for one in town.run(runners.everyone, "demo")] == ["r1"]
    town.run(runner_grants.withdraw, "r1", ["square", "unknown"])
    assert {r: [g.village_id for g in found] for r, found in town.run(runner_grants.everything).items()} == {
        "r1": ["demo"]
    }
    town.run(villages.remove, "demo")
    assert town.run(runner_grants.everything) == {}


def test_a_name_that_is_used_again_is_another_village(town: Database) -> None:
    first = town.run(villages.create, "acme", "Acme", 1)
    assert first is not None
    assert town.run(villages.create, "acme", "Another", 1) is None
    town.run(
        tokens.add_code, Code(hash="h", kind="enrolment", user_id="ada", village_id=first, created_ms=1, expires_ms=9)
    )
    town.run(villages.remove, first)
    assert town.run(villages.removed) == [first]
    second = town.run(villages.create, "acme", "Acme", 2)
    assert second not in (None, first)
    assert town.run(villages.key_of, "acme") == second
    assert town.run(tokens.use_code, "enrolment", "h", 2) is None
    town.run(villages.forget_removed, first)
    assert town.run(villages.removed) == []


def test_the_audit_log_is_read_newest_first(town: Database) -> None:
    for i in range(5):
        entry = Entry(
            at_ms=i, kind="user", action=f"act{i}", user_id="ada", village_id="demo" if i else None, details={"n": i}
        )
        assert town.run(audit.add, entry) == i + 1
    page = town.run(audit.page, audit.Filter(villages=["demo"]), limit=3)
    assert [e.action for e in page.items] == ["act4", "act3", "act2"]
    assert [e.action for e in town.run(audit.page, audit.Filter(villages=["demo"]), cursor=page.next).items] == ["act1"]
    assert [e.details for e in town.run(audit.entries_after, 2, 2, None)] == [{"n": 2}, {"n": 3}]


def test_the_audit_log_is_narrowed_by_person_action_and_time(town: Database) -> None:
    for i, (who, action) in enumerate([("ada", "runner.drain"), ("bob", "runner_x"), ("ada", "member.put")]):
        town.run(audit.add, Entry(at_ms=i, kind="user", action=action, user_id=who, village_id="demo"))

    def found(**conditions: Any) -> list[str]:
        wanted = audit.Filter(villages=None, **conditions)
        items = town.run(audit.page, wanted).items
        assert town.run(audit.count, wanted, 10) == len(items)
        return [one.action for one in items]

    assert found(user_id="ada") == ["member.put", "runner.drain"]
    assert found(action="runner.") == ["runner.drain"]
    assert found(action="runner_") == ["runner_x"]
    assert found(since_ms=1, until_ms=2) == ["runner_x"]
    assert found(user_id="bob", action="member.") == []
    assert town.run(audit.count, audit.Filter(villages=None), 2) == 2


def test_a_key_that_comes_again_gets_the_first_answer(town: Database) -> None:
    assert town.run(idempotency.begin, "ada", "k", "print", "p1", 1).again is False
    unfinished = town.run(idempotency.begin, "ada", "k", "print", "p1", 2)
    assert isinstance(unfinished, idempotency.Answered)
    assert unfinished.status is None
    town.run(idempotency.finish, "ada", "k", 201, '{"sessionId":"s1"}')
    answered = town.run(idempotency.begin, "ada", "k", "other", "p1", 3)
    assert isinstance(answered, idempotency.Answered)
    assert (answered.status, answered.body, answered.fingerprint) == (201, '{"sessionId":"s1"}', "print")
    bobs = town.run(idempotency.begin, "bob", "k", "print", "p1", 3)  # keys are each user's own
    assert isinstance(bobs, idempotency.Claimed)
    town.run(idempotency.abandon, "bob", "k")
    assert town.run(idempotency.forget, 2) == 1
    assert isinstance(town.run(idempotency.begin, "ada", "k", "print", "p1", 4), idempotency.Claimed)


def test_a_key_that_a_dead_process_left_unanswered_is_the_next_ones_with_the_same_claim(town: Database) -> None:
    first = town.run(idempotency.begin, "ada", "k", "print", "p1", 1)
    assert isinstance(town.run(idempotency.begin, "ada", "k", "other", "p2", 2), idempotency.Answered)
    second = town.run(idempotency.begin, "ada", "k", "print", "p2", 2)
    assert isinstance(first, idempotency.Claimed)
    assert second == idempotency.Claimed(claim_id=first.claim_id, again=True)
    assert isinstance(town.run(idempotency.begin, "ada", "k", "print", "p2", 3), idempotency.Answered)
    town.run(idempotency.release, "ada", "k")
    assert town.run(idempotency.begin, "ada", "k", "print", "p2", 4) == second


async def test_a_call_is_one_transaction_in_a_thread(town: Database) -> None:
    def half(connection: object) -> None:
        villages.create(connection, "half", "Half", 1, key="half")  # type: ignore[arg-type]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        await town.call(half)
    assert await town.read(villages.get, "half") is None


def test_a_slow_write_of_our_own_is_no_other_program_that_locks_the_tables(town: Database) -> None:
    """On a slow disk a commit takes longer than a probe waits; all calls were refused then, until the next probe."""
    if not town.is_sqlite:
        pytest.skip("PostgreSQL has no lock of the whole")
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA user_version = 0")
        began.set()
        assert go_on.wait(30)

    writer = threading.Thread(target=town.run, args=(slow,))
    writer.start()
    try:
        assert began.wait(30)
        assert town.probe() is None
        assert town.outage.reason() is None
    finally:
        go_on.set()
        writer.join()
    other = sqlite3.connect(town.engine.url.database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert "locked by another program" in str(town.probe())
    finally:
        other.close()
    assert town.probe() is None
