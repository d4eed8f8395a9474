"""The faults of a service started with --chaos: each is pulled for real, and the service comes back from it."""

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio_websocket

from tests.support.cast import event
from tests.support.people import connected
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.chaos.faults.faults import FAULTS
from townwatch.config.settings import Settings

pytestmark = [
    pytest.mark.timeout(40),
    # trio-websocket's client leaves its socket to the garbage when the other side is gone
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


def touched(seq: int) -> dict[str, Any]:
    return event("FILE_TOUCHED", seq, path=f"f{seq}", reason="write")


@attrs.define
class Saboteur:
    """The owner at the fault routes."""

    town: Town
    stack: AsyncExitStack

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = "") -> tuple[int, Any]:
        """(status, answer)."""
        request = urllib.request.Request(self.town.url + path, method=method)
        token = self.town.token if token == "" else token
        if token is not None:
            request.add_header("authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")

        def send() -> tuple[int, Any]:
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        return await trio.to_thread.run_sync(send)

    async def pull(self, fault: str, **order: Any) -> Any:
        status, answer = await self.ask("POST", "/api/chaos/faults", {"fault": fault, "seed": 1, **order})
        assert status == 200, answer
        return answer

    async def runner(self, first: int, sessions: list[dict[str, Any]] | None = None) -> ScriptedRunner:
        """A runner that was heard: its event `first` is stored."""
        runner = await self.stack.enter_async_context(self.town.runner(sessions))
        await runner.send(touched(first))
        await runner.acked(first)
        return runner

    async def returned(self) -> ScriptedRunner:
        """The runner with its event 2 in hand, let in again; the listener may be on its way up."""
        held = [{"sessionId": "s1", "firstSeq": 2, "lastSeq": 2, "state": "RUNNING"}]
        for attempt in range(100):
            try:
                return await self.runner(2, held)
            except (OSError, trio_websocket.HandshakeError, trio_websocket.ConnectionClosed):
                assert attempt < 99
                await trio.sleep(0.05)
        raise AssertionError


@asynccontextmanager
async def sabotaged(tmp_path: Path) -> AsyncIterator[Saboteur]:
    def with_chaos(settings: Settings) -> Settings:
        return attrs.evolve(settings, server=attrs.evolve(settings.server, chaos=True))

    async with open_town(tmp_path, with_chaos) as town, AsyncExitStack() as stack:
        yield Saboteur(town, stack)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(15):
        while not await holds():
            await trio.sleep(0.02)


