"""The golden table through the real wire: a runner's WebSocket in, the official Socket.IO client out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support import golden
from tests.support.service import NodeClient, Town, open_town
from townwatch.contracts.ui import repo_id

pytestmark = pytest.mark.node
TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]]
ORDERED = sorted(golden.TABLE, key=lambda row: (row.name != "started", row.name == "ended"))
"""The table as a session's life: started first, ended last."""


def expected(letters: str) -> list[tuple[str, Any]]:
    """What somebody in these rooms gets: every message that goes to one of them, once."""
    found: list[tuple[str, Any]] = []
    for seq, row in enumerate(ORDERED, start=1):
        for event, rooms, payload in row.becomes:
            copy = event == "work_stream_event" and payload["type"] == "output" and "t" in letters
            if set(rooms) & set(letters) and not copy:  # who watches the terminal has the text already
                found.append((event, {**payload, "seq": seq} if event in golden.SEQ_EVENTS else payload))
    return found


def events() -> list[dict[str, Any]]:
    return [row.event(seq) for seq, row in enumerate(ORDERED, start=1)]


OF_HOUSES = ("house.activity", "house_changed", "presence", "keyboard", "approval_decided")


async def seen(client: NodeClient, count: int) -> list[tuple[str, Any]]:
    """What came, without what houses and people do (its timing is theirs) and without what follows."""
    found = [one for one in await client.events(count) if one[0] not in OF_HOUSES]
    while len(found) < count:
        found += [one for one in await client.events(1) if one[0] not in OF_HOUSES]
    return found


def by_stream(messages: Sequence[tuple[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The order is promised for what the village says, and for what the agent's own watchers get."""
    own = [m for m in messages if m[0] in ("terminal_output", "usage_tick")]
    return [m for m in messages if m not in own], own


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize(("letters", "joins"), [("v", ["village"]), ("at", ["agent"]), ("vat", ["village", "agent"])])
async def test_a_foreign_client_gets_exactly_the_contracts_events_once_each_in_order(
    tmp_path: Path, transports: list[str], letters: str, joins: list[str]
) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await make_known(town, runner)
        payloads = {
            "village": ["join_village", {"villageId": golden.VILLAGE}],
            "agent": ["join_agent", {"agentId": golden.AGENT, "terminal": True}],
        }
        async with town.client(transports=transports, joins=[payloads[one] for one in joins]) as client:
            assert [line["ack"]["ok"] for line in client.lines if "ack" in line] == [True] * len(joins)
            assert client.lines[0]["connected"] == transports[-1]
            for event in events()[1:]:
                await runner.send(event)
            wanted = [m for m in expected(letters) if m not in expected_of_first(letters)]
            got = await seen(client, len(wanted))
            assert by_stream(got) == by_stream(wanted)
            await client.emit("ping")  # and nothing came behind it
            extra = [line for line in client.lines if line.get("event") not in (None, "server_ping", *OF_HOUSES)]
            assert len(extra) == len(wanted)


def expected_of_first(letters: str) -> list[tuple[str, Any]]:
    first = ORDERED[0]
    return [
        (event, {**payload, "seq": 1} if event in golden.SEQ_EVENTS else payload)
        for event, rooms, payload in first.becomes
        if set(rooms) & set(letters)
    ]


async def make_known(town: Town, runner: Any) -> None:
    """The session's first event, so that its agent and its house can be joined."""
    await runner.send(events()[0])
    await runner.acked(1)
    with trio.fail_after(5):
        while town.service.context.published.get(golden.SESSION) != 1:
            await trio.sleep(0.01)


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
async def test_joining_a_house_shows_it_at_once_and_then_what_changes(tmp_path: Path, transports: list[str]) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await make_known(town, runner)
        house = repo_id(golden.VILLAGE, "github:acme/app")
        async with town.client(transports=transports, joins=[["join_repo", {"repoId": house}]]) as client:
            first = next(line["args"][0] for line in client.lines if line.get("event") == "house.activity")
            assert (first["repoId"], first["villageId"]) == (house, golden.VILLAGE)
            assert first["indicators"]["lights"]["active"] is True
            row = next(row for row in ORDERED if row.name == "tests started")
            await runner.send(row.event(2))
            changed = await client.until(
                lambda line: line.get("event") == "house.activity" and line["args"][0]["indicators"]["smoke"]["active"]
            )
            assert changed["args"][0]["version"] > first["version"]
            assert changed["args"][0]["indicators"]["smoke"]["buildStatus"] == "in_progress"
            async with town.client(joins=[["join_village", {"villageId": golden.VILLAGE}]]) as page:
                ended = next(row for row in ORDERED if row.name == "tests finished")
                await runner.send(ended.event(3))
                shown = await page.until(lambda line: line.get("event") == "house.activity")
        told = shown["args"][0]  # as the original's page reads it, in the village's room
        assert (told["type"], told["repoId"], told["ts"] > 0) == ("house.activity", house, True)
        assert told["indicators"]["lights"]["minRemainingMs"] >= 0
        assert told["indicators"]["smoke"]["status"] == told["indicators"]["smoke"]["buildStatus"]


async def test_an_approval_that_waits_is_shown_to_whoever_comes_later_once(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await make_known(town, runner)
        asked = next(row for row in ORDERED if row.name == "approval requested")
        await runner.send(asked.event(2))
        await runner.acked(2)
        joins = [["join_village", {"villageId": golden.VILLAGE}], ["join_agent", {"agentId": golden.AGENT}]]
        async with town.client(joins=joins) as client:
            shown = [line["args"][0] for line in client.lines if line.get("event") == "approval_requested"]
            assert [one["approvalId"] for one in shown] == ["ap1"]
