"""The recorder: what is said is written, in order, as soon as the disk takes it."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from townwatch.contracts.events import DiffFile
from townwatch.runner.spool.recorder import FLOOD_CHARS, FLOOD_SECONDS, SESSION_CHARS, TYPED_SECONDS, Recorder
from townwatch.runner.spool.spool import Spool, Stored


class FullDisk(Spool):
    """Refuses as SQLite does, until there is room."""

    full = False
    refused = 0

    def append(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Stored]:
        if self.full:
            self.refused += 1
            raise sqlite3.OperationalError("database or disk is full")
        return super().append(events)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[FullDisk]:
    found = FullDisk(tmp_path / "spool.db")
    found.open_session("s", village="demo", provider="command", started_ms=1)
    yield found
    found.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait for a disk that a person would empty."""
    monkeypatch.setattr("townwatch.runner.spool.recorder.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("townwatch.runner.spool.recorder.LAST_SECONDS", 0.05)


def written(spool: Spool) -> list[str]:
    return [json.loads(one.body)["data"] for one in spool.unacked("s", 0, 10_000)]


async def say(recorder: Recorder, *texts: str, session: str = "s") -> None:
    for text in texts:
        await recorder.record(session, "demo", "TERMINAL_CHUNK", data=text, stream="stdout")


async def test_a_full_disk_loses_nothing_and_changes_no_order(spool: FullDisk, soon: None) -> None:
    recorder = Recorder(spool, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        spool.full = True
        await say(recorder, "1", "2")
        while not spool.refused:
            await trio.sleep(0.001)
        await say(recorder, "3")
        spool.full = False
        await recorder.settle()
        nursery.cancel_scope.cancel()
    assert written(spool) == ["1", "2", "3"]


async def test_all_who_wait_for_the_disk_are_told(spool: FullDisk, soon: None) -> None:
    recorder = Recorder(spool, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        spool.full = True
        await say(recorder, "1")
        while not spool.refused:
            await trio.sleep(0.001)
        with trio.fail_after(5):
            async with trio.open_nursery() as waiting:
                waiting.start_soon(recorder.settle)
                waiting.start_soon(recorder.settle)
                for _ in range(10):  # both wait now
                    await trio.lowlevel.checkpoint()
                spool.full = False
        nursery.cancel_scope.cancel()


async def test_a_disk_that_stays_full_does_not_keep_the_runner_from_ending(spool: FullDisk, soon: None) -> None:
    recorder = Recorder(spool, lambda: None)
    spool.full = True
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recorder.run)
            await say(recorder, "1")
            while not spool.refused:
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert written(spool) == []


async def test_what_was_said_before_the_end_is_written_at_the_end(spool: FullDisk) -> None:
    recorder = Recorder(spool, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        await say(recorder, *"abc")
        nursery.cancel_scope.cancel()
    assert written(spool) == ["a", "b", "c"]


async def test_an_event_of_an_unknown_session_holds_up_no_other(spool: FullDisk) -> None:
    recorder = Recorder(spool, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        await say(recorder, "1")
        await say(recorder, "lost", session="gone")
        await say(recorder, "2")
        with trio.fail_after(5):
            await recorder.settle()
        nursery.cancel_scope.cancel()
    assert written(spool) == ["1", "2"]


async def test_names_that_are_no_text_can_still_be_told(spool: FullDisk, soon: None) -> None:
    recorder = Recorder(spool, lambda: None)
    file = DiffFile(path="caf\udce9.py", status="added", additions=1, deletions=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        await recorder.record("s", "demo", "DIFF_SUMMARY", files=[file], path="ok.py")
        with trio.fail_after(5):
            await recorder.settle()
        nursery.cancel_scope.cancel()
    (stored,) = spool.unacked("s", 0, 10)
    said = json.loads(stored.body)
    assert said["path"] == "ok.py"
    assert said["files"][0]["path"].startswith("caf�")


async def test_output_waits_for_the_disk_by_its_size_and_holds_up_no_other_session(spool: FullDisk, soon: None) -> None:
    recorder = Recorder(spool, lambda: None)
    flood = "x" * (SESSION_CHARS // 2)
    await say(recorder, flood, flood, flood)  # nothing is written yet
    with trio.move_on_after(0.01) as waited:
        await say(recorder, flood)
    assert waited.cancelled_caught
    with trio.fail_after(5):
        await say(recorder, "a key's echo", session="other")
        await recorder.record("s", "demo", "ALERT", message="not output")


async def test_a_flood_is_slowed_down_while_another_session_is_typed_into(
    spool: FullDisk, autojump_clock: trio.testing.MockClock
) -> None:
    recorder = Recorder(spool, lambda: None)
    flood = "y" * FLOOD_CHARS

    async def takes(text: str) -> float:
        began = trio.current_time()
        await say(recorder, text)
        return trio.current_time() - began

    assert await takes(flood) == 0
    recorder.typed("s")
    assert await takes(flood) == 0, "its own keys"
    recorder.typed("other")
    assert await takes(flood) == pytest.approx(FLOOD_SECONDS)
    assert await takes("an echo") == 0
    await trio.sleep(TYPED_SECONDS)
    assert await takes(flood) == 0


async def test_who_gave_up_waiting_for_room_is_not_waited_for(spool: FullDisk, soon: None) -> None:
    recorder = Recorder(spool, lambda: None)
    await say(recorder, *("x" * 1000))  # the queue is full, for nobody writes yet
    with trio.move_on_after(0.01) as gave_up:
        await say(recorder, "too much")
    assert gave_up.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        with trio.fail_after(5):
            await recorder.settle()
        nursery.cancel_scope.cancel()
    assert len(written(spool)) == 1000
