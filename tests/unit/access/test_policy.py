"""The whole table: every kind of subject, every role, every action, public or not. Written out, not computed."""

import itertools
from typing import Any

import pytest

from townwatch.access.gate import Denied, Gate, NotFound
from townwatch.access.policy import Action, Verdict, decide, decide_service
from townwatch.access.subject import ALL_SCOPES, ANONYMOUS, Subject
from townwatch.store import members, runner_grants, runners, sessions, users, villages
from townwatch.store.database import Database
from townwatch.store.runners import RunnerRow
from townwatch.store.sessions import SessionRow
from townwatch.store.standing import Membership

VILLAGE_ACTIONS = "read drive decide manage admin"
# kind, role, public → one letter an action in the order above: A allowed, F forbidden (403), - not found (404).
TABLE = """
user       owner     private  AAAAF
user       owner     public   AAAAF
user       operator  private  AAAFF
user       operator  public   AAAFF
user       viewer    private  AFFFF
user       viewer    public   AFFFF
user       none      private  -----
user       none      public   AFFFF
api_token  owner     private  AAAAF
api_token  owner     public   AAAAF
api_token  operator  private  AAAFF
api_token  operator  public   AAAFF
api_token  viewer    private  AFFFF
api_token  viewer    public   AFFFF
api_token  none      private  -----
api_token  none      public   AFFFF
session    owner     private  -----
session    owner     public   -----
session    operator  private  -----
session    operator  public   -----
session    viewer    private  -----
session    viewer    public   -----
session    none      private  -----
session    none      public   -----
runner     owner     private  -----
runner     owner     public   -----
runner     operator  private  -----
runner     operator  public   -----
runner     viewer    private  -----
runner     viewer    public   -----
runner     none      private  -----
runner     none      public   -----
anonymous  owner     private  -----
anonymous  owner     public   AFFFF
anonymous  operator  private  -----
anonymous  operator  public   AFFFF
anonymous  viewer    private  -----
anonymous  viewer    public   AFFFF
anonymous  none      private  -----
anonymous  none      public   AFFFF
"""
KINDS = ("user", "api_token", "session", "runner", "anonymous")
ROLES = ("owner", "operator", "viewer", "none")
LETTERS = {"A": Verdict.ALLOWED, "F": Verdict.FORBIDDEN, "-": Verdict.NOT_FOUND}
ROWS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def subject(kind: str, **more: Any) -> Subject:
    person = kind in ("user", "api_token", "session")
    fields: dict[str, Any] = {"user_id": "ada" if person else None, "scopes": ALL_SCOPES}
    return Subject(kind=kind, **fields | more)  # type: ignore[arg-type]


def test_the_table_has_every_combination_once() -> None:
    assert sorted(row[:3] for row in ROWS) == sorted(itertools.product(KINDS, ROLES, ("private", "public")))
    assert [action.value for action in Action] == VILLAGE_ACTIONS.split()


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_the_policy_says_what_the_table_says(row: tuple[str, ...]) -> None:
    kind, role, visibility, letters = row
    standing = Membership(village_id="v", public=visibility == "public", role=None if role == "none" else role)  # type: ignore[arg-type]
    for action, letter in zip(Action, letters, strict=True):
        assert decide(subject(kind), action, standing) is LETTERS[letter], action


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_not_found_whoever_asks(kind: str) -> None:
    assert {decide(subject(kind, admin=True), action, None) for action in Action} == {Verdict.NOT_FOUND}


def test_a_token_does_no_more_than_its_scopes() -> None:
    owner = Membership(village_id="v", public=False, role="owner")
    for scopes in itertools.chain.from_iterable(itertools.combinations(sorted(ALL_SCOPES), n) for n in range(6)):
        limited = subject("api_token", scopes=frozenset(scopes))
        for action in Action:
            allowed = decide(limited, action, owner) is Verdict.ALLOWED
            assert allowed == (action in scopes and "read" in scopes and action is not Action.ADMIN)


def test_the_service_is_for_administrators() -> None:
    admin, person = subject("user", admin=True), subject("user")
    assert all(decide_service(admin, action) is Verdict.ALLOWED for action in Action)
    assert [a for a in Action if decide_service(person, a) is Verdict.ALLOWED] == [Action.READ]
    for nobody in (ANONYMOUS, subject("runner", admin=True)):
        assert all(decide_service(nobody, action) is Verdict.FORBIDDEN for action in Action)


# --- with the database ------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(database: Database) -> Gate:
    """Ada owns hers, bob operates it; everybody may look at the square. One of each thing in both."""
    for name in ("ada", "bob", "eve"):
        database.run(users.create, name, 1, user_id=name)
    for village, public in (("hers", False), ("square", True)):
        database.run(villages.create, village, village, 1, public=public, key=village)
        run = SessionRow(
            session_id=f"session-{village}", village_id=village, agent_id="agent", provider_id="codex",
            created_ms=1,
        )  # fmt: skip
        database.run(sessions.create, run)
        database.run(runners.put, RunnerRow(runner_id=f"runner-{village}", name="r", created_ms=1))
        database.run(runner_grants.grant, f"runner-{village}", village, None, 1)
    database.run(members.put, "hers", "ada", "owner", 1)
    database.run(members.put, "hers", "bob", "operator", 1)
    return Gate(database)


