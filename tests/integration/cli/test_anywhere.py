"""The command works in any directory: no module of the user's is run or imported, and a crash is never an answer."""

import os
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from townwatch.cli.main import app

ROOT = Path(__file__).parents[3]
SECONDS = 60


def names(of: App, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and command of a command, as words."""
    for name in of:
        if not name.startswith("-"):
            yield (*before, name)
            yield from names(of[name], (*before, name))


EVERY = [(), *names(app)]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A user's repository with packages that are called as ours, and as what we stand on."""
    rooms = "access app chaos cli config contracts net runner store tests transports"
    for name in rooms.split():
        (tmp_path / "repo" / name).mkdir(parents=True)
        (tmp_path / "repo" / name / "__init__.py").write_text(f"print('USER {name}')\nraise SystemExit(1)\n")
        (tmp_path / "repo" / name / "__main__.py").write_text(f"print('USER {name}')\n")
    for name in ("trio", "attrs", "json", "socket", "structlog", "cyclopts"):
        (tmp_path / "repo" / f"{name}.py").write_text(f"raise ImportError('USER {name}')\n")
    return tmp_path / "repo"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a fresh environment into which the wheel was installed; what it depends on is this one's."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True, capture_output=True, timeout=120)
    venv.create(folder / "env", with_pip=False)
    (built,) = folder.glob("*.whl")
    fresh = folder / "env" / "bin" / "python"
    subprocess.run(
        [*pip, "--python", str(fresh), "install", "--no-deps", str(built)], check=True, capture_output=True, timeout=120
    )
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    added = sorted(entry.name for entry in site.iterdir() if "dist-info" not in entry.name)
    assert added == ["townwatch"]
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "env" / "bin" / "townwatch"


@pytest.fixture(params=["checkout", "wheel"])
def command(request: pytest.FixtureRequest) -> Path:
    if request.param == "wheel":
        return request.getfixturevalue("wheel")
    return Path(sysconfig.get_path("scripts")) / "townwatch"


def run(command: Path, where: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": ".", "TOWNWATCH_STATE_DIR": str(where.parent / "state"), **more}
    return subprocess.run(
        [str(command), *words], cwd=where, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )


ONE_AFTER_THE_OTHER = """
import contextlib, io, runpy, sys
script = sys.argv[1]
for line in sys.stdin.read().splitlines():
    sys.argv, out = [script, *line.split(), "--help"], io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(script, run_name="__main__")
            status = None
        except SystemExit as end:
            status = end.code
    print(line, status, out.getvalue(), sep="\\0", end="\\0")
"""


def test_every_command_explains_itself_in_a_directory_with_packages_of_our_names(command: Path, theirs: Path) -> None:
    for words in ((), ("ask",), ("run",), ("serve",)):
        done = run(command, theirs, *words, "--help")
        assert done.returncode == 0, done.stderr
        assert "USER" not in done.stdout + done.stderr
        assert done.stdout.startswith("Usage: townwatch")
    python = command.read_text().splitlines()[0].removeprefix("#!")  # all the others in one process of that command's
    env = {**os.environ, "PYTHONPATH": ".", "TOWNWATCH_STATE_DIR": str(theirs.parent / "state")}
    (theirs.parent / "driver.py").write_text(ONE_AFTER_THE_OTHER)
    done = subprocess.run(
        [python, "-P", str(theirs.parent / "driver.py"), str(command)],
        cwd=theirs,
        env=env,
        input="\n".join(map(" ".join, EVERY)),
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.split("\0")
    assert said[:-1:3] == [" ".join(words) for words in EVERY]
    for words, status, text in zip(said[::3], said[1::3], said[2::3], strict=False):
        assert status in ("0", "None"), words
        assert text.startswith("Usage: townwatch") and "USER" not in text, words


def test_a_service_and_its_children_run_there(command: Path, theirs: Path) -> None:
    """`--demo` starts a child of the service, which starts sessions; `run` is a runner in the user's shell."""
    log = theirs.parent / "serve.log"
    env = {**os.environ, "PYTHONPATH": ".", "TOWNWATCH_STATE_DIR": str(theirs.parent / "state")}
    with log.open("w") as out:
        service = subprocess.Popen(
            [str(command), "serve", "--demo", "--port=0"], cwd=theirs, env=env, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + SECONDS
        while "session:" not in (shown := run(command, theirs, "tree", "--once").stdout):
            assert service.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text() + shown
            time.sleep(0.2)
        done = run(command, theirs, "run", "--", "sh", "-c", "echo from $PWD")
        assert (done.returncode, done.stdout.strip()) == (0, f"from {theirs}"), done.stderr
    finally:
        service.terminate()
        service.wait(SECONDS)
    assert "USER" not in log.read_text()


def test_an_ask_that_breaks_is_no_answer(command: Path, theirs: Path) -> None:
    ask = ("ask", "--category=shell", "--risk=high", "rm -rf build/")
    outside = run(command, theirs, *ask)
    assert (outside.returncode, outside.stderr.count("\n")) == (2, 1)
    gone = {"TOWNWATCH_ASK": "127.0.0.1:9", "TOWNWATCH_SESSION": "s", "TOWNWATCH_ASK_TOKEN": "t"}
    for wrong in ({}, {"TOWNWATCH_ASK": "no address"}, {"TOWNWATCH_ASK": "127.0.0.1:99999"}):
        done = run(command, theirs, *ask, **{**gone, **wrong})
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    for words in (("ask",), ("ask", "x"), ("ask", "--risk=fun", "x"), ("ask", "--nonsense", "x"), ("ask", "--risk")):
        done = run(command, theirs, *words, **gone)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
