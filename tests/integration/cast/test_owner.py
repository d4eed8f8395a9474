"""A session stays its runner's and its village's, whatever crashes."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.cast.test_event_flow import chunk, link, until
from tests.support.cast import batch, open_cast
from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.app.upkeep.restore import restore
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog


def orphan(log: EventLog, context: Context) -> None:
    """A log with a session's event and without its snapshot: it does not say whose session it is."""
    log.append([LogRecord("s1", 1, "demo", "TERMINAL_CHUNK", 1, batch(link(), chunk(1)).events[0].body)])
    restore(log, context)


async def test_a_session_whose_runner_is_unknown_is_none_of_another_village(tmp_path: Path) -> None:
    async with open_cast(tmp_path, orphan) as cast:
        with pytest.raises(m.ForeignSession):
            await cast.session(village="rival", runner="rivals")
        await cast.session(runner="r1")
        with pytest.raises(m.ForeignSession):
            await cast.session(runner="r2")
        state = cast.context.board.session("s1")
        assert state is not None
        assert (state.village_id, state.runner_id) == ("demo", "r1")


async def test_whose_session_it_is_is_stored_before_its_first_event(tmp_path: Path) -> None:
    """A crash at any point leaves no event without its owner."""
    owners: list[bool] = []

    def watched(log: EventLog, _context: Context) -> None:
        real: Any = log.append

        def append(records: Any) -> Any:
            owners.append("session:s1" in log.load_snapshots())
            return real(records)

        log.append = append  # type: ignore[method-assign]

    async with open_cast(tmp_path, watched) as cast:
        session = await cast.session()
        await session.send(batch(link(), chunk(1)))
        await until(lambda: cast.context.published.get("s1") == 1)
    assert owners[0]
    async with open_cast(tmp_path, restore) as cast:
        with pytest.raises(m.ForeignSession):
            await cast.session(runner="r2")
