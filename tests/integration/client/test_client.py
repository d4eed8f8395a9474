"""townwatch.client: the main job through a composed service and a real runner; the example of the docs is run, too."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.runner.conftest import Far
from tests.support.people import person
from tests.support.service import open_town
from townwatch.client import NotReached, ServiceError, SyncClient, TownwatchClient, UnknownEvent
from townwatch.client._following import _event
from townwatch.contracts.events import SessionEnded, TerminalChunk

EXAMPLE = Path(__file__).parents[3] / "examples" / "drive_a_session.py"
ASK = f"{sys.executable} -P -m townwatch ask --category shell --risk high 'rm -rf build/'"


def client_of(far: Far) -> TownwatchClient:
    return TownwatchClient.at(far.town.url, far.town.token)


async def test_the_main_job_on_trio(far: Far) -> None:
    client = client_of(far)
    script = f"{ASK} && echo allowed; read -r line; echo got:$line; sleep 1000"
    session = await client.start(far.directory, command=["bash", "-c", script])
    assert (await session.wait(seconds=30)).reached
    (asked,) = await session.approvals()
    assert [(one.session_id, one.approval_id) for one in await client.approvals()] == [(session.id, asked.approval_id)]
    await session.allow(asked.approval_id, note="go on")
    shown, seqs = "", list[int]()
    async with session.follow() as events:
        async for event in events:
            seqs.append(event.seq)
            if isinstance(event, TerminalChunk):
                shown += event.data
                if "allowed" in event.data:
                    await session.type("hello")
                if "got:hello" in shown:
                    await session.stop()
    assert isinstance(event, SessionEnded) and event.final_state == "COMPLETED"
    assert seqs == list(range(1, seqs[-1] + 1))
    assert [one.seq for one in await session.events()] == seqs
    assert (await session.wait("ended", seconds=30)).view.state == "COMPLETED"
    assert [one.session_id for one in await client.sessions(live=False)] == [session.id]
    assert await client.sessions() == []
    with pytest.raises(ServiceError) as refused:
        await session.deny(asked.approval_id)
    assert refused.value.status == 409


async def test_a_wait_that_is_not_reached_says_so(far: Far) -> None:
    session = await client_of(far).start(far.directory, command=["sleep", "1000"])
    waited = await session.wait(seconds=0.2)
    assert not waited.reached and waited.view.session_id == session.id
    with pytest.raises(ServiceError, match="only an interruption has none"):
        await session.prompt("")
    await session.stop(kill=True)
    assert (await session.wait("ended", seconds=30)).reached


async def test_the_main_job_without_a_loop(far: Far) -> None:
    token = await person(far.town, "robot", "operator")

    def job() -> str:
        client = SyncClient.at(far.town.url, token)
        session = client.start(str(far.directory), command=["bash", "-c", f"{ASK}; echo status=$?"], name="Robot")
        assert session.wait(seconds=30).reached
        (asked,) = session.approvals()
        session.deny(asked.approval_id, note="no")
        text = "".join(one.data for one in session.follow() if isinstance(one, TerminalChunk))
        assert session.wait("ended", seconds=30).view.agent_name == "Robot"
        assert client.session(session.id).view() == session.view()
        return text

    assert "status=1" in await trio.to_thread.run_sync(job)


async def test_the_example_runs(far: Far) -> None:
    environment = {**os.environ, "TOWNWATCH_URL": far.town.url, "TOWNWATCH_TOKEN": far.town.token}
    words = [sys.executable, str(EXAMPLE), str(far.directory), "bash", "-c", f"echo hello; {ASK} && echo allowed"]
    run = partial(subprocess.run, words, env=environment, capture_output=True, text=True, timeout=60)
    done = await trio.to_thread.run_sync(run)
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout and "allowed" in done.stdout
    assert done.stdout.splitlines()[-1] == "COMPLETED, exit code 0"


async def test_refusals_have_a_code_and_words(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        with pytest.raises(ServiceError) as missing:
            await TownwatchClient.at(town.url, town.token).session("none").view()
        assert (missing.value.status, missing.value.code) == (404, "E_NOT_FOUND")
        with pytest.raises(ServiceError) as wrong:
            await TownwatchClient.at(town.url, "tw_wrong").sessions()
        assert wrong.value.status == 401
        with pytest.raises(ServiceError) as nowhere:
            await TownwatchClient.at(town.url, town.token).start("/x", goal="g")
        assert nowhere.value.code == "E_NO_RUNNER"


async def test_what_is_no_service_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotReached):
        await TownwatchClient.at("http://127.0.0.1:9", "t").sessions()
    monkeypatch.delenv("TOWNWATCH_URL", raising=False)
    with pytest.raises(ValueError, match="TOWNWATCH_URL"):
        TownwatchClient.at(token="t")


def test_events_of_later_versions_are_given_as_they_are() -> None:
    values: dict[str, Any] = json.loads('{"type": "FROM_THE_FUTURE", "seq": 5, "sessionId": "s", "x": 1}')
    assert _event(values) == UnknownEvent(seq=5, type="FROM_THE_FUTURE", values=values)
