"""Which of Copilot's files of events is a session's own: that which a process of the session has open."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.integration.agents.conftest import Agent
from tests.integration.runner.conftest import Bench
from townwatch.runner.agents.copilot import adapter
from townwatch.runner.agents.copilot.adapter import CopilotTerminal

PROGRAM = f"""#!{sys.executable} -ISu
import sys
print("I-am-the-screen", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""


def begins(home: Path, name: str, work: Path, pid: int | None) -> None:
    """A session of Copilot's begins, open in this process; None: of a version that does not say."""
    place = home / ".copilot" / "session-state" / name
    place.mkdir(parents=True)
    if pid is not None:
        (place / f"inuse.{pid}.lock").write_text(str(pid))
    about = {"sessionId": name, "context": {"cwd": str(work)}}
    (place / "events.jsonl").write_text(json.dumps({"type": "session.start", "data": about}) + "\n")


@pytest.mark.parametrize("says", ["a process", "nothing"])
async def test_another_session_in_the_same_directory_is_not_taken_for_it(
    bench: Bench, tmp_path: Path, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOCK_SECONDS", 0.5)
    program, home = tmp_path / "bin" / "copilot", tmp_path / "home"
    program.parent.mkdir()
    home.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    session = bench.start(str(program), provider="copilot", adapter=CopilotTerminal, env={"HOME": str(home)})
    agent = Agent(bench, session)
    await bench.shows(session, "I-am-the-screen")
    begins(home, "of-another", bench.directory, os.getpid())
    await agent.is_now("waiting")  # a dialog of its start, as far as is known
    begins(home, "its-own", bench.directory, session.pid if says == "a process" else None)
    await agent.is_now("idle")
    assert [one["cliSessionId"] for one in agent.told("session")] == ["its-own"]
    await session.stop(graceful=False)
    await bench.over(session)
