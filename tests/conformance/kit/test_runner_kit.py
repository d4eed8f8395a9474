"""The runner kit: two runners that conform, and planted faults that are each named by the right check."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket

from townwatch.conformance.report import KitReport
from townwatch.conformance.runner.actions import TrialOptions
from townwatch.conformance.runner.promises import PROMISES
from townwatch.conformance.runner.stand_in import open_stand_in
from townwatch.conformance.runner.trial import RunnerTrial
from townwatch.conformance.runner.witness import Witness
from townwatch.runner.identity import Identity
from townwatch.runner.link import patrol
from townwatch.runner.opening import open_runner

ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("small_runner", ROOT / "examples" / "small_runner.py")
assert _spec is not None and _spec.loader is not None
small = importlib.util.module_from_spec(_spec)
sys.modules["small_runner"] = small
_spec.loader.exec_module(small)
Json = dict[str, Any]


async def judged(make: Callable[[str, str], Any], directory: Path, **options: Any) -> KitReport:
    """What the kit finds about a runner: `make` returns its main task for a URL and a token."""
    report = KitReport(PROMISES)
    fields = {"directory": str(directory), "heartbeat_ms": 300, "wait": 20.0, "patience": 3.0, **options}
    async with open_stand_in(Witness(report), "127.0.0.1", 0) as stand_in, trio.open_nursery() as nursery:
        nursery.start_soon(make(f"ws://127.0.0.1:{stand_in.port}/runner", stand_in.token))
        await RunnerTrial(stand_in, report, TrialOptions(**fields)).run()
        nursery.cancel_scope.cancel()
    return report


def of(cls: Any) -> Callable[[str, str], Any]:
    return lambda url, token: cls(url, token).run


async def test_the_small_runner_conforms(tmp_path: Path) -> None:
    report = await judged(of(small.SmallRunner), tmp_path, patience=10.0)
    assert report.status == 0, report.as_text()


async def test_our_own_runner_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patrol, "PING_SECONDS", patrol.PING_SECONDS / 10)
    monkeypatch.setattr(patrol, "SILENCE_SECONDS", patrol.SILENCE_SECONDS / 10)

    def ours(url: str, token: str) -> Any:
        async def run() -> None:
            known = Identity(runner_id="r1", token=token, url=url)
            async with open_runner(known, tmp_path / "runner", slot="main"):
                await trio.sleep_forever()

        return run

    ask = f"{sys.executable} -P -m townwatch ask --category shell --risk low x"
    report = await judged(ours, tmp_path, ask=ask, patience=10.0, wait=30.0, hang=1.5)
    assert report.status == 0, report.as_text()
    assert [name for name in PROMISES if report.verdict(name) != "pass"] == ["hello.call"]


class NoToken(small.SmallRunner):
    def __init__(self, url: str, _token: str) -> None:
        super().__init__(url, "none")


class HeartbeatFirst(small.SmallRunner):
    async def talk(self) -> None:
        await self.say({"type": "heartbeat", "ts": 1_764_000_000_000})
        await super().talk()


class LosesOneOnResume(small.SmallRunner):
    def resume(self, session: Any, resume_from: int) -> None:
        super().resume(session, resume_from + (resume_from > 5))

    async def hear(self, message: Json) -> None:
        if message.get("type") == "welcome":
            return
        await super().hear(message)


class Doubles(small.SmallRunner):
    async def send(self, event: Json) -> None:
        await super().send(event)
        if event["seq"] == 7:
            await super().send(event)


class BeginsAtItsOwnNumber(small.SmallRunner):
    def resume(self, session: Any, resume_from: int) -> None:
        session.sent = session.acked


class TellsItOtherwise(small.SmallRunner):
    async def send(self, event: Json) -> None:
        await super().send({**event, "ts": event["ts"] + len(self.results)})


class ForgetsItsSessions(small.SmallRunner):
    def hello(self) -> Json:
        return {**super().hello(), "sessions": []}


class IgnoresUnknownCommands(small.SmallRunner):
    async def obey(self, command: Json) -> None:
        if command["command"] != "from_the_future":
            await super().obey(command)


class DoesAgain(small.SmallRunner):
    async def obey(self, command: Json) -> None:
        if command["command"] == "start":
            self.results.pop(command["commandId"], None)
        await super().obey(command)

    async def start(self, config: Json) -> None:
        if (session := self.sessions.get(config["sessionId"])) is not None:
            self.emit(session, "SESSION_STARTED", providerId="command", providerVersion="", workspacePath="/")
        else:
            await super().start(config)


class KnowsNoWindow(small.SmallRunner):
    def in_flight(self) -> int:
        return 0


class SendsRefusedOnesAgain(small.SmallRunner):
    async def hear(self, message: Json) -> None:
        if message.get("type") != "nack":
            await super().hear(message)


class StumblesOverNews(small.SmallRunner):
    async def hear(self, message: Json) -> None:
        if message["type"] not in ("ack", "nack", "command"):
            raise OSError("an unknown message")
        await super().hear(message)


class GivesUp(small.SmallRunner):
    async def connection(self) -> None:
        try:
            await super().connection()
        except* trio_websocket.ConnectionRejected:
            await trio.sleep_forever()


class Seconds(small.SmallRunner):
    def emit(self, session: Any, kind: str, **fields: Any) -> None:
        super().emit(session, kind, **fields)
        session.log[-1]["ts"] /= 1000


class SkipsNumbers(small.SmallRunner):
    def emit(self, session: Any, kind: str, **fields: Any) -> None:
        super().emit(session, kind, **fields)
        session.log[-1]["seq"] += session.log[-1]["seq"] > 4


class JumpsBetweenStates(small.SmallRunner):
    def change(self, session: Any, state: str) -> None:
        if state != "STARTING_PROVIDER":
            super().change(session, state)


class TalksOnAfterItsEnd(small.SmallRunner):
    def emit(self, session: Any, kind: str, **fields: Any) -> None:
        super().emit(session, kind, **fields)
        if kind == "SESSION_ENDED":
            super().emit(session, "TERMINAL_CHUNK", data="one more thing", stream="stdout")


class LeavesFieldsOut(small.SmallRunner):
    def emit(self, session: Any, kind: str, **fields: Any) -> None:
        fields.pop("stream", None)
        super().emit(session, kind, **fields)


class HeartbeatsBehindEvents(small.SmallRunner):
    async def beat(self) -> None:
        while True:
            if not self.in_flight():
                await self.say({"type": "heartbeat", "ts": 1_764_000_000_000})
            await trio.sleep(self.heartbeat)


class Binary(small.SmallRunner):
    async def send(self, event: Json) -> None:
        await self.socket.send_message(json.dumps({"type": "events", "events": [event]}).encode())


class NeverStops(small.SmallRunner):
    def stop(self, session: Any) -> None:
        raise small.Refused("I do not feel like it")


class NoticesNothing(small.SmallRunner):
    """It trusts TCP alone."""


FAULTS = {
    NoticesNothing: "connect.silence",
    NoToken: "connect.token",
    HeartbeatFirst: "hello.first",
    LosesOneOnResume: "resume.no_loss",
    Doubles: "resume.no_doubling",
    BeginsAtItsOwnNumber: "resume.from",
    TellsItOtherwise: "resume.same_event",
    ForgetsItsSessions: "hello.sessions",
    IgnoresUnknownCommands: "command.unknown",
    DoesAgain: "command.once",
    KnowsNoWindow: "window.kept",
    SendsRefusedOnesAgain: "nack.dropped",
    StumblesOverNews: "unknown.type",
    GivesUp: "connect.comes_back",
    Seconds: "event.milliseconds",
    SkipsNumbers: "event.numbers",
    JumpsBetweenStates: "event.states",
    TalksOnAfterItsEnd: "event.end",
    LeavesFieldsOut: "event.shape",
    HeartbeatsBehindEvents: "window.heartbeat",
    Binary: "frame.text",
    NeverStops: "command.stop",
}


async def test_each_planted_fault_is_named(tmp_path: Path) -> None:
    found: dict[Any, KitReport] = {}

    async def one(fault: Any) -> None:
        found[fault] = await judged(of(fault), tmp_path, hang=0.5 if fault is NoticesNothing else None)

    async with trio.open_nursery() as nursery:
        for fault in FAULTS:
            nursery.start_soon(one, fault)
    for fault, name in FAULTS.items():
        assert name in found[fault].failed, f"{fault.__name__}: {found[fault].as_text()}"
        assert found[fault].status == 1


async def test_without_a_runner_nothing_is_judged(tmp_path: Path) -> None:
    report = KitReport(PROMISES)
    options = TrialOptions(directory=str(tmp_path), wait=0.1)
    async with open_stand_in(Witness(report), "127.0.0.1", 0) as stand_in:
        await RunnerTrial(stand_in, report, options).run()
    assert report.status == 2 and {report.verdict(name) for name in PROMISES} == {"not seen"}


def test_every_check_is_explained() -> None:
    text = (ROOT / "docs" / "runner-protocol.md").read_text()
    missing = [name for name in PROMISES if f"`{name}`" not in text]
    assert not missing
    headings = {
        line.lstrip("# ").lower().replace(" ", "-").replace(",", "") for line in text.splitlines() if line[:1] == "#"
    }
    assert {one.where.partition("#")[2] for one in PROMISES.values()} <= headings
