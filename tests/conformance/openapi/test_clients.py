"""A client that openapi-python-client generates from the document does the main job at a running service."""

import importlib.util
import sys
from pathlib import Path

import pytest
import trio

from tests.support.service import open_town
from townwatch.contracts.codec import encode
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.openapi import document

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openapi_python_client") is None,
    reason="openapi-python-client is missing: make test installs it",
)

JOB = """
import sys, time
sys.path.insert(0, sys.argv[1])
import townwatch_client.models as m
from townwatch_client import AuthenticatedClient
from townwatch_client.api.approvals import decide_approval, list_approvals
from townwatch_client.api.sessions import get_session, start_session, stop_session, type_input

client = AuthenticatedClient(base_url=sys.argv[2], token=sys.argv[3])
body = m.StartCommandSession(
    provider_id=m.StartCommandSessionProviderId.COMMAND,
    command=["sh", "-c", "read word; townwatch ask --category shell --risk low $word && sleep 300"],
    repo_ref=m.LocalRepo(provider=m.LocalRepoProvider.LOCAL, path=sys.argv[4]),
    task=m.TaskSpec(title="t", goal="g"),
)
started = start_session.sync(client=client, body=body)
assert isinstance(started, m.StartedSession), started

def until(look):
    end = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found

until(lambda: get_session.sync(started.session_id, client=client).state == "RUNNING")
typed = m.TypedInput(data="hello", mode=m.TypedInputMode.LINE)
assert type_input.sync_detailed(started.session_id, client=client, body=typed).status_code == 200
(asked,) = until(lambda: list_approvals.sync(client=client).items)
assert asked.summary == "hello"
answers = [
    decide_approval.sync_detailed(
        started.session_id, asked.approval_id, client=client, body=m.DecisionBody(decision=one)
    )
    for one in (m.DecisionBodyDecision.ALLOW, m.DecisionBodyDecision.DENY)
]
assert [one.status_code for one in answers] == [200, 409], answers
assert answers[1].parsed.error.code == "E_DECIDED"
stopped = stop_session.sync_detailed(started.session_id, client=client, body=m.StopSession(graceful=True))
assert stopped.status_code == 200, stopped
until(lambda: get_session.sync(started.session_id, client=client).ended_at)
print("done")
"""


async def test_a_generated_python_client_starts_types_decides_and_stops(tmp_path: Path) -> None:
    description = tmp_path / "openapi.json"
    description.write_bytes(encode(document(OPERATIONS, "1")))
    output = tmp_path / "client" / "townwatch_client"
    made = await trio.run_process(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta=none"),
            *("--path", str(description), "--output-path", str(output)),
        ],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert b"Unable to process schema" not in made.stdout + made.stderr
    async with open_town(tmp_path / "state") as town, trio.open_nursery() as nursery:
        runner = [sys.executable, "-P", "-m", "townwatch", "runner", f"--state-dir={tmp_path / 'state'}"]
        process = await nursery.start(trio.run_process, runner)
        job = [sys.executable, "-c", JOB, str(tmp_path / "client"), town.url, town.token, str(tmp_path)]
        with trio.fail_after(100):
            while True:
                done = await trio.run_process(job, capture_stdout=True, capture_stderr=True, check=False)
                if b"E_NO_RUNNER" not in done.stderr:
                    break
                await trio.sleep(0.5)
        assert done.stdout.strip() == b"done", done.stderr.decode()
        process.terminate()
