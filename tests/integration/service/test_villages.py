"""Who makes villages, what is left of one that was deleted, and which villages a runner serves: over the real doors."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.support.people import connected, person, rest
from tests.support.service import Town, open_town
from tests.support.villages import (
    Joined,
    VillageRunner,
    connect,
    connect_ackless,
    enrol,
    key_of,
    make_village,
    shown,
)
from townwatch.app.grants import ROUND_SECONDS
from townwatch.config.settings import Settings
from townwatch.store import members, runner_grants, villages
from townwatch.transports.http.app import OPERATIONS

SECRET = "SECRET OF ACME"
START = {
    "providerId": "command",
    "command": ["sh", "-c", "id"],
    "repoRef": {"provider": "local", "path": "/x"},
    "task": {"title": "t", "goal": "g"},
}


def everyone(found: Settings) -> Settings:
    return attrs.evolve(found, people=attrs.evolve(found.people, may_create_villages="everyone"))


def ackless(found: Settings) -> Settings:
    return attrs.evolve(found, runners=attrs.evolve(found.runners, ackless=True))


async def until(done: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not done():
            await trio.sleep(0.01)


def message(answer: httpx.Response) -> str:
    return answer.json()["error"]["message"]


async def start(http: httpx.AsyncClient, village: str, **more: Any) -> httpx.Response:
    return await http.post("/api/runner/sessions", json={**START, "villageId": village, **more})


async def allow_everything(town: Town, runner: VillageRunner, sessions: list[str]) -> None:
    """Obey every command, and say of a start that the session runs."""
    while True:
        command = await runner.next("command")
        await runner.answer(command)
        if command["command"] == "start":
            sessions.append(command["config"]["sessionId"])


async def refused(runner: VillageRunner, *events: dict[str, Any]) -> list[str]:
    """The codes that events are refused with, one each."""
    await runner.send(*events)
    return [(await runner.next("nack"))["code"] for _ in events]


async def seen_by(town: Town, token: str | None) -> str:
    """Everything that a person reads about sessions, approvals, villages, runners and connections."""
    async with rest(town, token) as http:
        paths = ("/api/runner/sessions", "/api/approvals", "/api/villages", "/api/runners", "/api/me")
        return "".join([(await http.get(path)).text for path in paths])


async def grant(town: Town, runner_id: str, *names: str, token: str | None = None) -> httpx.Response:
    async with rest(town, token or town.token) as http:
        return await http.put(f"/api/runners/{runner_id}/villages", json={"villages": list(names)})


# --- its two ids ---------------------------------------------------------------------------------


async def test_a_villages_key_never_leaves_the_service(tmp_path: Path, monkeypatch: Any) -> None:
    """Every answer of every operation that reads, and what comes over Socket.IO, names it as people do."""
    monkeypatch.setattr("townwatch.transports.http.routes.diffs.RUNNER_SECONDS", 0.2)  # this runner has no diffs
    inside = {"get_supervision", "list_supervision_events"}  # the process itself, for administrators
    async with open_acme(tmp_path) as acme, connected(acme.town, "socketio", acme.alice) as live:
        town, (_, _, secret) = acme.town, (await key_of(acme.town, "acme")).partition("~")
        assert len(secret) == 16
        values = {"villageId": "acme", "sessionId": "s1", "runnerId": acme.joined.runner_id}
        (asked,) = (await acme.http.get("/api/approvals")).json()["items"]
        hook = {"url": "https://example.org/", "kinds": ["session.ended"]}
        made = await acme.http.post("/api/villages/acme/webhooks", json=hook)
        values["userId"] = (await acme.http.get("/api/me")).json()["userId"]
        values["commandId"] = "land:s1:none"
        values |= {"approvalId": asked["approvalId"], "webhookId": made.json()["webhook"]["webhookId"]}
        repo = (await acme.http.get("/api/villages/acme/houses")).json()["items"][0]["repoId"]
        acks = [
            await live.emit("join_village", {"villageId": "acme", "since": {}}),
            await live.emit("join_agent", {"agentId": "runner_s1", "terminal": True, "since": {}}),
            await live.emit("join_repo", {"repoId": repo}),
        ]
        assert [ack["room"] for ack in acks] == ["village:acme", "agent:runner_s1", f"repo:{repo}"]
        await acme.runner.told(acme.runner.chunk("s1", 4, "more"))
        await shown(town, "s1", 4)
        told = {operation.name: "" for operation in OPERATIONS if operation.method == "GET"}
        for token in (acme.alice, town.token):
            async with rest(town, token) as http:
                for operation in OPERATIONS:
                    if operation.method == "GET":
                        told[operation.name] += (await http.get(operation.path.format(**values))).text
        told["socketio"] = json.dumps([acks, live.heard])
        assert {name for name, text in told.items() if secret in text} <= inside
        assert all("acme" in told[name] for name in ("list_sessions", "list_approvals", "list_runners", "list_audit"))


# --- making one -----------------------------------------------------------------------------------


async def test_administrators_make_villages_and_nobody_else_unless_it_is_allowed(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        mallory = await person(town, "mallory")
        async with rest(town, mallory) as http:
            answer = await http.post("/api/villages", json={"villageId": "mal", "name": "m"})
            assert (answer.status_code, "administrators" in message(answer)) == (403, True)
            assert (await http.get("/api/me")).json()["mayCreateVillages"] is False
        async with rest(town, town.token) as http:
            assert (await http.get("/api/me")).json()["mayCreateVillages"] is True
            assert (await http.post("/api/villages", json={"villageId": "a", "name": "a"})).status_code == 201


async def test_a_stranger_with_a_village_of_their_own_has_no_machine(tmp_path: Path) -> None:
    """The way in that was: make a village, start a command in it on the service's own machine, read its secrets."""
    async with open_town(tmp_path, everyone) as town, town.runner():
        mallory = await person(town, "mallory")
        async with rest(town, mallory) as http:
            mine = (await http.post("/api/villages", json={"villageId": "mal", "name": "m"})).json()["villageId"]
            for more in ({}, {"runnerId": "runner_local"}):
                answer = await start(http, mine, **more)
                assert answer.status_code == 409
                assert answer.json()["error"]["code"] == "E_NO_RUNNER"
                if not more:
                    assert "runner_local" not in message(answer)
            assert (await http.get("/api/runners")).json()["items"] == []
            assert (await http.get("/api/runners/runner_local")).status_code == 404
            assert (await grant(town, "runner_local", mine, token=mallory)).status_code == 404
        async with rest(town, town.token) as http:  # and the administrator sees the village
            assert mine in [one["villageId"] for one in (await http.get("/api/villages")).json()["items"]]
            assert (await http.get(f"/api/villages/{mine}/members")).status_code == 200
            assert (await http.delete(f"/api/villages/{mine}")).status_code == 200


