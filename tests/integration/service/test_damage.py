"""Files are damaged, removed or set back under a whole service: it starts and says what is missing."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.service.test_tables_away import ask, ready
from tests.support.cast import event
from tests.support.service import Town, open_town

pytestmark = pytest.mark.timeout(120)

STARTED = event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/w")


async def live(town: Town, first: int, last: int) -> None:
    """A session's events, all acknowledged; its runner leaves."""
    async with town.runner([{"sessionId": "s1", "firstSeq": first, "lastSeq": last, "state": "RUNNING"}]) as runner:
        told = [event("FILE_TOUCHED", seq, path=f"f{seq}", reason="write") for seq in range(max(2, first), last + 1)]
        await runner.send(*([STARTED] if first == 1 else []), *told)
        await runner.acked(last)


def copied(state: Path, names: list[str], to: Path) -> None:
    to.mkdir(exist_ok=True)
    for name in names:
        if (state / name).exists():
            shutil.copy2(state / name, to / name)


def spoil(file: Path, sql: str, *args: Any) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(sql, args)
    connection.close()


async def alerts(town: Town) -> list[Any]:
    """Those that a client gets when it joins the village."""
    async with town.client(joins=[["join_village", {"villageId": "demo"}]]) as client:
        return [line["args"][0] for line in client.lines if line.get("event") == "alert_raised"]


async def lost(town: Town) -> str:
    """What the service says to a village's people of lost events. To everybody, it says only that there are some."""
    said = " ".join((await ready(town, 200)).body["warnings"])
    assert "acknowledged events of 1 sessions are missing" in said
    assert "s1" not in said
    assert "runner_" not in said
    (shown,) = (one for one in await alerts(town) if one["alertId"] == "service:lost-events")
    return shown["description"]


@pytest.mark.parametrize(
    "change",
    [
        "type = CAST(X'FF00FE' AS TEXT)",
        "ts = 'noon'",
        "body = 'text'",
        """body = CAST('{"type":"NO_SUCH_EVENT"}' AS BLOB)""",
    ],
    ids=["not UTF-8", "another type", "text for bytes", "an unknown event"],
)
async def test_an_unreadable_event_is_set_aside_and_the_service_starts(tmp_path: Path, change: str) -> None:
    async with open_town(tmp_path) as town:
        await live(town, 1, 6)
    spoil(tmp_path / "journal.db", f"UPDATE event SET {change} WHERE seq = 4")
    spoil(tmp_path / "journal.db", "DELETE FROM snapshot")
    async with open_town(tmp_path) as town:
        said = (await ready(town, 200)).body["warnings"]
        assert any("1 unreadable rows are set aside" in line for line in said)
        assert any(alert["alertId"] == "service:quarantine" for alert in await alerts(town))
        await live(town, 7, 8)  # the session goes on


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("journal.db", "UPDATE session_head SET holes = 'not json'"),
        ("journal.db", "UPDATE session_head SET max_seq = 'many'"),
        ("journal.db", "UPDATE snapshot SET body = 'text'"),
        ("journal.db", "UPDATE meta SET value = 'x'"),
        ("townwatch.db", "UPDATE runners SET labels = '{' WHERE runner_id = 'runner_local'"),
        ("townwatch.db", "UPDATE users SET name = CAST(X'FFFE41' AS TEXT)"),
        ("townwatch.db", "UPDATE villages SET created_ms = 'long ago'"),
    ],
)
async def test_an_unreadable_row_of_any_table_is_set_aside(tmp_path: Path, name: str, sql: str) -> None:
    async with open_town(tmp_path) as town:
        await live(town, 1, 3)
    spoil(tmp_path / name, sql)
    async with open_town(tmp_path) as town:
        said = (await ready(town, 200)).body["warnings"]
        assert any("unreadable rows are set aside" in line for line in said)
        assert (await ask(town, "/api/me")).status == 200


async def test_a_row_that_is_damaged_while_the_service_runs_is_no_500(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        spoil(tmp_path / "townwatch.db", "UPDATE users SET name = CAST(X'FFFE41' AS TEXT)")
        assert (await ask(town, "/api/me")).status == 200
        assert any("set aside" in line for line in (await ready(town, 200)).body["warnings"])


async def test_a_log_that_lost_acknowledged_events_says_which(tmp_path: Path) -> None:
    """The WAL's damage takes the log back to its last checkpoint; so does an old copy that somebody put there."""
    journal, kept = ["journal.db", "journal.db-wal", "journal.db-shm"], tmp_path / "kept"
    state = tmp_path / "state"
    async with open_town(state) as town:
        await live(town, 1, 3)
    copied(state, journal, kept)
    async with open_town(state) as town:
        await live(town, 4, 9)
    for name in journal:
        (state / name).unlink(missing_ok=True)
    copied(kept, journal, state)
    async with open_town(state) as town:
        assert "session s1: events 4 to 9" in await lost(town)
        await live(town, 4, 9)  # the runner still had them
    async with open_town(state) as town:
        assert (await ready(town, 200)).body["warnings"] == []


async def test_a_damaged_wal_is_noticed(tmp_path: Path) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    async with open_town(state) as town:
        await live(town, 1, 9)
        await trio.sleep(1.2)  # the witness is written twice a second
        shutil.copytree(state, killed)  # as kill -9 leaves it: all of the events are in the WAL
    wal = killed / "journal.db-wal"
    content = bytearray(wal.read_bytes())
    assert len(content) > 32
    content[32:] = bytes(reversed(content[32:]))
    wal.write_bytes(content)
    async with open_town(killed) as town:
        assert "session s1: events 1 to 9" in await lost(town)


async def test_a_runner_that_was_acknowledged_more_than_the_log_has_makes_the_loss_known(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await live(town, 1, 3)
        held = [{"sessionId": "s1", "firstSeq": 8, "lastSeq": 8, "state": "RUNNING"}]
        async with town.runner(held):
            assert "session s1: events 4 to 7" in await lost(town)


def removed(state: Path) -> None:
    for file in state.glob("journal.db*"):
        file.unlink()


def replaced(state: Path) -> None:
    shutil.copy2(state / "journal.db", state / "copy")
    (state / "copy").replace(state / "journal.db")


def cut_off(state: Path) -> None:
    with (state / "journal.db").open("r+b") as file:
        file.truncate(0)


def wal_removed(state: Path) -> None:
    (state / "journal.db-wal").unlink()


@pytest.mark.parametrize("harm", [removed, replaced, cut_off, wal_removed])
async def test_files_that_change_under_the_service_stop_the_acknowledgements(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        await ready(town, 200)
        harm(tmp_path)
        unready = await ready(town, 503)
        assert "nothing is acknowledged any more" in unready.message
        assert (await ask(town, "/healthz")).status == 200
        await runner.send(event("FILE_TOUCHED", 2, path="a", reason="write"))
        with trio.move_on_after(1.5):
            while True:
                assert (await runner.next("ack"))["seq"] < 2
