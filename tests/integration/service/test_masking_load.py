"""Text that is slow to mask stops neither the service nor the order of a session's events."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.support.cast import event
from tests.support.people import rest
from tests.support.service import open_town
from townwatch.transports.runners import masking

STARTED = {"providerId": "command", "providerVersion": "1", "workspacePath": "/w"}
SIZE = 900_000
SECRET = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize("start", ["-eyJ", "-ghp_", "-----BEGIN ", "-sk-", "-AIza", "-tw_", "eyJaaaaaaaaaa."])
async def test_adversarial_text_does_not_stall_the_service(tmp_path: Path, start: str) -> None:
    text = start * (SIZE // len(start))
    with capture_logs() as logs:
        async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
            await runner.send(event("SESSION_STARTED", 1, **STARTED))
            await runner.acked(1)
            answered, done = 0, trio.Event()

            async def ask_on() -> None:
                nonlocal answered
                while not done.is_set():
                    assert (await http.get("/healthz")).status_code == 200
                    answered += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_on)
                await runner.send(event("TERMINAL_CHUNK", 2, data=text, stream="stdout"))
                await runner.acked(2)
                done.set()
    assert answered > 1
    assert [line for line in logs if line["event"] == "event_loop_stalled"] == []


async def test_large_events_and_small_ones_stay_in_order_and_all_are_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_loop: list[int] = []
    real = masking.masked_event

    def noted(body: bytes) -> bytes:
        if trio.lowlevel.in_trio_run():
            on_loop.append(len(body))
        return real(body)

    monkeypatch.setattr(masking, "masked_event", noted)

    def says(seq: int) -> dict[str, Any]:
        filling = "-ghp_" * (40_000 if seq % 2 else 10)
        return event("TERMINAL_CHUNK", seq, data=f"{seq} {SECRET} {filling}", stream="stdout")

    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await runner.send(event("SESSION_STARTED", 1, **STARTED))
        await runner.acked(1)
        for first in range(2, 12, 5):
            await runner.send(*(says(seq) for seq in range(first, first + 5)))
        await runner.acked(11)
        stored = (await http.get("/api/runner/sessions/s1/events")).json()["items"]
    assert [one["seq"] for one in stored] == list(range(1, 12))
    assert all(one["data"].startswith(f"{one['seq']} •••••• ") for one in stored[1:])
    assert SECRET not in json.dumps(stored)
    assert on_loop
    assert max(on_loop) <= masking.INLINE_BYTES