async def test_whether_a_private_name_is_taken_is_told_to_administrators_only(tmp_path: Path) -> None:
    async with open_town(tmp_path, everyone) as town:
        await make_village(town, "secret-plan")
        async with rest(town, await person(town, "mallory")) as http:
            taken = await http.post("/api/villages", json={"villageId": "secret-plan", "name": "n"})
            free = await http.post("/api/villages", json={"villageId": "nobody-has-it", "name": "n"})
            assert (taken.status_code, free.status_code) == (201, 201)
            for answer, stem in ((taken, "secret-plan"), (free, "nobody-has-it")):
                name = answer.json()["villageId"]
                assert name.startswith(f"{stem}-")
                assert len(name) == len(stem) + 9
        async with rest(town, town.token) as http:
            again = await http.post("/api/villages", json={"villageId": "secret-plan", "name": "n"})
            assert again.status_code == 409


# --- deleting one ---------------------------------------------------------------------------------


@attrs.define
class Acme:
    """A village with a live session, people in its rooms, and a second one of the same runner beside it."""

    town: Town
    joined: Joined
    runner: VillageRunner
    alice: str
    http: httpx.AsyncClient


@asynccontextmanager
async def open_acme(path: Path) -> AsyncGenerator[Acme]:
    async with open_town(path) as town:
        await make_village(town, "acme")
        joined = await enrol(town, "acme", "builder")
        alice = await person(town, "alice", "owner", "acme")
        async with connect(town, joined) as runner, rest(town, alice) as http:
            await runner.told(runner.started("s1"), runner.chunk("s1", 2, SECRET), runner.asks("s1", 3))
            await shown(town, "s1", 3)
            yield Acme(town, joined, runner, alice, http)


