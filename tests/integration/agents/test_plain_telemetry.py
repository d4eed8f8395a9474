"""A command without an adapter tells what it uses by OTLP: it is counted, and budgets hold it."""

import json
import sys
from pathlib import Path

import pytest
import trio

from tests.integration.agents import others
from tests.integration.agents.conftest import Bench, Home
from tests.integration.policy.test_budgets import Spending, over
from tests.integration.runner.conftest import far as far
from tests.support.agents import fake_model
from tests.support.agents.fake_protocols import PROTOCOLS
from townwatch.contracts.policy import Budget

FIELD = Path(__file__).parents[2] / "fixtures" / "field"
SEND = """
import os, sys, urllib.request
for path, kind in (("/v1/traces", "application/json"), ("/v1/logs", sys.argv[2])):
    body = open(sys.argv[1], "rb").read()
    where = os.environ["TOWNWATCH_OTLP"] + path
    asked = urllib.request.Request(where, body, {"content-type": kind})
    print(urllib.request.urlopen(asked).status, flush=True)
"""


@pytest.fixture
def spending(far) -> Spending:
    return Spending(far.town, far.runner, far.http, far.directory)


async def sent(spending: Spending, body: bytes, budget: Budget | None = None):
    (spending.directory / "body").write_bytes(body)
    (spending.directory / "send.py").write_text(SEND)
    return spending.start(f"{sys.executable} send.py body application/json && sleep 60", budget)


async def test_what_codex_exec_sends_by_otlp_is_the_sessions_usage(spending: Spending) -> None:
    """The frames of the real `codex exec`."""
    lines = [json.loads(line) for line in (FIELD / "otlp-codex-0.171.0-json.jsonl").read_text().splitlines()]
    told = next(one["body"] for one in lines if "input_token_count" in json.dumps(one["body"]))
    session = await sent(spending, json.dumps(told).encode(), Budget(tokens=10))
    asked = await spending.question(session)
    assert asked["context"]["budget"]["used"] == session.usage.spent.tokens > 10
    await session.stop(graceful=False)


async def test_events_of_the_genai_conventions_are_counted_and_priced_by_the_table(spending: Spending) -> None:
    values = {
        "gen_ai.request.model": {"stringValue": "gpt-5"},
        "gen_ai.usage.input_tokens": {"intValue": "1000"},
        "gen_ai.usage.output_tokens": {"intValue": 100},
    }
    attributes = [{"key": key, "value": value} for key, value in values.items()]
    record = {"eventName": "gen_ai.client.inference.operation.details", "attributes": attributes}
    export = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    session = await sent(spending, json.dumps(export).encode())
    await over(lambda: session.usage.spent.tokens == 1100)
    assert session.usage.spent.usd > 0 and session.usage.spent.unpriced == 0
    await session.stop(graceful=False)


async def test_what_is_no_telemetry_harms_nobody(spending: Spending) -> None:
    session = await sent(spending, b"no json")
    with trio.fail_after(30):
        while "HTTP Error 400" not in "".join(one["data"] for one in await spending.events(session, "TERMINAL_CHUNK")):
            await trio.sleep(0.1)
    assert session.usage.spent.tokens == 0
    await session.stop(graceful=False)


@pytest.mark.timeout(120)
async def test_codex_exec_is_counted_where_it_is_told_the_address(bench: Bench, tmp_path: Path) -> None:
    with fake_model.serve(protocols=PROTOCOLS) as model:
        await _codex_exec(bench, others.place(others.CODEX, tmp_path, bench.directory, model))


async def _codex_exec(bench: Bench, place: others.Place) -> None:
    exporter = '{otlp-http={endpoint=\\"$TOWNWATCH_OTLP/v1/logs\\",protocol=\\"json\\"}}'
    script = f'"$0" exec --skip-git-repo-check -c "otel.exporter={exporter}" do:hello'
    session = bench.start("sh", "-c", script, str(place.program), env=place.env)
    ended = await bench.over(session)
    assert ended["exitCode"] == 0, bench.output(session)
    assert ended["totalUsage"]["inputTokens"] > 0


@pytest.mark.timeout(120)
async def test_claude_with_p_is_counted(bench: Bench, claude: Path, home: Home) -> None:
    home.know(bench.directory)
    session = bench.start(str(claude), "-p", "do:hello", env=home.env)
    ended = await bench.over(session)
    assert ended["exitCode"] == 0
    assert ended["totalUsage"]["inputTokens"] > 0 and ended["totalUsage"]["costUsd"] > 0
