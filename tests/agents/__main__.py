"""Run whole turns of all agent CLIs against the scripted model, those included that CI does not install.

python -P -m tests.agents                         all of it; what has passed with these versions is not run again
python -P -m tests.agents --only qwen --again     the tests whose names have one of these words, whatever was before
python -P -m tests.agents --table                 what is known, without a run

Each test has a deadline: one that hangs is killed with all that it started, counted as such, and the next one runs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress

import attrs
import psutil

from tests.agents import results
from tests.agents.recorder import RESULTS
from tests.agents.results import KEPT, Result
from tests.integration.agents.others import ALL_AGENTS
from tests.support.agents import provide

PLACE = "tests/integration/agents"
MARK = "TEST_AGENTS_RUN"
START_SECONDS = 180.0
"""How long pytest may take before its first test."""


def main() -> int:
    """Run what is asked for and print the table. Returns the exit code: 1 where a test failed."""
    options = _options()
    wanted: list[str] = []
    if not options.table:
        for cli in (*provide.ALL, *provide.BY_HAND):
            if not options.only or any(word in cli.name or cli.name in word for word in options.only):
                print(provide.install(cli), flush=True)
        wanted = [cell for cell in _collected() if not options.only or any(word in cell for word in options.only)]
        done = {id_ for id_, one in results.known().items() if one.outcome in ("passed", "skipped")}
        _run([cell for cell in wanted if options.again or cell not in done], options.seconds)
    found = {id_: one for id_, one in results.known().items() if not wanted or id_ in wanted}
    print(results.table(found.values()))
    return int(any(one.outcome in ("failed", "timeout") for one in found.values()))


def _options() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -P -m tests.agents", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="tests whose name has one of these")
    parser.add_argument("--again", action="store_true", help="run what has passed, too")
    parser.add_argument("--table", action="store_true", help="print what is known, and run nothing")
    parser.add_argument("--seconds", type=float, default=360.0, help="the deadline of one test (360)")
    return parser.parse_args()


def _collected() -> list[str]:
    command = [sys.executable, "-P", "-m", "pytest", PLACE, "--collect-only", "-q", "-p", "no:cacheprovider"]
    env = {**os.environ, ALL_AGENTS: "1"}
    listed = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    found = [line for line in listed.stdout.splitlines() if "::" in line]
    if listed.returncode or not found:
        sys.exit(f"pytest collects nothing (exit {listed.returncode}):\n{listed.stdout[-3000:]}{listed.stderr[-1000:]}")
    return found


def _run(cells: list[str], seconds: float) -> None:
    """Run these in one pytest after another: a new one where the last was killed, or ended before its time."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    left = list(cells)
    while left:
        ended = _some(left, seconds)
        if not ended:  # none had a result: the first of them is to blame
            _note(left[0], "failed", "pytest ended without a result")
            ended = {left[0]}
        left = [cell for cell in left if cell not in ended]


def _some(cells: list[str], seconds: float) -> set[str]:
    """Run pytest until it ends, or one test has had its time. Returns those that have a result."""
    log, mark, since = KEPT.with_suffix(".run"), uuid.uuid4().hex, time.monotonic()
    log.unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "tests.agents.recorder", "-p", "no:cacheprovider"]
    env = {**os.environ, ALL_AGENTS: "1", RESULTS: str(log), MARK: mark}
    process = subprocess.Popen([*command, *cells], env=env, start_new_session=True)
    ended: dict[str, Result] = {}
    running, position = "", 0
    try:
        while True:
            over = process.poll() is not None
            lines = list(results.events(log))
            for line in lines[position:]:
                if "began" in line:
                    running, since = str(line["began"]), time.monotonic()
                elif "cell" in line:
                    _keep(ended, line)
            position = len(lines)
            if over:
                break
            allowed = seconds if running else START_SECONDS
            if time.monotonic() - since > allowed:
                blamed = running or cells[0]
                ended[blamed] = _note(blamed, "timeout", f"no end after {allowed:.0f} s", allowed)
                break
            time.sleep(0.5)
    finally:
        _end(process, mark)
    if running and running not in ended:
        ended[running] = _note(running, "failed", f"pytest ended with {process.returncode} in the middle of it")
    return set(ended)


def _keep(ended: dict[str, Result], line: dict[str, object]) -> None:
    cell, outcome = str(line["cell"]), str(line["outcome"])
    if cell in ended and outcome != "failed":
        return
    seconds = line["seconds"]
    ended[cell] = _note(cell, outcome, str(line["why"]), seconds if isinstance(seconds, float) else 0.0)


def _note(cell: str, outcome: str, why: str = "", seconds: float = 0.0) -> Result:
    version = results.version_of(results.agent_of(cell))
    one = Result(cell, outcome, why, seconds, version, time.time())
    with KEPT.open("a") as file:
        file.write(json.dumps(attrs.asdict(one)) + "\n")
    said = f"{outcome:8} {seconds:6.1f} s  {cell.removeprefix(f'{PLACE}/')}"
    print(said, why.partition("\n")[0][:160], flush=True)
    return one


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End pytest, and whatever carries this run's mark: agents make sessions of their own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if one.environ().get(MARK) == mark:
                one.kill()


if __name__ == "__main__":
    sys.exit(main())