async def test_a_village_of_the_same_name_is_empty_and_new(tmp_path: Path) -> None:
    async with open_acme(tmp_path) as acme, connected(acme.town, "socketio", acme.alice) as live:
        town, http = acme.town, acme.http
        code = (await http.post("/api/runners/enrolments", json={"villageId": "acme"})).json()["code"]
        assert (await live.emit("join_village", {"villageId": "acme"}))["room"] == "village:acme"
        assert (await live.emit("join_agent", {"agentId": "runner_s1", "terminal": True}))["ok"]
        assert (await http.delete("/api/villages/acme")).status_code == 200

        context = town.service.context
        assert list(context.board) == []
        (connection,) = context.directory.of_user("user_alice")
        await until(lambda: not connection.rooms())
        assert (await acme.runner.next("command"))["command"] == "stop"
        assert (
            await refused(acme.runner, acme.runner.chunk("s1", 4, "x"), acme.runner.started("s2"))
            == ["E_FORBIDDEN"] * 2
        )
        assert (await http.get("/api/runner/sessions/s1/events")).status_code == 404

        await make_village(town, "acme")  # the same name, and nothing else is the same
        assert (await http.get("/api/villages/acme")).status_code == 404  # she is no member of this one
        for path in ("agents", "houses"):
            async with rest(town, town.token) as owner:
                assert (await owner.get(f"/api/villages/acme/{path}")).json()["items"] == []
        async with rest(town, town.token) as owner:
            assert (await owner.get("/api/runner/sessions?villageId=acme")).json()["items"] == []
            assert (await owner.get("/api/runners?villageId=acme")).json()["items"] == []
            done = (await owner.get("/api/villages/acme/audit")).json()["items"]
            assert [one["action"] for one in done] == ["village.create"]
            answer = await owner.post("/api/runners/join", json={"code": code, "name": "late"})
            assert answer.status_code == 401
            assert (await start(owner, "acme")).json()["error"]["code"] == "E_NO_RUNNER"
        assert (await refused(acme.runner, acme.runner.started("s3"))) == ["E_FORBIDDEN"]
        assert SECRET not in await seen_by(town, town.token)
    for name in ("journal.db", "townwatch.db"):
        with sqlite3.connect(tmp_path / name) as stored:
            assert SECRET not in "\n".join(stored.iterdump()), name


async def test_it_stays_gone_over_a_restart_and_its_runner_may_be_granted_the_new_one(tmp_path: Path) -> None:
    async with open_acme(tmp_path) as acme:
        assert (await acme.http.delete("/api/villages/acme")).status_code == 200
        joined = acme.joined
    async with open_town(tmp_path) as town:
        await make_village(town, "acme")
        assert SECRET not in await seen_by(town, town.token)
        assert (await grant(town, joined.runner_id, "acme")).json() == {"villages": ["acme"]}
        async with connect(town, joined, [{"sessionId": "s1", "firstSeq": 1, "lastSeq": 3, "state": "RUNNING"}]) as old:
            assert await refused(old, old.chunk("s1", 4, SECRET)) == ["E_FORBIDDEN"]
            await old.told(old.started("s9"))
        async with rest(town, town.token) as http:
            listed = (await http.get("/api/runner/sessions?villageId=acme")).json()["items"]
            assert [(one["sessionId"], one["villageId"]) for one in listed] == [("s9", "acme")]


async def test_what_a_crash_kept_from_being_deleted_is_deleted_later(tmp_path: Path, monkeypatch: Any) -> None:
    """The rows go in one transaction; sessions, log and rooms follow, by a second attempt if need be."""
    monkeypatch.setattr("townwatch.app.upkeep.session_gc.ROUND_SECONDS", 0.05)
    async with open_acme(tmp_path) as acme:
        database = acme.town.service.database
        key = await database.read(villages.key_of, "acme")
        assert key is not None
        await database.call(villages.remove, key)  # and the process went away before the rest
        await until(lambda: not list(acme.town.service.context.board))
    with sqlite3.connect(tmp_path / "journal.db") as stored:
        assert SECRET not in "\n".join(stored.iterdump())


