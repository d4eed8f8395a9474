"""The nouns: villages, members, agents, sessions, runners, audit, idempotency keys, settings."""

import pytest
from sqlalchemy.exc import IntegrityError

from store import agents, audit, idempotency, members, runners, sessions, settings, users, villages
from store.agents import Agent
from store.audit import Entry
from store.database import Database
from store.members import LastOwner
from store.runners import Runner
from store.sessions import Session, UnknownSession


@pytest.fixture
def town(database: Database) -> Database:
    """Ada owns demo; square is public; bob belongs nowhere."""
    for name in ("ada", "bob"):
        database.run(users.create, name, 1, email=f"{name}@example.org", user_id=name)
    database.run(villages.create, "demo", "Demo village", 1)
    database.run(villages.create, "square", "The square", 1, public=True)
    database.run(members.put, "demo", "ada", "owner", 1)
    return database


def session(session_id: str, at: int = 1, **more: object) -> Session:
    fields = {"village_id": "demo", "agent_id": f"runner_{session_id}", "provider_id": "command", "state": "RUNNING"}
    return Session(session_id=session_id, created_ms=at, **fields | more)  # type: ignore[arg-type]


def test_a_house_has_the_id_of_its_village_and_path(town: Database) -> None:
    house = town.run(villages.add_house, "demo", "/home/ada/code/", 1)
    assert (house.house_id, house.name) == (villages.house_id_of("demo", "/home/ada/code/"), "code")
    assert len(house.house_id) == len("house_") + 12
    again = town.run(villages.add_house, "demo", "/home/ada/code/", 2, name="other")
    assert again == house
    assert town.run(villages.houses_of, "demo") == [house]


def test_everybody_sees_their_villages_and_the_public_ones(town: Database) -> None:
    def seen(user_id: str | None) -> list[tuple[str, str | None]]:
        return [(v.village_id, v.role) for v in town.run(villages.of_user, user_id)]

    assert seen("ada") == [("demo", "owner"), ("square", None)]
    assert seen("bob") == [("square", None)]
    assert seen(None) == [("square", None)]
    assert [v.village_id for v in town.run(villages.of_user, "ada", public_too=False)] == ["demo"]


def test_a_village_keeps_an_owner(town: Database) -> None:
    with pytest.raises(LastOwner, match="somebody else"):
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


def test_what_a_village_holds_goes_with_it(town: Database) -> None:
    town.run(villages.add_house, "demo", "/x", 1)
    town.run(sessions.create, session("s1"))
    assert town.run(villages.remove, "demo")
    assert not town.run(villages.remove, "demo")
    assert town.run(villages.houses_of, "demo") == []
    assert town.run(sessions.get, "s1") is None


def test_an_agent_changes_its_session_and_not_its_village(town: Database) -> None:
    agent = Agent(
        agent_id="a", village_id="demo", house_id=None, session_id="s1", name="A", agent_type="codex", repo_path="/x",
        created_ms=1,
    )  # fmt: skip
    town.run(agents.put, agent)
    changed = Agent(
        agent_id="a", village_id="square", house_id="h", session_id="s2", name="B", agent_type="codex", repo_path="/x",
        created_ms=9,
    )  # fmt: skip
    town.run(agents.put, changed)
    found = town.run(agents.get, "a")
    assert found is not None
    assert (found.village_id, found.session_id, found.name, found.created_ms) == ("demo", "s2", "B", 1)
    assert town.run(agents.of_village, "demo") == [found]


def test_a_session_keeps_what_it_is_and_changes_what_it_does(town: Database) -> None:
    assert town.run(sessions.create, session("s1", config={"env": {"A": "ü"}}))
    assert not town.run(sessions.create, session("s1", at=99))
    usage = {"agentSeconds": 1.5, "filesTouched": 2}
    assert town.run(sessions.change, "s1", state="FAILED", reason="runner process lost", exit_code=-9, usage=usage)
    found = town.run(sessions.get, "s1")
    assert found is not None
    assert (found.state, found.reason, found.exit_code, found.usage) == ("FAILED", "runner process lost", -9, usage)
    assert found.config == {"env": {"A": "ü"}}
    assert not town.run(sessions.change, "nobody", state="FAILED")
    for fixed in ("village_id", "created_ms", "runner_id", "nonsense"):
        with pytest.raises(ValueError, match=fixed):
            town.run(sessions.change, "s1", **{fixed: "x"})


