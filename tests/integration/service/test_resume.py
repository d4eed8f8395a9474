"""Who comes back is owed what it missed: from the journal, once, in order; then what is pending."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.service.test_pulled_plugs import AGENT, SESSION, STARTED, chunk, event
from tests.support.people import connected
from tests.support.service import NodeClient, ScriptedRunner, Town, open_town
from townwatch.actors import replay
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import LogBroken, Retention

pytestmark = pytest.mark.node


async def shown(town: Town, seq: int) -> None:
    """Until everybody has published the event."""
    context = town.service.context
    with trio.fail_after(5):
        while context.published.get(SESSION, 0) < seq or context.shown.get(SESSION, 0) < seq:
            await trio.sleep(0.01)


async def write(town: Town, runner: ScriptedRunner, first: int, last: int) -> None:
    if first == 1:
        await runner.send(STARTED)
    for seq in range(max(2, first), last + 1):
        await runner.send(chunk(seq))
    await runner.acked(last)
    await shown(town, last)


def seqs(client: NodeClient, name: str) -> list[int]:
    """The numbers of the events of this name, screens left out."""
    found = [line["args"][0] for line in client.lines if line.get("event") == name]
    return [one["seq"] for one in found if "snapshot" not in one]


def join_agent(**more: Any) -> list[Any]:
    return ["join_agent", {"agentId": AGENT, "terminal": True, **more}]


async def test_a_late_viewer_gets_the_screen_and_then_what_follows(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await write(town, runner, 1, 5)
        async with town.client(joins=[join_agent()]) as client:
            screens = [line["args"][0] for line in client.lines if line.get("event") == "terminal_output"]
            assert [screen["snapshot"] for screen in screens] == [True]
            assert screens[0]["data"] == "".join(f"line {seq}\r\n" for seq in range(2, 6))
            await write(town, runner, 6, 8)
            await client.until(lambda line: line.get("event") == "terminal_output" and line["args"][0]["seq"] == 8)
            assert seqs(client, "terminal_output") == [6, 7, 8]


async def test_since_replays_exactly_what_was_missed_and_says_where_one_stands(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await write(town, runner, 1, 20)
        async with town.client(joins=[join_agent(since={SESSION: 12})]) as client:
            ack = next(line["ack"] for line in client.lines if "ack" in line)
            assert ack == {"ok": True, "room": f"agent:{AGENT}", "positions": {SESSION: 20}}
            assert seqs(client, "work_stream_event") == []  # it has the same text as terminal output
            assert seqs(client, "terminal_output") == list(range(13, 21))
            await write(town, runner, 21, 22)
            await client.until(lambda line: line.get("event") == "terminal_output" and line["args"][0]["seq"] == 22)
            assert seqs(client, "terminal_output") == list(range(13, 23))


async def test_of_a_replay_that_fails_nothing_newer_is_shown_and_the_client_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would see what is live before what it missed, and say next time that it has seen all up to there."""
    reading, going_on = trio.Event(), trio.Event()

    async def away(*_: Any) -> Any:
        reading.set()
        await going_on.wait()
        raise LogBroken("reading", "the database is away")

    async with open_town(tmp_path) as town, town.runner() as runner:
        await write(town, runner, 1, 5)
        async with connected(town, "socketio", town.token) as live:
            with monkeypatch.context() as patch:
                patch.setattr(replay, "read_for_viewers", away)
                await live.socket.send_message('421["join_village",{"villageId":"demo","since":{}}]')
                await reading.wait()
                await write(town, runner, 6, 7)
                going_on.set()
                await live.closed()
        assert not [text for text in live.heard if "work_stream_event" in text]
        async with town.client(joins=[["join_village", {"villageId": "demo", "since": {}}]]) as client:
            assert seqs(client, "work_stream_event") == list(range(1, 8))


async def test_what_is_too_much_to_replay_is_a_gap_that_says_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "REPLAY_EVENTS", 5)
    async with open_town(tmp_path) as town, town.runner() as runner:
        await write(town, runner, 1, 20)
        async with town.client(joins=[["join_agent", {"agentId": AGENT, "since": {SESSION: 2}}]]) as client:
            [gap] = gaps(client)
            size = gap.pop("bytes")
            assert gap == {"room": f"agent:{AGENT}", "from": 2, "to": 15, "sessionId": SESSION}
            assert size == sum(
                len(record.body) for record in town.service.context.journal_log.read(SESSION, 2, 13, 99999)
            )
            assert seqs(client, "work_stream_event") == list(range(16, 21))


async def test_what_retention_took_is_a_gap_too(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await write(town, runner, 1, 20)
        log = town.service.context.journal_log
        assert isinstance(log, EventLog)
        half = sum(len(record.body) for record in log.read(SESSION)) // 2
        log.retain("demo", Retention(max_bytes=half))
        kept = [record.seq for record in log.read(SESSION)]
        assert 2 < kept[0] < 20
        async with town.client(joins=[["join_agent", {"agentId": AGENT, "since": {SESSION: 1}}]]) as client:
            assert gaps(client) == [{"room": f"agent:{AGENT}", "from": 1, "to": kept[0] - 1, "sessionId": SESSION}]
            assert seqs(client, "work_stream_event") == kept


def gaps(client: NodeClient) -> list[dict[str, Any]]:
    return [line["args"][0] for line in client.lines if line.get("event") == "gap"]


async def test_after_a_restart_of_the_service_everything_is_as_it_was(tmp_path: Path) -> None:
    approval = {"approvalId": "a1", "sessionId": SESSION, "category": "shell", "risk": "high", "requestedAt": 1}
    units = {"agentSeconds": 2, "terminalKb": 1, "filesTouched": 0, "commandsRun": 1, "approvalsRequested": 1}
    async with open_town(tmp_path) as town, town.runner() as runner:
        await write(town, runner, 1, 5)
        await runner.send(
            event("APPROVAL_REQUESTED", 6, approval={**approval, "summary": "rm -rf build/"}),
            event("USAGE_TICK", 7, providerId="command", units=units, intervalMs=30_000),
        )
        await runner.acked(7)
        await shown(town, 7)
    async with open_town(tmp_path) as town:
        state = town.service.context.board.session(SESSION)
        assert state is not None
        assert (state.seq, state.agent_id, state.runner_id) == (7, AGENT, "runner_local")
        assert (list(state.pending), state.usage.agent_seconds) == (["a1"], 2)
        async with town.client(joins=[join_agent(since={SESSION: 3})]) as client:
            assert seqs(client, "terminal_output") == [4, 5]
            pending = [
                line["args"][0]["approvalId"] for line in client.lines if line.get("event") == "approval_requested"
            ]
            assert pending == ["a1"]
            held = [{"sessionId": SESSION, "firstSeq": 1, "lastSeq": 9, "state": "RUNNING"}]
            async with town.runner(sessions=held) as runner:
                points = {one["sessionId"]: one["resumeFrom"] for one in runner.welcome["sessions"]}
                assert points == {SESSION: 8}
                await runner.send(chunk(8), chunk(9))
                await runner.acked(9)
                await client.until(lambda line: line.get("event") == "terminal_output" and line["args"][0]["seq"] == 9)
            assert seqs(client, "terminal_output") == [4, 5, 8, 9]