async def test_the_routes_are_not_there_unless_asked_for(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, AsyncExitStack() as stack:
        saboteur = Saboteur(town, stack)
        for method, path in (("GET", "/api/chaos"), ("POST", "/api/chaos/faults")):
            status, _ = await saboteur.ask(method, path, {"fault": "kill-router"} if method == "POST" else None)
            assert status == 404


async def test_they_are_for_administrators(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        status, answer = await saboteur.ask("GET", "/api/chaos", token=None)
        assert (status, answer["error"]["code"]) == (401, "E_UNAUTH")
        status, answer = await saboteur.ask("POST", "/api/chaos/faults", {"fault": "make-coffee"})
        assert status == 400
        assert "kill-actor" in answer["error"]["message"]


async def test_they_say_what_can_be_broken_and_what_holds(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        _, answer = await saboteur.ask("GET", "/api/chaos")
        assert {one["name"] for one in answer["faults"]} == set(FAULTS)
        assert all(one["says"] for one in answer["faults"])
        assert "townwatch/router" in answer["targets"]["actor"]
        assert "townwatch/ledger" in answer["targets"]["supervisor"]
        assert len(answer["targets"]["runner"]) == 1
        assert [one["name"] for one in answer["invariants"] if not one["holds"]] == []
        await runner.socket.aclose()


async def test_what_a_fault_did_is_told_by_the_numbers_and_by_the_actors_history(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        _, before = await saboteur.ask("GET", "/api/chaos")
        assert before["vitals"]["stored"] == before["vitals"]["committed"] == 1
        assert before["vitals"]["runners"] == 1
        assert before["vitals"]["slowestCommitMs"] > 0
        assert before["vitals"]["lastRecovery"] is None
        pulled = await saboteur.pull("kill-router")
        _, after = await saboteur.ask("GET", "/api/chaos")
        assert after["vitals"]["lastRecovery"]["backMs"] == pulled["backMs"]
        assert after["vitals"]["lastRecovery"]["target"] == "townwatch/router"
        told: dict[str, Any] = {}

        async def restarted() -> bool:
            told.update((await saboteur.ask("GET", "/api/supervision/events?path=townwatch/router"))[1])
            return any(one["event"] == "restarted" for one in told["items"])

        await eventually(restarted)
        events = [one["event"] for one in told["items"]]
        assert events.index("crashed") < events.index("restarted")
        assert any("pulled by /api/chaos" in one["text"] for one in told["items"] if one["event"] == "crashed")
        await saboteur.ask("POST", "/api/chaos/faults", {"fault": "full-disk", "seconds": 5})
        await runner.send(touched(2))

        async def unready() -> bool:
            _, now = await saboteur.ask("GET", "/api/chaos")
            return "the journal cannot write" in "".join(now["vitals"]["reasonsNotReady"])

        await eventually(unready)
        await runner.socket.aclose()


async def test_the_page_is_told_who_may_pull_plugs(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        assert (await saboteur.ask("GET", "/api/me"))[1]["chaos"] is True
    async with open_town(tmp_path / "other") as town, AsyncExitStack() as stack:
        assert (await Saboteur(town, stack).ask("GET", "/api/me"))[1]["chaos"] is False


async def test_every_fault_is_in_the_audit_log(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        await saboteur.pull("kill-router")
        from townwatch.store import audit

        page = await saboteur.town.service.database.read(audit.page, audit.Filter(villages=None))
        assert (page.items[0].action, page.items[0].target) == ("chaos.fault", "townwatch/router")


@pytest.mark.parametrize("fault", ["kill-router", "kill-actor", "flood"])
async def test_work_goes_on_behind_a_killed_actor(tmp_path: Path, fault: str) -> None:
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        target = {} if fault == "kill-router" else {"target": "townwatch/villages/village:demo"}
        answer = await saboteur.pull(fault, **target)
        assert (answer["backMs"] is not None) == fault.startswith("kill")
        await runner.send(touched(2))
        await runner.acked(2)


@pytest.mark.parametrize("fault", ["kill-journal", "kill-supervisor", "cut-runner"])
async def test_a_runner_that_lost_its_connection_resumes(tmp_path: Path, fault: str) -> None:
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        await saboteur.pull(fault, **({"target": "townwatch/ledger"} if fault == "kill-supervisor" else {}))
        await eventually(lambda: ended(runner))
        again = await saboteur.returned()
        assert again.welcome["sessions"] == [{"sessionId": "s1", "resumeFrom": 2}]


async def test_a_killed_listener_leaves_no_clients_behind(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        clients = saboteur.town.service.context.directory.clients
        async with connected(saboteur.town, "socketio", saboteur.town.token) as client:
            assert len(clients) == 1
            await saboteur.pull("kill-listener")
            await client.closed()
        await eventually(lambda: none(clients))


async def none(clients: Any) -> bool:
    return not clients


async def ended(runner: ScriptedRunner) -> bool:
    return runner.socket.closed is not None or not await alive(runner)


async def alive(runner: ScriptedRunner) -> bool:
    with trio.move_on_after(0.1):
        try:
            await runner.socket.get_message()
        except Exception:
            return False
    return True


async def test_what_was_frozen_arrives_late(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        await saboteur.pull("freeze-runner", seconds=1.5)
        await runner.send(touched(2))
        with trio.move_on_after(0.1) as waited:
            await runner.acked(2)
        assert waited.cancelled_caught
        await runner.acked(2)


async def test_a_half_open_connection_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("townwatch.chaos.faults.faulty_sockets.HALF_OPEN_SECONDS", 0.5)
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        await saboteur.pull("half-open-runner")
        await runner.send(touched(2))
        with trio.move_on_after(0.2):
            pytest.fail(f"the dead spoke: {await runner.next('ack')}")
        again = await saboteur.returned()
        assert again.welcome["sessions"] == [{"sessionId": "s1", "resumeFrom": 2}]


@pytest.mark.parametrize("fault", ["slow-disk", "full-disk"])
async def test_nothing_is_acknowledged_that_the_disk_did_not_take(tmp_path: Path, fault: str) -> None:
    async with sabotaged(tmp_path) as saboteur:
        runner = await saboteur.runner(1)
        await saboteur.pull(fault, seconds=0.6)
        began = trio.current_time()
        await runner.send(touched(2))
        await runner.acked(2)
        assert trio.current_time() - began > 0.15
        _, answer = await saboteur.ask("GET", "/api/chaos")
        assert all(one["holds"] for one in answer["invariants"]), answer["invariants"]


async def test_the_process_is_only_killed_where_somebody_starts_it_again(tmp_path: Path) -> None:
    async with sabotaged(tmp_path) as saboteur:
        status, answer = await saboteur.ask("POST", "/api/chaos/faults", {"fault": "kill-process"})
        assert status == 409
        assert "--keep" in answer["error"]["message"]
