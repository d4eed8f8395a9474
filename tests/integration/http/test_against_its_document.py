"""schemathesis against the running service: every check on, every operation, a fixed seed. Nothing answers 5xx."""

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.cast import event
from tests.support.rest import open_rest
from townwatch.supervision import Rate
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.deps import Rates

CONFIG = """
# What is too large is refused for that, before it is read.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]

# Rules that contradict each other (an id twice, a command and a path in one) are refused: no schema can say that.
[[operations]]
include-operation-id = "put_policy"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2XX", "4XX"]

[[operations]]
include-operation-id = "try_policy"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2XX", "4XX"]

[[operations]]
include-operation-id = "save_rule"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2XX", "4XX"]
"""
EVERYTHING = ("--phases", "fuzzing", "--max-examples", "4")
"""Every operation, however long that takes."""
FOR_A_WHILE = ("--phases", "coverage,stateful", "--max-examples", "8", "--max-time", "30")
"""What lies at the limits of the document, for which a whole run takes many minutes."""
ENDS_ITS_TOKEN = ("sign_out", "set_password")
WIDE = Rate(per_second=1e6, burst=1e6)


@pytest.mark.timeout(480)
async def test_the_service_does_what_its_document_says(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    async with open_rest(tmp_path, rates=Rates(reads=WIDE, writes=WIDE, sign_ins=WIDE)) as rest:
        await rest.runner("r1")
        await rest.session(
            event("SESSION_STARTED", 1, providerId="codex", providerVersion="1", workspacePath="/w"),
            event("TERMINAL_CHUNK", 2, data="hi", stream="stdout"),
        )
        told = [await asked(rest, config, *phases) for phases in (EVERYTHING, FOR_A_WHILE)]
    assert f"Tested: {len(OPERATIONS) - len(ENDS_ITS_TOKEN)}" in told[0], told[0][-4000:]


async def asked(rest: Any, config: Path, *phases: str) -> str:
    """Ask, and return what is told of it."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
    command += ["run", f"{rest.url}/api/openapi.json", "--header", f"Authorization: Bearer {rest.tokens['admin']}"]
    command += ["--checks", "all", "--continue-on-failure", *phases]
    for operation in ENDS_ITS_TOKEN:
        command += ["--exclude-operation-id", operation]
    command += ["--seed", "4711", "--no-color", "--generation-database", "none", "--request-timeout", "10"]
    done = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True, cwd=config.parent)
    told = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, told[told.find("= FAILURES =") :][:8000]
    return told
