"""A part that never answers is seen as such, ended and started anew; systemd hears of the service's life."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trio

from tests.support.cast import event
from tests.support.service import Town, open_town
from townwatch.app.systemd import notify
from townwatch.chaos.faults.faults import FAULTS, FaultRequest
from townwatch.chaos.faults.targets import FaultContext

pytestmark = pytest.mark.timeout(60)


async def readiness(town: Town) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{town.url}/readyz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await trio.to_thread.run_sync(ask)


async def until(town: Town, status: int) -> str:
    with trio.fail_after(20):
        while (found := await readiness(town))[0] != status:
            await trio.sleep(0.02)
    return found[1]


async def test_a_wedged_router_is_seen_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PERIOD_SECONDS", 0.05), ("LATE_SECONDS", 0.3), ("WEDGED_SECONDS", 2.0)):
        monkeypatch.setattr(f"townwatch.app.health.liveness.{name}", seconds)
    async with open_town(tmp_path) as town:
        await until(town, 200)
        router = town.service.context.router
        assert router is not None
        life = router.incarnation
        unused: dict[str, object] = {"plugs": None, "disk": None}
        place = FaultContext(context=town.service.context, **unused)  # pyright: ignore
        await FAULTS["wedge-actor"].inject(place, FaultRequest(target="townwatch/router", dice=None))  # pyright: ignore
        assert "the router has not answered for" in await until(town, 503)
        await until(town, 200)
        assert router.incarnation == life + 1
        async with town.runner() as runner:
            await runner.send(event("FILE_TOUCHED", 1, path="a", reason="write"))
            await runner.acked(1)


def test_systemd_is_told_where_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place))
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        assert notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_nobody_is_told_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
