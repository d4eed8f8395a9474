"""Test runs are found wherever they run, and a verdict is told only when it is known."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.runner.conftest import Bench, until
from townwatch.runner.observers.runs import Run, TestRuns, _find_output
from townwatch.runner.session.session import Session

PASSING = "import time\ndef test_a():\n    time.sleep(0.7)\ndef test_b(): pass\n"
FAILING = PASSING + "def test_c(): assert False\n"
PYTEST = f"{sys.executable} -m pytest -p no:cacheprovider -q"


@pytest.fixture(autouse=True)
def plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of these tests are not those of the run that they are part of."""
    for name in [name for name in os.environ if name.startswith(("PYTEST", "COV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def tests_of(bench: Bench) -> Path:
    """A directory whose tests pass, beside one whose tests do not."""
    for name, text in (("good", PASSING), ("bad", FAILING)):
        (bench.directory / name).mkdir()
        (bench.directory / name / f"test_{name}.py").write_text(text)
        (bench.directory / name / "pytest.ini").write_text("[pytest]\n")
    return bench.directory


async def finished(bench: Bench, script: str) -> list[dict[str, Any]]:
    session = bench.start("bash", "-c", script)
    await bench.over(session)
    told = bench.events(session, "TEST_RUN_FINISHED")
    begun = bench.events(session, "TEST_RUN_STARTED")
    assert sorted(one["runId"] for one in begun) == sorted(one["runId"] for one in told)
    assert {one["verdict"] for one in told} <= {"passed", "failed", "unknown"}
    return sorted(told, key=lambda one: one.get("exitCode", -1))


def is_known(run: dict[str, Any], verdict: str) -> bool:
    """The verdict, or an honest unknown where this kernel does not say how others' processes ended."""
    return run["verdict"] == verdict or (run["verdict"] == "unknown" and bool(run["reason"]) and "exitCode" not in run)


AGENT = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "{where}"], {how})
"""
HOW = {
    "captured": "capture_output=True",
    "detached": "capture_output=True, start_new_session=True",
    "thrown away": "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL",
    "without the environment": "capture_output=True, start_new_session=True, env={'PATH': '/usr/bin'}",
}


@pytest.mark.parametrize("where", ["good", "bad"])
@pytest.mark.parametrize("how", HOW)
async def test_a_run_whose_output_nobody_sees_is_never_judged_by_it(
    bench: Bench, tests_of: Path, where: str, how: str
) -> None:
    (tests_of / "agent.py").write_text(AGENT.format(where=where, how=HOW[how]))
    (run,) = await finished(bench, f"{sys.executable} agent.py; true")
    assert is_known(run, "passed" if where == "good" else "failed")
    assert "passed" not in run
    assert "failureText" not in run
    assert run["where"].startswith("process ")


class SlowTerminal(TestRuns):
    """Shows late what programs print, as on a machine that is busy with others."""

    def output(self, text: str) -> None:
        async def later() -> None:
            await trio.sleep(0.5)
            TestRuns.output(self, text)

        assert self.nursery is not None
        self.nursery.start_soon(later)


async def test_what_a_run_printed_last_is_its_own_also_where_it_comes_late(
    bench: Bench, tests_of: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("townwatch.runner.observers.observers.TestRuns", SlowTerminal)
    (run,) = await finished(bench, f"{PYTEST} bad; sleep 2")
    assert is_known(run, "failed")
    assert (run["passed"], run["failed"]) == (2, 1)
    assert "def test_c(): assert False" in run["failureText"]


@pytest.mark.parametrize("where", ["good", "bad"])
async def test_output_that_goes_to_a_file_is_read_there(bench: Bench, tests_of: Path, where: str) -> None:
    (run,) = await finished(bench, f"echo '9 failed in 1s' > out.txt; {PYTEST} {where} >> out.txt; true")
    assert (run["verdict"], run["passed"]) == ("passed" if where == "good" else "failed", 2)
    assert run["failed"] == (0 if where == "good" else 1)


async def test_the_command_itself_is_judged_by_its_own_status(bench: Bench, tests_of: Path) -> None:
    (run,) = await finished(bench, f"{PYTEST} good -k nothing")
    assert (run["exitCode"], run["verdict"], run["reason"]) == (5, "failed", "no test was collected")
    (run,) = await finished(bench, f"{PYTEST} good > out.txt")
    assert (run["exitCode"], run["verdict"], run["passed"]) == (0, "passed", 2)


@pytest.mark.parametrize("to", ["file", "pipe"])
def test_where_the_output_goes_is_known_while_pytest_captures_it(tmp_path: Path, to: str) -> None:
    wait = "import pathlib, time\ndef test_a():\n    pathlib.Path('now').touch()\n    time.sleep(1000)\n"
    (tmp_path / "test_it.py").write_text(wait)
    command = [*PYTEST.split(), "test_it.py"]
    with (tmp_path / "out.txt").open("wb") as out, (tmp_path / "err.txt").open("wb") as err:
        into = out if to == "file" else subprocess.PIPE
        with subprocess.Popen(command, cwd=tmp_path, stdout=into, stderr=err) as process:
            while not (tmp_path / "now").exists():
                assert process.poll() is None
                time.sleep(0.01)
            run = Run("pytest", command, process.pid, 0)
            _find_output(run, None)
            process.kill()
    assert (run.output_to, run.file) == (to, tmp_path / "out.txt" if to == "file" else None)


async def test_a_run_on_a_terminal_of_its_own_is_counted_where_that_is_shown(bench: Bench, tests_of: Path) -> None:
    """As tox gives it one, and prints what it showed."""
    (tests_of / "tool.py").write_text(f"import pty, sys\nsys.exit(pty.spawn({[*PYTEST.split(), 'bad']!r}) >> 8)")
    (run,) = await finished(bench, f"{sys.executable} tool.py; true")
    assert (run["verdict"], run["passed"], run["failed"]) == ("failed", 2, 1)
    (run,) = await finished(bench, f"{sys.executable} tool.py >/dev/null; true")
    assert is_known(run, "failed")
    assert "passed" not in run


async def test_a_failed_run_says_what_failed(bench: Bench, tests_of: Path) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6" * 3
    (tests_of / "bad" / "test_more.py").write_text(f"def test_d():\n    assert 'token={secret}' == ''\n")
    session = bench.start("bash", "-c", f"{PYTEST} bad; {PYTEST} bad --junitxml=out.xml > /dev/null; true")
    await bench.over(session)
    printed, named = bench.events(session, "TEST_RUN_FINISHED")
    assert printed["failureText"].startswith("====")
    assert "def test_c(): assert False" in printed["failureText"]
    assert "2 failed, 2 passed" in printed["failureText"].split("\n")[-1]
    assert "failureCut" not in printed
    assert named["failureText"].startswith("FAILURE: ")
    assert "assert False" in named["failureText"]
    assert secret not in str([printed, named])


async def test_an_interrupted_run_is_no_success(bench: Bench, tests_of: Path) -> None:
    (tests_of / "good" / "test_more.py").write_text("import time\ndef test_d():\n    time.sleep(30)\n")
    (run,) = await finished(bench, f"timeout -s INT 3 {PYTEST} good/test_good.py good/test_more.py; true")
    assert run["verdict"] != "passed"


async def test_two_runs_beside_each_other_are_two(bench: Bench, tests_of: Path) -> None:
    runs = await finished(bench, f"{PYTEST} good & {PYTEST} bad & wait")
    assert len(runs) == 2
    assert any(is_known(run, "passed") for run in runs)
    assert any(is_known(run, "failed") for run in runs)
    assert all("passed" not in run for run in runs)  # which summary is whose cannot be seen on one terminal


@pytest.mark.parametrize("asked", ["-h", "--fixtures", "--collect-only", "--co -q", "--markers", "--version", "-qh"])
async def test_a_question_is_no_run(bench: Bench, tests_of: Path, asked: str) -> None:
    assert await finished(bench, f"{sys.executable} -m pytest {asked} good > /dev/null; sleep 0.3") == []


async def test_what_a_test_run_starts_is_part_of_it(bench: Bench, tests_of: Path) -> None:
    inner = (
        "import subprocess, sys\ndef test_inner():\n    subprocess.run([sys.executable, '-m', 'pytest', '../good'])\n"
    )
    (tests_of / "bad" / "test_bad.py").write_text(inner)
    (run,) = await finished(bench, f"cd bad; {PYTEST} .; true")
    assert run["verdict"] == "passed"


async def test_runs_one_after_another_have_their_own_counts(bench: Bench, tests_of: Path) -> None:
    session = bench.start("bash", "-c", f"make; {PYTEST} bad")
    (tests_of / "Makefile").write_text(f"all:\n\t{PYTEST} good\n")
    await bench.over(session)
    runs = bench.events(session, "TEST_RUN_FINISHED")
    assert [(run["verdict"], run["passed"], run["failed"]) for run in runs] == [("passed", 2, 0), ("failed", 2, 1)]
    assert ["failureText" in run for run in runs] == [False, True]


async def test_a_run_in_a_commit_hook_is_not_a_failure(bench: Bench, tests_of: Path) -> None:
    script = (
        "git init -q .; git config user.email a@b.c; git config user.name T;"
        f" printf '#!/bin/sh\\n{PYTEST} good >/dev/null\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit;"
        " git add good; git commit -qm one && echo committed"
    )
    (run,) = await finished(bench, script)
    assert is_known(run, "passed")


WATCHING = r"""
import sys, time
print(" RUN  v1\n\n ✓ a.test.js\n\n Test Files  1 passed (1)\n      Tests  2 passed (2)\n   Duration  300ms\n")
print(" PASS  Waiting for file changes...", flush=True)
sys.stdin.readline()
print(" RERUN  a.js x1\n\n Test Files  1 failed (1)\n      Tests  1 failed | 1 passed (2)\n   Duration  200ms\n")
print(" FAIL  Tests failed. Watching for file changes...", flush=True)
sys.stdin.readline()
"""


async def test_a_run_that_watches_has_a_result_at_the_end_of_each_round(bench: Bench) -> None:
    (bench.directory / "vitest.mjs").write_text(WATCHING)
    session = bench.start("bash", "-c", f"{sys.executable} ./vitest.mjs; true")

    def rounds(count: int) -> Any:
        return len(told := bench.events(session, "TEST_RUN_FINISHED")) == count and told

    await until(lambda: rounds(1))
    await session.type("\r")
    first, second = await until(lambda: rounds(2))
    assert (first["verdict"], first["passed"]) == ("passed", 2)
    assert (second["verdict"], second["failed"], second["passed"]) == ("failed", 1, 1)
    assert first["runId"] != second["runId"]
    await session.type("\r")
    await bench.over(session)
    assert rounds(2)


async def test_counts_are_read_from_what_a_terminal_shows(bench: Bench) -> None:
    """As cargo prints them where TERM is xterm: ``tput sgr0`` is ESC ( B."""
    green = r"\033[32mok\033(B\033[m"
    script = (
        f'printf "running 3 tests\\n\\ntest result: {green}. 1 passed; 0 failed; 1 ignored; 0 measured\\n"; sleep 1'
    )
    (bench.directory / "cargo").write_text(f"#!/bin/bash\n{script}\n")
    (bench.directory / "cargo").chmod(0o755)
    session: Session = bench.start("bash", "-c", "./cargo test; true")
    await bench.over(session)
    (run,) = bench.events(session, "TEST_RUN_FINISHED")
    assert (run["verdict"], run["passed"], run["failed"], run["skipped"]) == ("passed", 1, 0, 1)


async def test_a_status_that_is_known_is_told_also_where_no_summary_comes_before_the_session_s_end(
    bench: Bench, tests_of: Path
) -> None:
    (tests_of / "good" / "conftest.py").write_text("import no_such_module\n")
    (run,) = await finished(bench, f"{PYTEST} good; sleep 0.3")
    assert is_known(run, "failed")
    assert run["reason"] in ("exit code 4", "its output has no summary, and its exit status cannot be seen")


NODE_TESTS = """
const test = require('node:test'), assert = require('node:assert')
test('adds', () => new Promise((done) => setTimeout(done, 500)))
test('is wrong', () => assert.equal(2, 3))
test('later', {skip: true}, () => {})
"""


@pytest.mark.parametrize("script", ["node --test sum.test.js; sleep 0.5", "npm test --silent; sleep 0.5"])
async def test_node_s_own_tests_are_counted(bench: Bench, script: str) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm")
    (bench.directory / "sum.test.js").write_text(NODE_TESTS)
    (bench.directory / "package.json").write_text('{"scripts": {"test": "node --test sum.test.js"}}')
    (run,) = await finished(bench, script)
    assert is_known(run, "failed")
    assert (run["passed"], run["failed"], run["skipped"]) == (1, 1, 1)
    assert "2 == 3" in run["failureText"]


async def test_node_s_watch_mode_has_a_result_at_the_end_of_each_round(bench: Bench) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node")
    file = bench.directory / "sum.test.js"
    file.write_text(NODE_TESTS)
    session = bench.start("node", "--test", "--watch", "sum.test.js")

    def rounds(count: int) -> Any:
        return len(told := bench.events(session, "TEST_RUN_FINISHED")) == count and told

    (first,) = await until(lambda: rounds(1))
    assert (first["verdict"], first["passed"], first["failed"]) == ("failed", 1, 1)
    file.write_text(NODE_TESTS.replace("2, 3", "3, 3"))
    _, second = await until(lambda: rounds(2))
    assert (second["verdict"], second["passed"], second["failed"]) == ("passed", 2, 0)
    await session.stop()
    await bench.over(session)


async def test_a_fork_of_a_run_is_no_run_also_where_the_run_was_another_program_once(
    bench: Bench, tests_of: Path
) -> None:
    """As prove does: for a moment each file's process is called as prove is. The shell before it is known for long."""
    script = "import os, time\nprint(os.getpid(), file=open('leader', 'w'), flush=True)\nif os.fork() == 0:\n"
    script += "    time.sleep(0.4)\n    os._exit(0)\nos.wait()\n"
    (bench.directory / "pytest").write_text(f"#!{sys.executable}\n{script}")
    (bench.directory / "pytest").chmod(0o755)
    (run,) = await finished(bench, "sleep 3.5; exec ./pytest")
    assert (run["verdict"], run["exitCode"]) == ("passed", 0)
    assert run["where"] == f"process {(bench.directory / 'leader').read_text().strip()}"
