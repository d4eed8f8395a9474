"""The whole table: every kind of subject, every role, every action, public or not. Written out, not computed."""

import itertools
from typing import Any

import pytest

from access.gate import Denied, Gate, NotFound
from access.policy import Action, Verdict, decide, decide_service
from access.subject import ALL_SCOPES, ANONYMOUS, Subject
from store import agents, members, runners, sessions, users, villages
from store.agents import Agent
from store.database import Database
from store.runners import Runner
from store.sessions import Session
from store.standing import Standing

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
session    owner     private  AFFFF
session    owner     public   AFFFF
session    operator  private  AFFFF
session    operator  public   AFFFF
session    viewer    private  AFFFF
session    viewer    public   AFFFF
session    none      private  -----
session    none      public   AFFFF
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
    standing = Standing(village_id="v", public=visibility == "public", role=None if role == "none" else role)  # type: ignore[arg-type]
    for action, letter in zip(Action, letters, strict=True):
        assert decide(subject(kind), action, standing) is LETTERS[letter], action


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_not_found_whoever_asks(kind: str) -> None:
    assert {decide(subject(kind, admin=True), action, None) for action in Action} == {Verdict.NOT_FOUND}


def test_a_token_does_no_more_than_its_scopes() -> None:
    owner = Standing(village_id="v", public=False, role="owner")
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
    # An administrator is no member everywhere: running the service is not reading other people's work.
    assert decide(admin, Action.READ, Standing(village_id="v", public=False, role=None)) is Verdict.NOT_FOUND


# --- with the database ------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(database: Database) -> Gate:
    """Ada owns hers, bob operates it; everybody may look at the square. One of each thing in both."""
    for name in ("ada", "bob", "eve"):
        database.run(users.create, name, 1, user_id=name)
    for village, public in (("hers", False), ("square", True)):
        database.run(villages.create, village, village, 1, public=public)
        house = database.run(villages.add_house, village, "/code", 1)
        agent = Agent(
            agent_id=f"agent-{village}", village_id=village, house_id=house.house_id, session_id=None, name="A",
            agent_type="codex", repo_path="/code", created_ms=1,
        )  # fmt: skip
        database.run(agents.put, agent)
        run = Session(
            session_id=f"session-{village}", village_id=village, agent_id=agent.agent_id, provider_id="codex",
            state="RUNNING", created_ms=1,
        )  # fmt: skip
        database.run(sessions.create, run)
        database.run(runners.put, Runner(runner_id=f"runner-{village}", name="r", village_id=village, created_ms=1))
    database.run(members.put, "hers", "ada", "owner", 1)
    database.run(members.put, "hers", "bob", "operator", 1)
    return Gate(database)


def things(village: str) -> list[tuple[str, str]]:
    house = villages.house_id_of(village, "/code")
    kinds = {"village": village, "house": house}
    return list((kinds | {k: f"{k}-{village}" for k in ("agent", "session", "runner")}).items())


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
    assert not await gate.may_drive(bob, "hers")
    assert await gate.may_read(bob, "hers")
    await database.call(members.remove, "hers", "bob")
    assert not await gate.may_read(bob, "hers")
    await database.call(villages.change, "hers", public=True)
    assert await gate.may_read(bob, "hers")


async def test_rooms_are_joined_by_who_may_read_what_they_are_about(gate: Gate) -> None:
    rooms = {
        f"{prefix}:{name}"
        for prefix, kind in (("village", "village"), ("agent", "agent"), ("repo", "house"))
        for found, name in things("hers")
        if found == kind
    }
    assert len(rooms) == 3
    for room in rooms:
        assert await gate.may_join(subject("user"), room)
        assert not await gate.may_join(subject("user", user_id="eve"), room)
        assert not await gate.may_join(ANONYMOUS, room)
        assert not await gate.may_join(subject("runner"), room)
    assert await gate.may_join(ANONYMOUS, "village:square")


@pytest.mark.parametrize(
    "room",
    ["", "village", "village:", ":hers", "session:session-hers", "runner:runner-hers", "VILLAGE:hers", "village:hers ",
     "village: hers", "village:hers\x00", "village:HERS", "village:hers:x", "village:" + "x" * 5000, "village:%",
     "village:her_", "village:' OR '1'='1", "village:\ud800", "repo:hers", "agent:hers"],
)  # fmt: skip
async def test_odd_rooms_are_no_rooms(gate: Gate, room: str) -> None:
    assert not await gate.may_join(subject("user"), room)
