"""The disk under the whole service is really full: nothing is acknowledged that is not stored, everybody is told, and
it is over as soon as there is room.
"""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest
import trio

from tests.support.cast import event
from tests.support.service import NodeClient, ScriptedRunner, Town, open_town

DISK_BYTES = 256 << 20
SESSION = "s1"
CHUNK, CHUNKS = "x" * 30_000, 2_000
GROWTH_BYTES = 32 << 20
"""Half of what the stream sends: a service that took it all in would grow by more."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def readiness(town: Town) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{town.url}/readyz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await trio.to_thread.run_sync(ask)


@attrs.define
class Stream:
    """A runner that keeps to its window: sends numbered chunks as fast as it may, and knows what was acknowledged."""

    runner: ScriptedRunner
    window: int
    sent: int = 0
    acked: int = 0
    least: int = 1024
    news: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, until: int) -> None:
        """Returns when all of them are acknowledged. Writing never waits for reading: a full service reads nothing."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, until)
            while self.acked < until:
                await self._hear()

    async def _write(self, until: int) -> None:
        while self.sent < until:
            while self.sent - self.acked >= self.window:
                await self.news.wait()
            self.sent += 1
            await self.runner.send(event("TERMINAL_CHUNK", self.sent, data=CHUNK, stream="stdout"))

    async def _hear(self) -> None:
        message = json.loads(await self.runner.socket.get_message())
        if message["type"] == "ack":
            self.acked = max(self.acked, message["seq"])
            self.window = message.get("window", self.window)
            self.least = min(self.least, self.window)
            self.news.set()
            self.news = trio.Event()


async def told(client: NodeClient, name: str) -> dict[str, Any]:
    return (await client.until(lambda line: line.get("event") == name))["args"][0]


def fill(disk: Path) -> Path:
    filler = disk / "somebody elses"
    filler.write_bytes(b"\0" * (psutil.disk_usage(str(disk)).free - (2 << 20)))
    return filler


def village_room() -> list[Any]:
    return ["join_village", {"villageId": "demo"}]


@pytest.mark.timeout(600)
async def test_a_full_disk_is_told_and_waited_for(small_disk: Path) -> None:
    async with (
        open_town(small_disk / "state") as town,
        town.client(joins=[village_room()]) as client,
        town.runner() as runner,
        trio.open_nursery() as nursery,
    ):
        stream = Stream(runner, runner.welcome["window"])
        await stream.run(1)
        filler, before = fill(small_disk), psutil.Process().memory_info().rss
        nursery.start_soon(stream.run, CHUNKS)

        raised = await told(client, "alert_raised")
        assert (raised["alertId"], raised["severity"]) == ("service:journal", "critical")
        with trio.fail_after(30):
            while stream.least > 0:
                await trio.sleep(0.05)
        status, why = await readiness(town)
        assert (status, "journal cannot write" in why) == (503, True)
        stored = await trio.to_thread.run_sync(
            lambda: len(town.service.context.journal_log.read(SESSION, 0, CHUNKS, 1 << 40))
        )
        assert stream.acked <= stored < stream.sent
        async with town.client(joins=[village_room()]) as late:
            late_alerts = [line for line in late.lines if line.get("event") == "alert_raised"]
            assert [line["args"][0]["alertId"] for line in late_alerts] == ["service:journal"]
        assert psutil.Process().memory_info().rss - before < GROWTH_BYTES

        filler.unlink()
        assert (await told(client, "bug_bot_resolved"))["id"] == "service:journal"
        while stream.acked < CHUNKS:  # as long as it takes, so long as it goes on
            acked = stream.acked
            with trio.fail_after(60):
                while stream.acked == acked:
                    await trio.sleep(0.05)
        assert (await readiness(town))[0] == 200
        records = await trio.to_thread.run_sync(
            lambda: town.service.context.journal_log.read(SESSION, 0, CHUNKS + 1, 1 << 40)
        )
        assert [record.seq for record in records] == list(range(1, CHUNKS + 1))
