"""One seed decides everything: what the product asks the operating system for comes from dice and virtual time here.

Trio shuffles what is ready to run with dice of its own; seeded, they explore more orders than production shows.
Threads never run. Names, tokens and masks come from a seeded `os.urandom`, wall clocks from the place (`place.here`).
"""

import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psutil
import structlog
import trio
from trio._core import _run as trio_run

import townwatch.actors.runner
import townwatch.runner.runner
import townwatch.supervision._base
import townwatch.transports.runners.link_handshake
from tests.simulation.place import EPOCH_MS, here, work

OFFLINE_SECONDS = 10.0
"""Two missed heartbeats, as in the product; its heartbeats are longer."""


def _silence() -> None:
    """Logs of faults that are meant are noise, and formatting them is most of a run's time."""
    logging.disable(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )


async def _run_sync(
    function: Any, *args: Any, thread_name: str | None = None, abandon_on_cancel: bool = False, limiter: Any = None
) -> Any:
    return await work(function, args, abandon=abandon_on_cancel, limiter=limiter)


def _waits(real: Any, name: str) -> Any:
    """The call of `trio.lowlevel`, for sockets of the simulation too."""

    async def wait(sock: Any) -> None:
        method = getattr(sock, name, None)
        await (real(sock) if method is None else method())

    return wait


def _now_ms() -> int:
    place = here.get(None)
    return EPOCH_MS if place is None else place.now_ms()


async def _dial(_host: str, _port: int) -> trio.abc.Stream:
    dial = here.get().dial
    assert dial is not None
    return await dial()


@contextmanager
def deterministic(seed: int) -> Generator[random.Random, None, None]:
    """Everything inside depends on the seed alone. Yields the dice of the world outside the product."""
    dice = random.Random(seed)
    bytes_, jitter = random.Random(f"bytes {seed}"), random.Random(f"jitter {seed}")
    global_state, was = random.getstate(), trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    lowlevel, notify = trio.lowlevel, trio.lowlevel.notify_closing
    disk = SimpleNamespace(percent=1.0)
    replacements: list[tuple[Any, str, Any]] = [
        (os, "urandom", bytes_.randbytes),
        (random, "_urandom", bytes_.randbytes),
        (time, "time", lambda: _now_ms() / 1000),
        (time, "time_ns", lambda: _now_ms() * 1_000_000),
        (time, "monotonic", lambda: trio.current_time() if here.get(None) else 0.0),
        (time, "perf_counter", lambda: 0.0),
        (trio.to_thread, "run_sync", _run_sync),
        (lowlevel, "wait_readable", _waits(lowlevel.wait_readable, "until_readable")),
        (lowlevel, "wait_writable", _waits(lowlevel.wait_writable, "until_writable")),
        (lowlevel, "notify_closing", lambda sock: None if hasattr(sock, "notify_closing") else notify(sock)),
        (psutil, "cpu_percent", lambda: 1.0),
        (psutil, "virtual_memory", lambda: disk),
        (psutil, "disk_usage", lambda _path: disk),
        (shutil, "which", lambda _name, path=None: None),
        (trio, "open_tcp_stream", _dial),
        (townwatch.actors.runner, "OFFLINE_SECONDS", OFFLINE_SECONDS),
        (townwatch.runner.runner, "kill_marked", lambda _session_id: None),
        (townwatch.supervision._base, "Random", lambda: random.Random(jitter.random())),
        (townwatch.transports.runners.link_handshake, "_numbers", iter(range(1, 1 << 30))),
    ]
    threads = threading.active_count()
    with ExitStack() as stack:
        for owner, name, value in replacements:
            stack.enter_context(patch.object(owner, name, value))
        logged, structured = logging.root.manager.disable, structlog.get_config()
        _silence()
        random.seed(seed)
        trio_run._r.seed(seed)
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
        try:
            yield dice
        finally:
            trio_run._ALLOW_DETERMINISTIC_SCHEDULING = was
            random.setstate(global_state)
            logging.disable(logged)
            structlog.configure(**structured)
    assert threading.active_count() <= threads, "the product started a thread in the simulation"