def things(village: str) -> list[tuple[str, str]]:
    return [("village", village), ("session", f"session-{village}")]


async def test_everything_in_a_village_is_as_open_as_the_village(gate: Gate) -> None:
    for who, may in (("ada", "AAAAF"), ("bob", "AAAFF"), ("eve", "-----"), (None, "-----")):
        asker = ANONYMOUS if who is None else subject("user", user_id=who)
        for kind, name in things("hers"):
            for action, letter in zip(Action, may, strict=True):
                assert await gate.verdict(asker, action, kind, name) is LETTERS[letter], (who, kind, action)  # type: ignore[arg-type]
    for asker in (ANONYMOUS, subject("user", user_id="eve")):
        for kind, name in things("square"):
            assert await gate.verdict(asker, Action.READ, kind, name) is Verdict.ALLOWED  # type: ignore[arg-type]
            assert await gate.verdict(asker, Action.DRIVE, kind, name) is Verdict.FORBIDDEN  # type: ignore[arg-type]


async def test_what_one_may_not_see_looks_exactly_like_what_is_not_there(gate: Gate) -> None:
    eve = subject("user", user_id="eve")
    with pytest.raises(NotFound) as hidden:
        await gate.check(eve, Action.READ, "village", "hers")
    with pytest.raises(NotFound) as missing:
        await gate.check(eve, Action.READ, "village", "none")
    assert str(hidden.value).replace("hers", "none") == str(missing.value)
    with pytest.raises(Denied):
        await gate.check(eve, Action.DRIVE, "village", "square")
    assert (await gate.check(subject("user"), Action.MANAGE, "session", "session-hers")).village_id == "hers"


async def test_a_change_of_role_holds_at_once(gate: Gate, database: Database) -> None:
    bob = subject("user", user_id="bob")
    assert await gate.may_drive(bob, "hers")
    await database.call(members.put, "hers", "bob", "viewer", 2)
    assert await gate.may_drive(bob, "hers") is False
    assert await gate.may_read(bob, "hers")
    await database.call(members.remove, "hers", "bob")
    assert await gate.may_drive(bob, "hers") is None
    assert not await gate.may_read(bob, "hers")
    await database.call(villages.change, "hers", public=True)
    assert await gate.may_read(bob, "hers")


async def runner_verdict(gate: Gate, who: Subject, action: Action, runner_id: str) -> Verdict:
    try:
        await gate.check_runner(who, action, runner_id)
    except NotFound:
        return Verdict.NOT_FOUND
    except Denied:
        return Verdict.FORBIDDEN
    return Verdict.ALLOWED


async def test_a_runner_is_seen_by_members_and_managed_by_who_owns_all_its_villages(
    gate: Gate, database: Database
) -> None:
    ada, bob, eve = (subject("user", user_id=name) for name in ("ada", "bob", "eve"))
    assert await runner_verdict(gate, ada, Action.MANAGE, "runner-hers") is Verdict.ALLOWED
    assert await runner_verdict(gate, bob, Action.READ, "runner-hers") is Verdict.ALLOWED
    assert await runner_verdict(gate, bob, Action.MANAGE, "runner-hers") is Verdict.FORBIDDEN
    assert await runner_verdict(gate, eve, Action.READ, "runner-hers") is Verdict.NOT_FOUND
    assert await runner_verdict(gate, eve, Action.READ, "runner-square") is Verdict.NOT_FOUND  # public, and not hers
    await database.call(runner_grants.grant, "runner-hers", "square", None, 1)
    assert await runner_verdict(gate, ada, Action.MANAGE, "runner-hers") is Verdict.FORBIDDEN  # others live there too
    assert await runner_verdict(gate, ada, Action.READ, "runner-hers") is Verdict.ALLOWED
    await database.call(runner_grants.withdraw, "runner-hers", ["hers", "square"])
    assert await runner_verdict(gate, ada, Action.READ, "runner-hers") is Verdict.NOT_FOUND
    admin = subject("user", user_id="eve", admin=True)
    assert await runner_verdict(gate, admin, Action.MANAGE, "runner-hers") is Verdict.ALLOWED
    assert await runner_verdict(gate, admin, Action.READ, "runner-none") is Verdict.NOT_FOUND


async def test_administrators_see_and_manage_every_village_and_drive_their_own(gate: Gate) -> None:
    admin = subject("user", user_id="eve", admin=True)
    letters = {action: await gate.verdict(admin, action, "village", "hers") for action in Action}
    allowed = {action for action, verdict in letters.items() if verdict is Verdict.ALLOWED}
    assert allowed == {Action.READ, Action.MANAGE}
    narrow = subject("user", user_id="eve", admin=True, scopes=ALL_SCOPES - {"admin"})
    assert await gate.verdict(narrow, Action.READ, "village", "hers") is Verdict.NOT_FOUND


async def test_a_village_is_asked_for_by_its_name(gate: Gate, database: Database) -> None:
    key = await database.call(villages.create, "acme", "Acme", 1)
    assert key is not None
    await database.call(members.put, key, "ada", "owner", 1)
    assert await gate.village(subject("user", user_id="ada"), Action.MANAGE, "acme") == key
    for who, name in (("bob", "acme"), ("ada", key), ("ada", "nowhere"), ("ada", "acme~")):
        with pytest.raises(NotFound):
            await gate.village(subject("user", user_id=who), Action.READ, name)
