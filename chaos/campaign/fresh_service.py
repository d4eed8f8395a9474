"""A service of its own for a campaign: fresh, on any free port, under the wrapper that starts it again."""

import os
import resource
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from townwatch.chaos.campaign.campaign import CannotBegin
from townwatch.chaos.campaign.health import ready
from townwatch.chaos.campaign.rest_client import Rest
from townwatch.config.process import free_port
from townwatch.config.settings import Settings

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 60.0, 30.0
SPARE_DESCRIPTORS = 500


def allow_connections(clients: int) -> None:
    """Let this process and its children have so many connections open. Raises `CannotBegin`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = clients + SPARE_DESCRIPTORS
    if soft < needed:
        if hard not in (resource.RLIM_INFINITY,) and hard < needed:
            raise CannotBegin(f"{clients} clients need {needed} file descriptors, this machine allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@asynccontextmanager
async def fresh_service(
    folder: Path, found: Settings, access: Callable[[Settings], Awaitable[tuple[str, str]]]
) -> AsyncGenerator[Rest]:
    """Run a service with --keep --chaos until the block ends; its state and log are below `folder`. `access` answers
    with the URL and the owner's token of a state directory. Raises `CannotBegin`.
    """
    state, port = folder / "state", free_port(HOST)
    state.mkdir(parents=True)
    with (folder / "service.log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-P", "-m", "townwatch", "serve", "--keep", "--chaos", f"--host={HOST}", f"--port={port}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "TOWNWATCH_STATE_DIR": str(state)},
            start_new_session=True,  # ^C is ours to hear
        )
    try:
        with trio.move_on_after(START_SECONDS):
            while process.poll() is None and await ready(Rest(f"http://{HOST}:{port}", "")) is not None:  # noqa: ASYNC110
                await trio.sleep(0.05)  # it is another process that gets ready
        if process.poll() is not None or not (state / "runner.json").exists():
            raise CannotBegin(f"the service does not start; see {folder / 'service.log'}")
        _, token = await access(attrs.evolve(found, state_dir=str(state)))
        yield Rest(f"http://{HOST}:{port}", token)
    finally:
        with trio.CancelScope(shield=True):
            await _stop(process)


async def _stop(process: trio.Process) -> None:
    if process.poll() is None:
        process.terminate()
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
    if process.poll() is None:
        process.kill()
        await process.wait()