def test_a_session_belongs_to_the_first_runner_that_got_it(town: Database) -> None:
    town.run(sessions.create, session("s1"))
    assert town.run(sessions.bind_runner, "s1", "r1") == "r1"
    assert town.run(sessions.bind_runner, "s1", "r2") == "r1"
    assert town.run(sessions.count_live, "r1") == 1
    assert [s.session_id for s in town.run(sessions.live, "r1")] == ["s1"]
    town.run(sessions.change, "s1", state="COMPLETED")
    assert town.run(sessions.live) == []
    with pytest.raises(UnknownSession):
        town.run(sessions.bind_runner, "s9", "r1")


def test_sessions_are_listed_newest_first_page_by_page(town: Database) -> None:
    for i in range(7):
        town.run(sessions.create, session(f"s{i}", at=i // 2, state="COMPLETED" if i == 3 else "RUNNING"))
    town.run(sessions.create, session("elsewhere", village_id="square"))
    seen: list[str] = []
    cursor = None
    while True:
        page = town.run(sessions.page, "demo", cursor=cursor, limit=2)
        seen += [s.session_id for s in page.items]
        if (cursor := page.next) is None:
            break
    assert seen == ["s6", "s4", "s5", "s2", "s3", "s0", "s1"]
    assert len(town.run(sessions.page, "demo", live_only=True).items) == 6
    with pytest.raises(ValueError, match="cursor"):
        town.run(sessions.page, "demo", cursor="x")


def test_a_runner_says_what_it_is_and_people_say_what_it_is_for(town: Database) -> None:
    town.run(runners.put, Runner(runner_id="r1", name="one", created_ms=1, village_id="demo"))
    town.run(runners.set_state, "r1", "draining")
    town.run(runners.put, Runner(runner_id="r1", name="one!", created_ms=9, labels={"gpu": "no"}))
    found = town.run(runners.get, "r1")
    assert found is not None
    assert (found.name, found.state, found.village_id, found.created_ms, found.labels) == (
        "one!", "draining", "demo", 1, {"gpu": "no"},
    )  # fmt: skip
    town.run(runners.put, Runner(runner_id="r0", name="any", created_ms=1))
    assert [r.runner_id for r in town.run(runners.everyone, "square")] == ["r0"]
    assert [r.runner_id for r in town.run(runners.everyone)] == ["r0", "r1"]
    assert not town.run(runners.set_state, "nobody", "active")


def test_the_audit_log_is_read_newest_first_and_exported_whole(town: Database) -> None:
    for i in range(5):
        entry = Entry(
            at_ms=i, kind="user", action=f"act{i}", user_id="ada", village_id="demo" if i else None, details={"n": i}
        )
        assert town.run(audit.add, entry) == i + 1
    page = town.run(audit.page, ["demo"], limit=3)
    assert [e.action for e in page.items] == ["act4", "act3", "act2"]
    assert [e.action for e in town.run(audit.page, ["demo"], cursor=page.next).items] == ["act1"]
    assert [e.details for e in town.run(lambda c: list(audit.export(c, chunk=2)))] == [{"n": i} for i in range(5)]


def test_a_key_that_comes_again_gets_the_first_answer(town: Database) -> None:
    assert town.run(idempotency.begin, "ada", "k", "print", 1) is None
    unfinished = town.run(idempotency.begin, "ada", "k", "print", 2)
    assert unfinished is not None
    assert unfinished.status is None
    town.run(idempotency.finish, "ada", "k", 201, '{"sessionId":"s1"}')
    answered = town.run(idempotency.begin, "ada", "k", "other", 3)
    assert answered is not None
    assert (answered.status, answered.body, answered.fingerprint) == (201, '{"sessionId":"s1"}', "print")
    assert town.run(idempotency.begin, "bob", "k", "print", 3) is None  # keys are everybody's own
    town.run(idempotency.abandon, "bob", "k")
    assert town.run(idempotency.forget, 2) == 1
    assert town.run(idempotency.begin, "ada", "k", "print", 4) is None


def test_a_setting_made_at_once_by_several_is_the_same_for_all(town: Database) -> None:
    assert town.run(settings.once, "id", "first") == "first"
    assert town.run(settings.once, "id", "second") == "first"
    town.run(settings.put, "id", "third")
    assert town.run(settings.get, "id") == "third"
    assert town.run(settings.get, "none") is None


async def test_a_call_is_one_transaction_in_a_thread(town: Database) -> None:
    def half(connection: object) -> None:
        villages.create(connection, "half", "Half", 1)  # type: ignore[arg-type]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        await town.call(half)
    assert await town.read(villages.get, "half") is None
