"""Search over real doors: by the rights of reading, of what there is now, and never in the way of the log."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.support.cast import event
from tests.support.people import person, rest
from tests.support.service import ScriptedRunner, open_town
from tests.support.villages import connect, enrol, make_village
from townwatch.store.log.records import Retention

NOTHING_USED = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}
REPO = {"repoRef": {"provider": "local", "path": "/src/shop"}}


def prompt(seq: int, text: str, session: str = "s1") -> dict[str, Any]:
    inner = {"type": "agent.prompt", "providerId": "codex", "timestamp": 1, "text": text}
    return {**event("PROVIDER_EVENT_FORWARDED", seq, session, providerEvent=inner), **REPO}


def begun(session: str, agent: str) -> dict[str, Any]:
    fields = {"providerId": "codex", "providerVersion": "1", "workspacePath": "/src/shop", "agentId": agent}
    return {**event("SESSION_STARTED", 1, session, **fields, agentName=agent.title()), **REPO}


def output(seq: int, data: str, session: str = "s1") -> dict[str, Any]:
    return {**event("TERMINAL_CHUNK", seq, session, data=data, stream="stdout"), **REPO}


def end(seq: int, session: str = "s1", state: str = "COMPLETED") -> dict[str, Any]:
    return event("SESSION_ENDED", seq, session, finalState=state, totalDurationMs=1, totalUsage=NOTHING_USED)


async def said(runner: ScriptedRunner, *events: dict[str, Any], village: str = "demo") -> None:
    await runner.send(*[{**one, "orgId": village} for one in events])
    await runner.acked(events[-1]["seq"])


async def search(http: httpx.AsyncClient, q: str, **more: Any) -> dict[str, Any]:
    """The answer of an index that has everything."""
    with trio.fail_after(20):
        while True:
            answer = await http.get("/api/search", params={"q": q, **more})
            assert answer.status_code == 200, answer.text
            found = answer.json()
            if found["index"]["state"] == "current":
                return found
            await trio.sleep(0.05)


def marked(hit: dict[str, Any]) -> list[str]:
    return [hit["snippet"][a:b] for a, b in hit["matches"]]


async def test_a_hit_says_who_where_when_and_what_matched_without_markup(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        drawn = "\x1b[1;31mE   Assert\x1b[0;31mionError\x1b[0m: <b>cart</b> total\r\n"
        await said(runner, begun("s1", "ada"), prompt(2, "mend the Cart"), output(3, drawn), end(4))
        found = await search(http, "cart")
        assert (found["total"], found["moreThanTotal"], found["next"]) == (2, False, None)
        terminal, asked = found["items"]
        assert (terminal["kind"], terminal["seq"], terminal["agentName"]) == ("terminal", 3, "Ada")
        assert terminal["snippet"] == "E   AssertionError: <b>cart</b> total"
        assert (marked(terminal), marked(asked)) == (["cart"], ["Cart"])
        assert (asked["sessionId"], asked["villageId"], asked["repoPath"]) == ("s1", "demo", "/src/shop")
        assert asked["at"] == prompt(2, "")["ts"]


async def test_filters_narrow_and_a_cursor_goes_on(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s1", "ada"), *(prompt(n, f"word {n}") for n in range(2, 7)))
        await said(runner, begun("s2", "bob"), prompt(2, "word of bob", "s2"), output(3, "word\r\nmore\r\n", "s2"))
        house = (await search(http, "word"))["items"][0]["repoId"]
        assert (await search(http, "word", repoId=house, kind="prompt"))["total"] == 6
        assert (await search(http, "word", agentId="bob"))["total"] == 2
        assert (await search(http, "word", sessionId="s1", villageId="demo"))["total"] == 5
        assert (await search(http, "word", repoId="another"))["total"] == 0
        assert (await search(http, "word", outcome="failed"))["total"] == 0
        assert (await search(http, "word", until=1))["total"] == 0
        first = await search(http, "word", agentId="ada", limit=3)
        second = await search(http, "word", agentId="ada", limit=3, cursor=first["next"])
        seen = [one["snippet"] for one in [*first["items"], *second["items"]]]
        assert (seen, second["next"]) == ([f"word {n}" for n in range(6, 1, -1)], None)
        wrong = await http.get("/api/search", params={"q": "word", "cursor": "x"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "E_CURSOR")


async def test_no_query_is_a_failure_of_the_service_and_an_empty_one_says_what_to_do(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        for odd in ('a "b', "NEAR(a b) AND", "*)(^:", "a' OR 1=1 --", "\\", '"""', "!x", "%"):
            answer = await http.get("/api/search", params={"q": odd})
            assert answer.status_code == 200, (odd, answer.text)
        for empty in ("%", "!x", '"""', "*)(^:"):
            answer = (await http.get("/api/search", params={"q": empty})).json()
            assert (answer["items"], "name a word to look for" in answer["advice"]) == ([], True)


