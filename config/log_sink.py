"""Sink for log lines that loses lines rather than fail or block its callers.

A full disk, a closed pipe, a reader that stopped: none of them is the work's fault, and none may end a connection or
block the event loop. Lines wait in a bounded queue for a thread of their own, which alone meets the file. Lines that
find the queue full and lines that cannot be written are lost and counted; when writing works again, a line says how
many.
"""

import atexit
import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

MAX_WAITING_BYTES = 4 << 20
EXIT_SECONDS = 0.5
"""How long the end of the process waits for lines that are not written yet."""


class Losses:
    """Lines that were lost, in all of the process."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return self._count

    def add(self, lines: int = 1) -> None:
        with self._lock:
            self._count += lines


LOST = Losses()


class LogSink(io.TextIOBase):
    """A text file whose `write` never blocks and never raises. `stream` None: everything is lost.

    A stream without a file descriptor (a buffer in memory) is written to at once.
    """

    def __init__(self, stream: TextIO | None, losses: Losses = LOST, max_waiting: int = MAX_WAITING_BYTES) -> None:
        super().__init__()
        self._losses = losses
        self._max_waiting = max_waiting
        self._stream = stream
        self._tty = _guarded(lambda: bool(stream is not None and stream.isatty()), False)
        self._descriptor = _guarded(lambda: stream.fileno() if stream is not None else -1, -1)
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._busy = False
        self._unsaid = 0
        self._torn = False
        self.say_losses = _say_losses
        """The line that tells how many were lost."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process = 0

    @property
    def same_process(self) -> bool:
        """False after a fork."""
        return self._process in (0, os.getpid())

    def isatty(self) -> bool:
        return self._tty

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor < 0:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def write(self, text: str, /) -> int:
        """Queue `text`, or lose it."""
        with suppress(Exception):
            if self._descriptor < 0:
                self._write_now(text)
            else:
                self._queue(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Does nothing: the thread writes as soon as it can (`drain` waits for it)."""

    def close(self) -> None:
        """Does nothing: standard streams stay open."""

    def drain(self, seconds: float) -> bool:
        """Wait until everything that was queued is written or lost; False when that takes longer."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._waiting or self._busy:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _write_now(self, text: str) -> None:
        try:
            if self._stream is None:
                raise OSError
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._losses.add(_lines(text.encode()))

    def _queue(self, data: bytes) -> None:
        if not data:
            return
        with self._changed:
            if self._process != os.getpid():  # the first line, or the first after a fork: threads are not forked
                self._begin()
            if self._size + len(data) > self._max_waiting:
                self._lose(data)
                return
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._waiting.clear()
        self._size, self._busy = 0, False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._busy = False
                    self._changed.notify_all()
                    self._changed.wait()  # for the next line
                data = self._waiting.popleft()
                self._size -= len(data)
                self._busy = True
            self._put(data)

    def _put(self, data: bytes) -> None:
        """Write `data` in the sink's thread. Blocks as long as the file does."""
        unsaid = self._unsaid
        try:
            if unsaid:
                self._write_all((b"\n" if self._torn else b"") + self.say_losses(unsaid).encode())
                self._torn = False
                with self._changed:
                    self._unsaid -= unsaid
            self._write_all(data)
        except (OSError, ValueError):
            with self._changed:
                self._lose(data)

    def _lose(self, data: bytes) -> None:
        lines = _lines(data)
        self._unsaid += lines
        self._losses.add(lines)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:  # another process made the shared file non-blocking
                time.sleep(0.05)
            except OSError:
                self._torn = self._torn or len(view) < len(data)
                raise


def _lines(data: bytes) -> int:
    return max(1, data.count(b"\n"))


def _say_losses(lines: int) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return f"{now} [warning  ] log_lines_lost                 count={lines}\n"


def _guarded(ask: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return ask()
    except (OSError, ValueError, AttributeError):
        return otherwise


_sinks: dict[int, LogSink] = {}


def sink_of(stream: TextIO | None) -> LogSink:
    """The sink of a stream: one for each file descriptor. Drained when the process ends."""
    if isinstance(stream, LogSink):
        return stream
    made = LogSink(stream)
    descriptor = _guarded(made.fileno, -1)
    if descriptor < 0:
        return made
    if descriptor in _sinks and _sinks[descriptor].same_process:
        return _sinks[descriptor]
    if not _sinks:
        atexit.register(drain_all)
    _sinks[descriptor] = made
    return made


def has_descriptor(stream: TextIO | None) -> bool:
    """Return True if `stream` is missing or has a file descriptor; False for a buffer in memory."""
    return stream is None or _guarded(stream.fileno, -1) >= 0


def drain_all(seconds: float = EXIT_SECONDS) -> None:
    """Write the lines that still wait in all sinks, for at most `seconds`."""
    until = time.monotonic() + seconds
    for sink in list(_sinks.values()):
        sink.drain(max(0.0, until - time.monotonic()))


def open_missing_descriptors() -> None:
    """Open /dev/null where standard input, output or error is closed: else a database or a socket would get its number,
    and what is printed would be written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
                if opened != descriptor:
                    os.dup2(opened, descriptor)
                    os.close(opened)
