"""The local keyboard and screen of `townwatch run`: as if nobody stood between them and the command."""

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager

import trio

from runner.lifecycle import NotPossible
from runner.session import Session

END_OF_INPUT = "\x04"
"""What a terminal sends for ^D: how a program hears that piped input is over."""


def size() -> tuple[int, int]:
    """(columns, rows) of the local screen, 80 × 24 where there is none."""
    found = shutil.get_terminal_size((80, 24))
    return found.columns, found.lines


@contextmanager
def raw_keyboard() -> Generator[None, None, None]:
    """Keys come one by one and unechoed; the terminal is put back however the block ends."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def show(text: str) -> None:
    """To the local screen, all of it, in a thread: a screen that scrolls slowly is no reason to stop the loop."""
    await trio.to_thread.run_sync(_write_all, text.encode(errors="replace"))


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BlockingIOError:  # somebody who shares it made it non-blocking
            select.select([], [1], [])
        except OSError:
            return  # who read our output has gone (a closed pipe or window); the session goes on


async def keyboard(session: Session) -> None:
    """What is typed here is typed there, until the input ends."""
    while True:
        data = await _read_input()
        try:
            await session.type(data.decode(errors="replace") if data else END_OF_INPUT)
        except NotPossible:
            return
        if not data:
            return


async def _read_input() -> bytes:
    try:
        await trio.lowlevel.wait_readable(0)
        return os.read(0, 4096)
    except PermissionError:  # epoll takes no regular files: those are always readable
        return await trio.to_thread.run_sync(os.read, 0, 4096)
    except OSError:
        return b""


async def follow_size(session: Session) -> None:
    """The session's terminal is as large as the local one."""
    with trio.open_signal_receiver(signal.SIGWINCH) as signals:
        async for _ in signals:
            session.resize(*size())
