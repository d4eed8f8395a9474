"""What observing costs: sessions that share one repository while files are written, and idle sessions.

    python -m bench.observers [--sessions 20] [--files 20000] [--rate 10] [--seconds 20]

Prints the CPU of the runner process and of the git processes that it starts, in percent of one core, and the watched
directories.
"""

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import trio

from townwatch.runner.identity import Identity, new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session

NOWHERE = "ws://127.0.0.1:9/runner"
"""No service: what is measured is the observing."""
SETTLE_SECONDS = 4.0


def make_repository(top: Path, files: int) -> None:
    """A repository of so many files, fifty in a directory, in one commit."""
    for number in range(files):
        directory = top / f"d{number // 50:04}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{number}.txt").write_text(f"{number}\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        who = ["-c", "user.name=B", "-c", "user.email=b@example.invalid", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=top, check=True)


def cpu_seconds() -> tuple[float, float]:
    """(this process, its children that have ended)."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


async def measure(runner: Runner, top: Path, sessions: int, rate: float, seconds: float) -> dict[str, float]:
    """CPU in percent of a core while so many sessions live and `rate` files a second are written."""
    started: list[float] = []
    running: list[Session] = []
    for _ in range(sessions):
        plan = SessionSpec(session_id=new_session_id(), village="demo", command=["sleep", "9999"], directory=top)
        began = time.monotonic()
        running.append(runner.start(plan))
        await running[-1].started.wait()
        started.append(1000 * (time.monotonic() - began))
    await trio.sleep(SETTLE_SECONDS)
    before, began = cpu_seconds(), time.monotonic()
    number = 0
    while time.monotonic() - began < seconds:
        if rate:
            (top / f"d{number % 400:04}" / f"f{(number * 50) % 20_000}.txt").write_text(f"{number}\n")
            number += 1
        await trio.sleep(1 / rate if rate else 0.5)
    took, after = time.monotonic() - began, cpu_seconds()
    async with trio.open_nursery() as nursery:
        for session in running:
            nursery.start_soon(session.stop)
    own, git = (100 * (late - early) / took for early, late in zip(before, after, strict=True))
    return {
        "own": own,
        "git": git,
        "start_ms_median": sorted(started)[len(started) // 2],
        "start_ms_most": max(started),
    }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name) / "repository"
        make_repository(top, asked.files)
        identity = Identity(runner_id="bench", token="t", url=NOWHERE)
        async with open_runner(identity, Path(name) / "state", max_sessions=1000) as runner:
            for rate in (0.0, asked.rate):
                found = await measure(runner, top, asked.sessions, rate, asked.seconds)
                total = found["own"] + found["git"]
                print(
                    f"{asked.sessions} sessions, {rate:g} files/s: {total:.1f} % of a core"
                    f" (runner {found['own']:.1f}, git {found['git']:.1f});"
                    f" start {found['start_ms_median']:.0f} ms median, {found['start_ms_most']:.0f} most",
                    flush=True,
                )


if __name__ == "__main__":
    trio.run(main)
