"""The demo's runner as a process of its own, supervised like the actors."""

import sys
from pathlib import Path

import trio

from townwatch.runner.demo.play import RUNS_ALREADY
from townwatch.runtime.tasks import TaskOwner

LOOK_AGAIN_SECONDS = 5.0


class DemoEnded(Exception):
    """The demo's process ended by itself; its supervisor starts it again."""


class DemoRunner(TaskOwner):
    """Keeps ``townwatch demo`` running; ends it with SIGTERM when it is stopped itself."""

    def __init__(self, state_dir: Path, seed: int) -> None:
        super().__init__()
        self._command = [sys.executable, "-P", "-m", "townwatch", "demo", f"--seed={seed}", f"--state-dir={state_dir}"]

    def on_start(self) -> None:
        self.tasks.start_soon(self._run)

    async def _run(self) -> None:
        while True:
            done = await trio.run_process(self._command, check=False, stdin=b"", deliver_cancel=_end)
            if done.returncode != RUNS_ALREADY:
                break
            await trio.sleep(
                LOOK_AGAIN_SECONDS
            )  # the one of before a kill -9 of the service lives on, with its sessions
        self.actor_ref.exit(DemoEnded(f"the demo ended with status {done.returncode}"))


async def _end(process: trio.Process) -> None:
    """End the demo's sessions in order; kill it after 3 s."""
    process.terminate()
    with trio.move_on_after(3, shield=True):
        await process.wait()
    process.kill()
