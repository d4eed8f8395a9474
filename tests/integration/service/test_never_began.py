"""A start that was lost on its way leaves nothing behind; and should the session begin after all, nothing is lost."""

from pathlib import Path

import pytest
import trio

from tests.support.cast import event
from tests.support.people import rest
from tests.support.service import Town, open_town
from townwatch.actors import messages as m
from townwatch.store import sessions
from townwatch.store.sessions import SessionRow

RUNNER = "runner_local"


async def ordered(town: Town) -> None:
    """As POST /api/runner/sessions leaves it that was killed before the command was sent."""
    row = SessionRow(
        session_id="s1",
        village_id="demo",
        agent_id="runner_s1",
        provider_id="command",
        created_ms=1,
        runner_id=RUNNER,
    )
    await town.service.database.call(sessions.create, row)
    await town.service.context.router_call(m.EnsureSession("s1", "demo", RUNNER))


async def until_status(http: object, status: int) -> None:
    with trio.fail_after(10):
        while (await http.get("/api/runner/sessions/s1")).status_code != status:  # type: ignore[attr-defined]
            await trio.sleep(0.01)


async def test_it_is_taken_back_and_may_begin_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("townwatch.app.upkeep.session_gc.ROUND_SECONDS", 0.02)
    monkeypatch.setattr("townwatch.app.upkeep.session_gc.UNBEGUN_SECONDS", 0.3)
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await ordered(town)
        await until_status(http, 200)
        await until_status(http, 404)
        assert await town.service.database.read(sessions.get, "s1") is None
        await runner.send(event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/w"))
        await runner.acked(1)
        await until_status(http, 200)
        await trio.sleep(0.5)  # longer than one that never began may take
        assert (await http.get("/api/runner/sessions/s1")).json()["lastEventSeq"] == 1