# --- which villages a runner serves ---------------------------------------------------------------


async def test_a_runner_writes_into_the_villages_that_it_was_granted_and_no_others(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, connected(town, "socketio", town.token) as live:
        for name in ("va", "vm"):
            await make_village(town, name)
        mine = await enrol(town, "vm", "m")
        assert (await live.emit("join_village", {"villageId": "va"}))["ok"]
        async with connect(town, mine) as runner:
            for number, village in enumerate(("va", "demo", "nowhere", "vm~", "")):
                runner.village = village or "vm~0000000000000000"
                session = f"x{number}"
                assert await refused(runner, runner.started(session), runner.asks(session, 2)) == ["E_FORBIDDEN"] * 2
            runner.village = "vm"
            await runner.told(runner.started("ok"))
            runner.village = "va"  # a session does not move
            assert await refused(runner, runner.chunk("ok", 2, "x")) == ["E_FORBIDDEN"]
        assert [state.session_id for state in town.service.context.board] == ["ok"]
        await live.emit("leave_village", {"villageId": "va"})
        assert "x0" not in str(live.heard)


async def test_in_the_dialect_without_acknowledgements_sessions_are_where_the_runner_was_enrolled(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path, ackless) as town:
        for name in ("va", "vb"):
            await make_village(town, name)
        mine = await enrol(town, "va", "m")
        async with connect_ackless(town, mine) as runner:
            runner.village = "vb"  # in the field it is a user's id: it grants nothing and names nothing
            await runner.say_each(runner.started("s1"))
            await shown(town, "s1", 1)
        async with rest(town, town.token) as http:
            assert (await http.get("/api/runner/sessions/s1")).json()["villageId"] == "va"
        assert (await grant(town, mine.runner_id)).json() == {"villages": []}
        async with connect_ackless(town, mine) as runner:
            await runner.say_each(runner.started("s2"), runner.chunk("s1", 2, "more"))
            await trio.sleep(0.2)
        assert town.service.context.board.session("s2") is None


async def test_a_withdrawn_grant_holds_on_the_live_link_and_ends_the_sessions_there(tmp_path: Path) -> None:
    async with open_acme(tmp_path) as acme, connected(acme.town, "socketio", acme.alice) as live:
        town, runner = acme.town, acme.runner
        await live.emit("join_village", {"villageId": "acme"})
        assert (await grant(town, acme.joined.runner_id, "acme", "demo")).status_code == 200
        runner.village = "demo"
        await runner.told(runner.started("d1"))
        assert (await grant(town, acme.joined.runner_id, "demo")).json() == {"villages": ["demo"]}
        assert (await runner.next("command"))["sessionId"] == "s1"
        runner.village = "acme"
        late = await refused(runner, runner.chunk("s1", 4, "after"), runner.started("s2"))
        assert late == ["E_SESSION_ENDED", "E_FORBIDDEN"]
        runner.village = "demo"
        await runner.told(runner.chunk("d1", 2, "goes on"))
        ended = (await acme.http.get("/api/runner/sessions/s1")).json()
        assert (ended["state"], ended["reason"], ended["pendingApprovals"]) == (
            "FAILED", "its runner no longer serves this village", [],
        )  # fmt: skip
        assert (await acme.http.get("/api/runners")).json()["items"] == []  # of demo she knows nothing
        done = {one["action"] for one in (await acme.http.get("/api/villages/acme/audit")).json()["items"]}
        assert "runner.withdrawn" in done
        assert "after" not in json.dumps(live.heard)


async def test_a_grant_that_another_process_withdrew_holds_within_a_second(tmp_path: Path) -> None:
    assert ROUND_SECONDS < 1
    async with open_acme(tmp_path) as acme:
        context, database = acme.town.service.context, acme.town.service.database
        key = await database.read(villages.key_of, "acme")
        await database.call(runner_grants.withdraw, acme.joined.runner_id, [key])
        await until(lambda: bool((state := context.board.session("s1")) and state.ended))
        assert await refused(acme.runner, acme.runner.started("s2")) == ["E_FORBIDDEN"]


async def test_sessions_start_on_granted_runners_only(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await make_village(town, "va")
        await make_village(town, "vb")
        mine = await enrol(town, "va", "theirs")
        async with connect(town, mine) as runner, rest(town, town.token) as http, trio.open_nursery() as nursery:
            sessions: list[str] = []
            nursery.start_soon(allow_everything, town, runner, sessions)
            assert (await start(http, "va")).status_code == 201
            for more in ({}, {"runnerId": mine.runner_id}):
                answer = await start(http, "vb", **more)
                assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_NO_RUNNER")
            assert (await grant(town, mine.runner_id, "va", "vb")).status_code == 200
            assert (await start(http, "vb")).status_code == 201
            state = town.service.context.board.session(sessions[-1])
            assert state is not None
            assert state.village_id.startswith("vb~")
            nursery.cancel_scope.cancel()


async def test_a_runner_that_joined_without_a_village_serves_none_until_it_is_granted(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        code = (await http.post("/api/runners/enrolments", json={})).json()["code"]
        made = (await http.post("/api/runners/join", json={"code": code, "name": "free"})).json()
        assert made["villageId"] is None
        joined = Joined(made["runnerId"], made["token"], "demo")
        async with connect(town, joined) as runner:
            assert await refused(runner, runner.started("s1")) == ["E_FORBIDDEN"]
            assert (await grant(town, joined.runner_id, "demo")).status_code == 200
            await runner.told(runner.started("s2"))


async def test_this_machines_runner_serves_the_first_village_of_the_owner(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        await make_village(town, "other")
        assert (await http.get("/api/runners/runner_local")).json()["villages"] == ["demo"]


@pytest.mark.parametrize(
    ("roles", "before", "after", "status"),
    [
        ({"va": "owner"}, ["va"], [], 200),
        ({"va": "owner", "vb": "owner"}, ["va"], ["va", "vb"], 200),
        ({"va": "owner", "vb": "owner"}, ["va", "vb"], ["vb"], 200),
        ({"va": "owner", "vb": "operator"}, ["va"], ["va", "vb"], 403),
        ({"va": "owner", "vb": "viewer"}, ["va", "vb"], ["va"], 403),
        ({"va": "owner"}, ["va"], ["va", "vb"], 404),
        ({"va": "operator", "vb": "owner"}, ["va"], ["va", "vb"], 403),
        ({"va": "viewer"}, ["va"], [], 403),
        ({"vb": "owner"}, ["va"], ["vb"], 404),
        ({"vb": "owner"}, [], ["vb"], 404),
        ({}, ["va"], [], 404),
    ],
)
async def test_who_may_grant_and_withdraw_what(
    tmp_path: Path, roles: dict[str, str], before: list[str], after: list[str], status: int
) -> None:
    """Villages that one owns, on runners that serve one's village; what one does not see stays as it is."""
    async with open_town(tmp_path) as town:
        database = town.service.database
        keys: dict[str, str] = {}
        for name in ("va", "vb", "hidden"):
            await make_village(town, name)
            keys[name] = await database.read(villages.key_of, name) or ""
        runner = (await enrol(town, "hidden", "r")).runner_id
        assert (await grant(town, runner, "hidden", *before)).status_code == 200
        bob = await person(town, "bob")
        for name, role in roles.items():
            await database.call(members.put, keys[name], "user_bob", role, 1)  # pyright: ignore[reportArgumentType]
        answer = await grant(town, runner, *after, token=bob)
        assert answer.status_code == status, answer.text
        serves = {one.public_id for one in await database.read(runner_grants.of_runner, runner)}
        assert serves == {"hidden", *(after if status == 200 else before)}
        assert "hidden" not in answer.text
        narrow = await person(town, "eve", scopes=frozenset({"read"}))
        assert (await grant(town, runner, token=narrow)).status_code in (403, 404)


async def test_an_administrators_narrow_token_grants_nothing(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        made = (await http.post("/api/tokens", json={"name": "ci", "scopes": ["read", "drive"]})).json()["token"]
        assert (await grant(town, "runner_local", token=made)).status_code == 403
        async with rest(town, made) as ci:
            assert (await ci.post("/api/villages", json={"villageId": "x", "name": "x"})).status_code == 403
            assert (await ci.get("/api/me")).json()["mayCreateVillages"] is False
