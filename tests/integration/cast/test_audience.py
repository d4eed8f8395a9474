"""What nobody is to see is not made; who comes in sees what follows."""

from pathlib import Path
from typing import Any

from tests.integration.cast.test_event_flow import STARTED, chunk, link, until
from tests.support.cast import Cast, batch, event, open_cast
from townwatch.actors import messages as m

VILLAGE, AGENT, TERMINAL = "village:demo", "agent:demo:runner_s1", "terminal:demo:runner_s1"


async def shown(cast: Cast, seq: int) -> None:
    """Until village and agent are through with the event."""
    await until(lambda: cast.context.published.get("s1") == cast.context.shown.get("s1") == seq)


def kinds(cast: Cast) -> list[tuple[str, Any]]:
    return [(sent.event, sent.tag and sent.tag[1]) for sent in cast.out.published if sent.event != "house.activity"]


async def test_nothing_is_published_to_nobody_and_all_that_follows_to_who_comes(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        cast.out.audience = set()
        runner, session = link(), await cast.session()
        await session.send(batch(runner, event("SESSION_STARTED", 1, **STARTED), chunk(2)))
        await shown(cast, 2)
        assert kinds(cast) == []
        assert m.Acked("s1", 2) in (await runner.get_state())["received"]
        cast.out.audience = {VILLAGE}
        entered = await cast.context.directory.villages["demo"].call(m.Enter("c1", VILLAGE), timeout=1)
        assert entered.positions == {"s1": 2}
        await session.send(batch(runner, chunk(3)))
        await shown(cast, 3)
        assert kinds(cast) == [("work_stream_event", 3)]


async def test_a_terminal_that_nobody_watched_has_its_screen_for_who_comes(tmp_path: Path) -> None:
    async with open_cast(tmp_path) as cast:
        cast.out.audience = set()
        runner, session = link(), await cast.session()
        await session.send(batch(runner, chunk(1, "before ")))
        await shown(cast, 1)
        cast.out.audience = {AGENT, TERMINAL}
        entered = await cast.context.directory.agents["demo:runner_s1"].call(m.Enter("c1", TERMINAL), timeout=1)
        assert b"before " in entered.screen[0].payload
        await session.send(batch(runner, chunk(2, "after")))
        await shown(cast, 2)
        assert kinds(cast) == [("work_stream_event", 2), ("terminal_output", 2)]
