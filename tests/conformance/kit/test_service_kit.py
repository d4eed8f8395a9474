"""The service kit: our service conforms, and planted faults are each named by the right check."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.runner.conftest import Far, far as far
from tests.support.service import open_town
from townwatch.actors.people.rooms import ClientRooms
from townwatch.conformance.report import KitReport
from townwatch.conformance.service.lines import ServiceUnderTest
from townwatch.conformance.service.rules import RULES
from townwatch.conformance.service.trial import ServiceOptions, ServiceTrial
from townwatch.contracts.joins import Refusal
from townwatch.transports.socketio.handlers import SocketIoOutlet
from townwatch.transports.socketio.replay import ReplayWriter

ROOT = Path(__file__).parents[3]


async def judged(far: Far, patience: float = 10.0) -> KitReport:
    report = KitReport(RULES)
    service = ServiceUnderTest(url=far.town.url, token=far.town.token)
    options = ServiceOptions(directory=str(far.directory), patience=patience)
    await ServiceTrial(service, report, options).run()
    return report


async def test_our_own_service_conforms(far: Far) -> None:
    report = await judged(far)
    assert report.status == 0 and set(report.passed) == set(RULES), report.as_text()


async def test_the_command_says_it_in_json(far: Far) -> None:
    words = ["conformance", "client", far.town.url, "--token", far.town.token, "--directory", str(far.directory)]
    run = [sys.executable, "-P", "-m", "townwatch", *words, "--json"]
    done = await trio.run_process(run, capture_stdout=True, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, found["status"], found["counts"]["fail"]) == (0, 0, 0), found
    assert {one["verdict"] for one in found["checks"]} == {"pass"}


async def test_without_a_runner_not_all_is_seen(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        report = KitReport(RULES)
        service = ServiceUnderTest(url=town.url, token=town.token)
        await ServiceTrial(service, report, ServiceOptions(patience=5)).run()
    assert report.status == 2 and not report.failed, report.as_text()
    assert "E_NO_RUNNER" in report.unseen["event.once"]


def refuses_in_its_own_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Refusal, "as_ack", lambda self: {"error": self.message})


def publishes_twice(patch: pytest.MonkeyPatch) -> None:
    publish = SocketIoOutlet.publish

    def twice(self: Any, event: str, payload: bytes, rooms: Any, tag: Any = None, **more: Any) -> None:
        for _ in range(1 + (event == "work_stream_event")):
            publish(self, event, payload, rooms, None, **more)

    patch.setattr(SocketIoOutlet, "publish", twice)


def loses_what_was_missed(patch: pytest.MonkeyPatch) -> None:
    send = ReplayWriter.send

    def lossy(self: Any, event: str, payload: bytes, tag: Any = None) -> None:
        if event != "work_stream_event":
            send(self, event, payload, tag)

    patch.setattr(ReplayWriter, "send", lossy)


def knows_no_unknown_types(patch: pytest.MonkeyPatch) -> None:
    from townwatch.transports.control import endpoint

    parse = endpoint.parse

    def deaf(opcode: int, message: bytes) -> Any:
        if b"from_the_future" in message and b"type" in message:
            raise endpoint.Trouble("INVALID_MESSAGE", "what?")
        return parse(opcode, message)

    patch.setattr(endpoint, "parse", deaf)


def counts_no_joins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientRooms, "_count_join", lambda self: None)


FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (refuses_in_its_own_way, "join.refused"),
    (publishes_twice, "event.once"),
    (loses_what_was_missed, "since.whole"),
    (knows_no_unknown_types, "control.unknown_type"),
    (counts_no_joins, "join.rate"),
]


@pytest.mark.parametrize(("plant", "name"), FAULTS)
async def test_a_planted_fault_is_named(
    far: Far, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], name: str
) -> None:
    plant(monkeypatch)
    report = await judged(far, patience=2.0)
    assert name in report.failed and report.status == 1, report.as_text()


def test_every_check_is_explained() -> None:
    text = (ROOT / "docs" / "client-protocol.md").read_text()
    assert [name for name in RULES if f"`{name}`" not in text] == []
    headings = {line.lstrip("# ").lower() for line in text.splitlines() if line[:1] == "#"}
    assert {one.where.partition("#")[2] for one in RULES.values()} <= headings
