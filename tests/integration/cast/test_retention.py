"""The journal keeps what the settings say, and every session that lives."""

import json
from pathlib import Path

import trio

from tests.integration.cast.test_event_flow import chunk, link, until
from tests.support.cast import batch, event, open_cast
from townwatch.app.upkeep.retention import Keeper, retention
from townwatch.config.settings import JournalSettings


def test_nothing_set_keeps_everything() -> None:
    assert retention(JournalSettings()) is None
    keep = retention(JournalSettings(keep_days=2, keep_mb=1.5))
    assert keep is not None
    assert (keep.max_age_ms, keep.max_bytes) == (2 * 86_400_000, 1_500_000)


async def test_what_ended_is_trimmed_and_what_lives_stays(tmp_path: Path) -> None:
    usage = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}
    ended = event("SESSION_ENDED", 21, "old", finalState="COMPLETED", totalDurationMs=1, totalUsage=usage)
    async with open_cast(tmp_path) as cast:
        runner = link()
        old, live = await cast.session("old"), await cast.session("live")
        await old.send(batch(runner, *[{**chunk(seq, "x" * 200), "sessionId": "old"} for seq in range(1, 21)], ended))
        await live.send(batch(runner, *[{**chunk(seq), "sessionId": "live"} for seq in range(1, 6)]))
        await until(lambda: len(cast.log.read("old")) == 21 and len(cast.log.read("live")) == 5)
        await until(lambda: (state := cast.context.board.session("old")) is not None and state.ended)
        keep = retention(JournalSettings(keep_mb=0.001))
        assert keep is not None
        Keeper.start(cast.context, cast.log, keep, every=0.05)
        await until(lambda: len(cast.log.read("old")) < 21)
        await trio.sleep(0.1)
        assert len(cast.log.read("live")) == 5
        assert json.loads(cast.log.read("live")[0].body)["seq"] == 1
