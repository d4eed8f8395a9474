"""Tokens and codes: shown once, kept as hashes, scoped, expiring, revocable; and people's passwords."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.unit.access.conftest import Clock
from townwatch.access import secrets
from townwatch.access.authenticator import Authenticator
from townwatch.access.grants import enrol, grant_api_token, grant_runner_token, issue_enrolment_code
from townwatch.access.jwt import OwnTokens
from townwatch.access.passwords import WeakPassword
from townwatch.access.policy import Action, Verdict, decide
from townwatch.access.sign_in import CODE_LIFETIME_MS, SignIn, issue_sign_in_code
from townwatch.access.subject import InvalidCredentials
from townwatch.store import runners, tokens, users
from townwatch.store.database import Database
from townwatch.store.runners import RunnerRow
from townwatch.store.standing import Membership

READ = frozenset({"read"})
OWNER = Membership(village_id="v", public=False, role="owner")

WEAK = {
    "short": "at least 12 characters$",
    "x" * 513: "at most 512",
    " " * 20: "blanks and invisible characters do not count",
    "\u00a0\u2003\t\n" * 5: "blanks and invisible characters do not count",
    "\u200b\u2060\ufeff\u3164\u2800" * 4: "blanks and invisible characters do not count",
    "short" + " " * 20: "blanks and invisible characters do not count",
    "-" * 30: "at least 5 different characters",
    "ab" * 10 + "c d": "at least 5 different characters",
}
"""Passwords that are none, and what their owner is told."""


@pytest.fixture
def people(database: Database) -> Database:
    for name in ("ada", "bob"):
        database.run(users.create, name, 1, user_id=name, email=f"{name}@example.org")
    database.run(runners.put, RunnerRow(runner_id="r1", name="one", created_ms=1))
    return database


@pytest.fixture
def authenticator(people: Database, own: OwnTokens, clock: Clock) -> Authenticator:
    return Authenticator(people, own, now_ms=clock.now_ms)


@pytest.fixture
def sign_in(people: Database, own: OwnTokens, clock: Clock) -> SignIn:
    return SignIn(people, own, now_ms=clock.now_ms)


async def test_an_api_token_works_within_its_scopes_until_it_ends(
    people: Database, authenticator: Authenticator, clock: Clock
) -> None:
    granted = people.run(grant_api_token, "ada", "ci", frozenset({"read", "drive"}), clock.ms, 1000)
    found = await authenticator.authenticate(granted.token)
    assert (found.kind, found.user_id, found.token_id) == ("api_token", "ada", granted.token_id)
    assert found.scopes == {"read", "drive"}
    assert found.expires_ms == clock.ms + 1000 == granted.expires_ms
    clock.ms += 1000
    with pytest.raises(InvalidCredentials, match="expired"):
        await authenticator.authenticate(granted.token)


async def test_a_revoked_token_is_dead_at_once_and_only_its_person_can_revoke_it(
    people: Database, authenticator: Authenticator, clock: Clock
) -> None:
    granted = people.run(grant_api_token, "ada", "ci", READ, clock.ms)
    assert not people.run(tokens.revoke_api_token, "bob", granted.token_id, clock.ms)
    await authenticator.authenticate(granted.token)
    assert people.run(tokens.revoke_api_token, "ada", granted.token_id, clock.ms)
    assert not people.run(tokens.revoke_api_token, "ada", granted.token_id, clock.ms)
    with pytest.raises(InvalidCredentials, match="revoked"):
        await authenticator.authenticate(granted.token)


async def test_the_token_of_a_session_opens_nothing(
    people: Database, authenticator: Authenticator, clock: Clock
) -> None:
    everything = frozenset({"read", "drive", "decide", "manage", "admin"})
    granted = people.run(grant_api_token, "ada", "agent", everything, clock.ms, 1000, "s1")
    agent = await authenticator.authenticate(granted.token)
    assert (agent.kind, agent.session_id, agent.scopes) == ("session", "s1", frozenset())
    assert [a for a in Action if decide(agent, a, OWNER) is Verdict.ALLOWED] == []


async def test_the_use_of_a_token_is_noted_once_a_minute(
    people: Database, authenticator: Authenticator, clock: Clock
) -> None:
    granted = people.run(grant_api_token, "ada", "ci", READ, clock.ms)
    first = clock.ms
    for _ in range(3):
        await authenticator.authenticate(granted.token)
        clock.ms += 10_000
    assert people.run(tokens.api_tokens_of, "ada")[0].used_ms == first
    clock.ms += 40_000
    await authenticator.authenticate(granted.token)
    assert people.run(tokens.api_tokens_of, "ada")[0].used_ms == clock.ms


@pytest.mark.parametrize(
    ("name", "scopes", "lifetime"),
    [("", READ, 1), ("x" * 201, READ, 1), ("x", frozenset(), 1), ("x", {"root"}, 1), ("x", READ, 0)],
)
def test_a_token_that_makes_no_sense_is_not_made(
    people: Database, name: str, scopes: frozenset[str], lifetime: int
) -> None:
    with pytest.raises(ValueError, match="scope"):
        people.run(grant_api_token, "ada", name, frozenset(scopes), 1, lifetime)


async def test_a_runner_has_one_token_and_its_old_one_ends_soon_after_a_rotation(
    people: Database, authenticator: Authenticator, clock: Clock
) -> None:
    first = people.run(grant_runner_token, "r1", clock.ms).token
    second = people.run(grant_runner_token, "r1", clock.ms, 5000).token
    assert (await authenticator.runner(first)).runner_id == "r1"
    clock.ms += 5000
    with pytest.raises(InvalidCredentials):
        await authenticator.runner(first)
    assert (await authenticator.runner(second)).runner_id == "r1"
    third = people.run(grant_runner_token, "r1", clock.ms).token
    with pytest.raises(InvalidCredentials):
        await authenticator.runner(second)
    assert people.run(tokens.revoke_runner_tokens, "r1", clock.ms) >= 1
    with pytest.raises(InvalidCredentials, match="revoked"):
        await authenticator.runner(third)


async def test_runners_and_people_do_not_pass_through_each_others_door(
    people: Database, authenticator: Authenticator, own: OwnTokens, clock: Clock
) -> None:
    runner = await authenticator.authenticate(people.run(grant_runner_token, "r1", clock.ms).token)
    assert (runner.user_id, runner.scopes) == (None, frozenset())
    assert {decide(runner, action, OWNER) for action in Action} == {Verdict.NOT_FOUND}
    for wrong in (own.issue("ada").token, people.run(grant_api_token, "ada", "x", READ, clock.ms).token, None):
        with pytest.raises(InvalidCredentials):
            await authenticator.runner(wrong)


async def test_an_enrolment_code_takes_one_runner_in(
    people: Database, authenticator: Authenticator, clock: Clock
) -> None:
    people.run(users.set_admin, "ada", True)
    code = people.run(issue_enrolment_code, "ada", clock.ms)
    enrolled = people.run(enrol, code, "box", clock.ms)
    assert (await authenticator.runner(enrolled.token)).runner_id == enrolled.runner_id
    with pytest.raises(InvalidCredentials):
        people.run(enrol, code, "box", clock.ms)
    late = people.run(issue_enrolment_code, "ada", clock.ms)
    clock.ms += 3_600_000
    with pytest.raises(InvalidCredentials):
        people.run(enrol, late, "box", clock.ms)
    people.run(runners.remove, enrolled.runner_id)
    with pytest.raises(InvalidCredentials):
        await authenticator.runner(enrolled.token)


async def test_a_sign_in_code_is_good_once_and_for_a_quarter_of_an_hour(sign_in: SignIn, clock: Clock) -> None:
    code = await sign_in.issue_code("ada")
    assert (await sign_in.exchange(code)).user.user_id == "ada"
    with pytest.raises(InvalidCredentials):
        await sign_in.exchange(code)
    late = await sign_in.issue_code("ada")
    clock.ms += CODE_LIFETIME_MS
    with pytest.raises(InvalidCredentials):
        await sign_in.exchange(late)
    for guess in ("", "twc_", "x" * 10_000, "\ud800", code.upper()):
        with pytest.raises(InvalidCredentials):
            await sign_in.exchange(guess)


def test_of_sixteen_who_use_a_code_at_once_one_gets_in(people: Database, clock: Clock) -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(10):
            digest = secrets.digest(people.run(issue_sign_in_code, "ada", clock.ms))
            used = pool.map(lambda _, d=digest: people.run(tokens.use_code, "sign_in", d, clock.ms), range(16))
            assert sum(code is not None for code in used) == 1


async def test_a_code_of_one_kind_is_none_of_the_other(people: Database, sign_in: SignIn, clock: Clock) -> None:
    with pytest.raises(InvalidCredentials):
        await sign_in.exchange(people.run(issue_enrolment_code, "ada", clock.ms))
    with pytest.raises(InvalidCredentials):
        people.run(enrol, await sign_in.issue_code("ada"), "box", clock.ms)


async def test_signing_out_everywhere_ends_what_was_issued_and_nothing_later(
    people: Database, authenticator: Authenticator, own: OwnTokens, clock: Clock
) -> None:
    before = own.issue("ada").token
    clock.ms += 1
    people.run(users.void_tokens, "ada", clock.ms)
    after = own.issue("ada").token
    with pytest.raises(InvalidCredentials):
        await authenticator.authenticate(before)
    assert (await authenticator.authenticate(after)).user_id == "ada"


async def test_who_is_locked_out_has_no_way_in(
    people: Database, authenticator: Authenticator, sign_in: SignIn, own: OwnTokens, clock: Clock
) -> None:
    await sign_in.set_password("ada", "correct horse battery")
    clock.ms += 1
    code = await sign_in.issue_code("ada")
    held = [own.issue("ada").token, people.run(grant_api_token, "ada", "x", READ, clock.ms).token]
    people.run(users.set_disabled, "ada", True)
    for token in held:
        with pytest.raises(InvalidCredentials):
            await authenticator.authenticate(token)
    with pytest.raises(InvalidCredentials):
        await sign_in.exchange(code)
    with pytest.raises(InvalidCredentials):
        await sign_in.with_password("ada@example.org", "correct horse battery")


async def test_passwords_open_for_their_person_only(sign_in: SignIn, people: Database) -> None:
    await sign_in.set_password("ada", "correct horse battery")
    assert (await sign_in.with_password("ADA@example.org ", "correct horse battery")).user.user_id == "ada"
    refusals: set[str] = set()
    for email, password in (
        ("ada@example.org", "correct horse batterz"),
        ("ada@example.org", ""),
        ("bob@example.org", "correct horse battery"),  # bob has none
        ("eve@example.org", "correct horse battery"),
        ("", "x" * 100_000),
    ):
        with pytest.raises(InvalidCredentials) as refused:
            await sign_in.with_password(email, password)
        refusals.add(str(refused.value))
    assert len(refusals) == 1  # it is not said whether the address exists
    stored = people.run(users.get, "ada")
    assert stored is not None
    assert stored.password_hash is not None
    assert stored.password_hash.startswith("$argon2id$")
    assert "argon2id" not in repr(stored)
    for weak, why in WEAK.items():
        with pytest.raises(WeakPassword, match=why):
            await sign_in.set_password("ada", weak)
    await sign_in.set_password("ada", "p a s s w o r d s i n g")


async def test_no_secret_is_in_the_database(people: Database, sign_in: SignIn, clock: Clock) -> None:
    canaries = [
        people.run(grant_api_token, "ada", "x", READ, clock.ms).token,
        people.run(grant_runner_token, "r1", clock.ms).token,
        people.run(issue_enrolment_code, "ada", clock.ms),
        await sign_in.issue_code("ada"),
        "correct horse battery",
    ]
    await sign_in.set_password("ada", canaries[-1])
    with people.engine.connect() as connection:
        names = ("users", "api_tokens", "runner_tokens", "codes", "audit")
        dump = "".join(str(connection.execute(text(f"SELECT * FROM {name}")).all()) for name in names)
    assert "ada@example.org" in dump
    assert not [canary for canary in canaries if canary in dump or canary[4:] in dump]
