"""The history of sessions: by house, agent, person, day, outcome, with the whole number; only of what one may see."""

from typing import Any

from tests.support.cast import event
from townwatch.store import sessions
from townwatch.store.sessions import SessionRow

NOTHING_USED = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}
LIST = "/api/runner/sessions"


def started(repo: str) -> dict[str, Any]:
    fields = {"providerId": "codex", "providerVersion": "1", "workspacePath": repo}
    return {**event("SESSION_STARTED", 1, **fields), "repoRef": local(repo)}


def local(path: str) -> dict[str, str]:
    return {"provider": "local", "path": path}


def ended(state: str) -> dict[str, Any]:
    return event("SESSION_ENDED", 2, finalState=state, totalDurationMs=1, totalUsage=NOTHING_USED)


async def filled(rest: Any) -> None:
    for session, village, *events in (
        ("s-old", "closed", started("/src/shop"), ended("COMPLETED")),
        ("s-failed", "closed", started("/src/shop"), ended("FAILED")),
        ("s-live", "closed", started("/src/blog")),
        ("s-open", "open", started("/src/blog"), ended("FAILED")),
    ):
        rest.cast.clock.now += 1000
        await rest.session(*events, session_id=session, village=village)
    for session, who, village in (("s-old", "operator", "closed"), ("s-open", "operator", "open")):
        row = SessionRow(
            session_id=session,
            village_id=rest.keys[village],
            agent_id="a",
            provider_id="codex",
            created_ms=1,
            created_by=f"user_{who}_1",
        )
        await rest.database.call(sessions.create, row)


async def found(rest: Any, who: str | None = "viewer", **query: Any) -> tuple[list[str], int]:
    answer = await rest.get(LIST, who, params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return sorted(one["sessionId"] for one in body["items"]), body["total"]


async def test_each_filter_leaves_what_it_says_with_the_whole_number(rest: Any) -> None:
    await filled(rest)
    everything = ["s-failed", "s-live", "s-old", "s-open"]
    assert await found(rest) == (everything, 4)
    items = {one["sessionId"]: one for one in (await rest.get(LIST, "viewer")).json()["items"]}
    house, agent = items["s-old"]["repoId"], items["s-live"]["agentId"]
    for query, expected in [
        ({"repoId": house}, ["s-failed", "s-old"]),
        ({"agentId": agent}, ["s-live"]),
        ({"outcome": "failed"}, ["s-failed", "s-open"]),
        ({"outcome": "live"}, ["s-live"]),
        ({"outcome": "completed"}, ["s-old"]),
        ({"since": items["s-failed"]["createdAt"], "until": items["s-live"]["createdAt"]}, ["s-failed"]),
        ({"startedBy": "user_operator_1"}, ["s-old", "s-open"]),
        ({"startedBy": "user_operator_1", "villageId": "closed"}, ["s-old"]),
        ({"repoId": house, "outcome": "failed"}, ["s-failed"]),
        ({"startedBy": "user_nobody"}, []),
    ]:
        assert await found(rest, **query) == (expected, len(expected)), query


async def test_a_page_says_how_many_there_are_on_all_pages(rest: Any) -> None:
    await filled(rest)
    first = (await rest.get(LIST, "viewer", params={"limit": 3})).json()
    second = (await rest.get(LIST, "viewer", params={"limit": 3, "cursor": first["next"]})).json()
    assert (len(first["items"]), first["total"], len(second["items"]), second["total"]) == (3, 4, 1, 4)


async def test_who_started_it_is_for_members(rest: Any) -> None:
    await filled(rest)
    who = {"userId": "user_operator_1", "name": "Operator"}
    seen = {one["sessionId"]: one["startedBy"] for one in (await rest.get(LIST, "viewer")).json()["items"]}
    assert seen == {"s-old": who, "s-open": who, "s-failed": None, "s-live": None}
    assert (await rest.get(f"{LIST}/s-old", "viewer")).json()["startedBy"] == who
    for stranger in ("stranger", None):
        assert await found(rest, stranger) == (["s-open"], 1)
        assert await found(rest, stranger, startedBy="user_operator_1") == ([], 0)
        assert (await rest.get(f"{LIST}/s-open", stranger)).json()["startedBy"] is None
