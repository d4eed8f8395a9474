"""Whoever is killed, the session goes on: seen from the official client's side, through the whole service."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.service import Town, open_town
from townwatch.app import supervision_tree as cast
from townwatch.runtime import whereis
from townwatch.supervision import tree

pytestmark = pytest.mark.node
SESSION = "feedfacecafebeef"
AGENT = "runner_feedface"
JOINS = [["join_village", {"villageId": "demo"}], ["join_agent", {"agentId": AGENT, "terminal": True}]]


def event(kind: str, seq: int, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sessionId": SESSION, "orgId": "demo", "ts": 1_764_000_000_000 + seq, "seq": seq, **fields}


def chunk(seq: int) -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, data=f"line {seq}\r\n", stream="stdout")


STARTED = event("SESSION_STARTED", 1, providerId="command", providerVersion="", workspacePath="/src/app")


async def known(town: Town) -> None:
    with trio.fail_after(5):
        while town.service.context.published.get(SESSION) != 1 or town.service.context.shown.get(SESSION) != 1:
            await trio.sleep(0.01)


def victim(town: Town, name: str) -> Any:
    context = town.service.context
    match name:
        case "session":
            return context.directory.sessions[SESSION]
        case "village":
            return context.directory.villages["demo"]
        case "agent":
            return context.directory.agents[f"demo:{AGENT}"]
        case "router":
            return context.router
        case "runner":
            return context.directory.runners["runner_local"]
        case "timers":
            return context.timers
        case _:
            return whereis(f"{cast.ROOT}/{name}")


@pytest.mark.parametrize("name", ["session", "village", "agent", "router", "runner", "timers", "villages", "agents"])
async def test_the_client_sees_every_line_once_and_in_order(tmp_path: Path, name: str) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        await known(town)
        async with town.client(joins=JOINS) as client:
            for seq in range(2, 32):
                await runner.send(chunk(seq))
                if seq in (10, 20):
                    victim(town, name).exit(RuntimeError("killed by the test"))
            lines: list[int] = []
            while not lines or lines[-1] != 31:
                line = await client.line()
                if line.get("event") == "terminal_output" and "snapshot" not in line["args"][0]:
                    lines.append(line["args"][0]["seq"])
            assert lines == list(range(2, 32))
            work = [
                line["args"][0]["seq"]
                for line in client.lines
                if line.get("event") == "work_stream_event" and line["args"][0]["type"] == "output"
            ]
            assert work == list(range(2, 2 + len(work)))


async def test_a_killed_client_actor_brings_the_client_back_with_its_rooms(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        await known(town)
        async with town.client(joins=JOINS, reconnection=True) as client:
            for actor in list(town.service.context.directory.clients.values()):
                actor.exit(RuntimeError("killed by the test"))
            await client.until(lambda line: "disconnected" in line)
            await runner.send(chunk(2))
            back = await client.until(lambda line: "connected" in line)
            assert back["recovered"] is True
            if not any(line.get("event") == "terminal_output" for line in client.lines):
                await client.until(lambda line: line.get("event") == "terminal_output")
            assert len([line for line in client.lines if line.get("event") == "terminal_output"]) == 1


async def test_everybody_who_lives_has_a_supervisor(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        await known(town)
        async with town.client(joins=JOINS):
            seen: set[str] = set()

            def collect(node: Any) -> None:
                seen.add(node.actor)
                for child in node.children:
                    collect(child)

            collect(tree(town.service.root))
            wanted = {"SessionActor", "VillageActor", "AgentActor", "RunnerActor", "RunnerLink", "ClientActor"}
            assert wanted | {"JournalActor", "SessionRouter", "Timers", "Hosted", "GaugeSampler"} <= seen
