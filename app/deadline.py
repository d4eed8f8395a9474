"""The end of the process at the latest: a watchdog thread that does not depend on what it watches.

A service that was told to stop, or that gave up, stops in order. Something may keep it from that: an event loop that is
stuck, a thread in a lock of the database, a file system that does not answer. The watchdog hears signals through the
interpreter's wake-up descriptor, which is written by the C-level handler even while no Python code of the main thread
runs, and ends the process when its time is over.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress

import structlog

from townwatch.config.log_sink import drain_all

log = structlog.get_logger("service")

EXIT_STATUS = 1
LAST_WORDS_SECONDS = 0.2
STOPPING = (signal.SIGTERM, signal.SIGINT)


class Deadline:
    """Ends the process `seconds` after `begin`, unless it ended by itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = threading.Event()

    def begin(self) -> None:
        """Start the deadline. A second call does nothing."""
        if not self._begun.is_set():
            self._begun.set()
            threading.Thread(target=self._watch, name="deadline", daemon=True).start()

    @contextmanager
    def on_signals(self) -> Generator[None]:
        """Begin at SIGTERM or SIGINT. Enter it in the main thread, when the handlers are installed."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(reader, before), name="signals", daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            os.close(writer)  # ends the thread

    def _listen(self, reader: int, before: int) -> None:
        while numbers := os.read(reader, 64):
            if before >= 0:
                with suppress(OSError):
                    os.write(before, numbers)  # trio wakes up by it
            if any(number in numbers for number in STOPPING):
                self.begin()
        os.close(reader)

    def _watch(self) -> None:
        time.sleep(self._seconds - LAST_WORDS_SECONDS)
        log.error("stop_overdue", seconds=self._seconds, threads=_stacks())
        drain_all(LAST_WORDS_SECONDS)
        os._exit(EXIT_STATUS)


def _stacks() -> str:
    """The place at which each thread is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    places: list[str] = []
    for ident, frame in sys._current_frames().items():  # pyright: ignore[reportPrivateUsage]
        last = traceback.extract_stack(frame)[-3:]
        places.append(f"{names.get(ident, ident)}: " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(last)))
    return " | ".join(places)