async def test_whoever_may_not_read_finds_nothing_and_learns_nothing(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        for name, public in (("closed", False), ("other", False), ("open", True)):
            await make_village(town, name, public=public)
            joined = await enrol(town, name, f"machine-{name}")
            async with connect(town, joined) as runner:
                session = f"s-{name}"
                await said(runner, begun(session, name), prompt(2, f"canary in {name}", session), village=name)
        member = await person(town, "ada", "viewer", "closed")
        tokens = {
            "a member": member,
            "of another village": await person(town, "bob", "owner", "other"),
            "a stranger": await person(town, "eve"),
            "nobody": None,
        }
        seen: dict[str, list[str]] = {}
        totals: dict[str, int] = {}
        for who, token in tokens.items():
            async with rest(town, token) as http:
                found = await search(http, "canary")
                seen[who] = sorted(one["villageId"] for one in found["items"])
                totals[who] = found["total"]
                closed = await http.get("/api/search", params={"q": "canary", "villageId": "closed"})
                assert closed.status_code == (200 if who == "a member" else 404), who
                there = await search(http, "canary", sessionId="s-closed")
                assert there["total"] == (1 if who == "a member" else 0), who
        assert seen == {
            "a member": ["closed", "open"],
            "of another village": ["open", "other"],
            "a stranger": ["open"],
            "nobody": ["open"],
        }
        assert totals == {who: len(villages) for who, villages in seen.items()}
        blind = await person(town, "joe", "viewer", "closed", scopes=frozenset({"drive"}))
        for token, status in ((blind, 403), ("twx_wrong", 401), (joined.token, 403)):
            async with rest(town, token) as http:
                assert (await http.get("/api/search", params={"q": "canary"})).status_code == status


async def test_a_member_who_is_removed_finds_nothing_any_more(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as owner:
        await said(runner, begun("s1", "ada"), prompt(2, "canary"))
        async with rest(town, await person(town, "ada", "viewer")) as viewer:
            assert (await search(viewer, "canary"))["total"] == 1
            assert (await owner.delete("/api/villages/demo/members/user_ada")).status_code == 200
            assert (await search(viewer, "canary"))["total"] == 0


async def test_what_is_deleted_is_found_no_more_and_its_words_are_gone_from_the_disk(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s1", "ada"), prompt(2, "canary4711"), end(3))
        await make_village(town, "away")
        joined = await enrol(town, "away", "machine")
        async with connect(town, joined) as other:
            ending = end(3, "s-away")
            await said(other, begun("s-away", "bob"), prompt(2, "canary4711 too", "s-away"), ending, village="away")
        assert (await search(http, "canary4711*"))["total"] == 2
        assert (await http.delete("/api/runner/sessions/s1")).status_code == 200
        assert [one["sessionId"] for one in (await search(http, "canary4711"))["items"]] == ["s-away"]
        assert (await http.delete("/api/villages/away")).status_code == 200
        assert (await search(http, "canary4711"))["total"] == 0
    with sqlite3.connect(tmp_path / "search.db") as db:
        assert db.execute("SELECT count(*) FROM piece").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM session").fetchone() == (0,)
    db.close()


async def test_secrets_are_masked_before_they_can_be_searched(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s1", "ada"), prompt(2, "use AKIAIOSFODNN7EXAMPLE for it"))
        found = await search(http, "use for it")
        assert "••••••" in found["items"][0]["snippet"]
        assert (await search(http, "AKIAIOSFODNN7EXAMPLE"))["total"] == 0


async def test_an_index_that_is_gone_is_built_again_and_what_came_meanwhile_is_in_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s1", "ada"), prompt(2, "first canary"), end(3))
        assert (await search(http, "canary"))["total"] == 1
    for one in tmp_path.glob("search.db*"):
        one.unlink()
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s2", "ada"), prompt(2, "second canary", "s2"))
        found = (await search(http, "canary"))["items"]
        assert sorted(one["snippet"] for one in found) == ["first canary", "second canary"]


async def test_an_index_that_cannot_be_opened_says_so_and_everything_else_works(tmp_path: Path) -> None:
    (tmp_path / "search.db").mkdir()
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s1", "ada"), prompt(2, "canary"), end(3))
        answer = await http.get("/api/search", params={"q": "canary"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "E_SEARCH")
        assert "search" in answer.json()["error"]["message"]
        assert (await http.get("/api/runner/sessions/s1")).json()["state"] == "COMPLETED"
        assert (await http.get("/readyz")).status_code == 200


async def test_what_retention_takes_cannot_be_found(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await said(runner, begun("s1", "ada"), prompt(2, "canary"), end(3))
        assert (await search(http, "canary"))["total"] == 1
        journal: Any = town.service.context.journal_log
        removed = await trio.to_thread.run_sync(journal.retain, "demo", Retention(max_bytes=0))
        assert removed.events == 3
        assert (await search(http, "canary"))["total"] == 0
