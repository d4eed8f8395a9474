"""The local keyboard and screen of `townwatch run`: as if they were connected to the command directly."""

import os
import select
import signal
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager

import trio

from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.local_modes import LocalModes
from townwatch.runner.session.session import Session

PIPE_SECONDS = 1.0
"""How long a command has to end by SIGPIPE."""
SMALL_BYTES = 1024
"""So much is written without a thread."""
SCREENS = (1, 2, 0)
"""Where to ask for the size: any of the three may be redirected."""


def size() -> tuple[int, int]:
    """(columns, rows) of the local screen, 80 × 24 where there is none. Asked of the terminal itself: COLUMNS and
    LINES in the environment are as old as the shell that set them.
    """
    for descriptor in SCREENS:
        try:
            found = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if found.columns and found.lines:
            return found.columns, found.lines
    return 80, 24


def has_screen() -> bool:
    return os.isatty(1)


def is_interactive() -> bool:
    """Return whether a person's keyboard and screen are here."""
    return os.isatty(0) and os.isatty(1)


def has_keyboard() -> bool:
    return os.isatty(0)


def piped_input() -> int | None:
    """The descriptor of our input where that is no keyboard: the command then reads from it itself, with its own end
    and byte for byte, as it would without us. What is typed on the page still comes to the command's terminal.
    """
    return None if os.isatty(0) else 0


@contextmanager
def raw_keyboard() -> Generator[None, None, None]:
    """Keys come one by one and unechoed; the terminal is put back however the block ends."""
    if not os.isatty(0):
        yield
        return
    descriptor = 0
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)  # not FLUSH: what was typed ahead is the command's
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class LocalScreen:
    """Our output. A terminal ends its lines with CR LF; a file or a pipe gets the LF that the command wrote."""

    def __init__(self) -> None:
        self._plain = not has_screen()
        self._direct = None if self._plain else _unblocked(1)
        self._held = b""
        self.reader_gone = trio.Event()
        """Set when our output is a pipe that is read no more."""
        self._modes = LocalModes()

    async def show(self, data: bytes) -> None:
        """Write all of it. What the terminal does not take at once is written in a thread: a screen that scrolls slowly
        is no reason to stop the loop, and a thread for each of a program's small lines costs more than all else that
        is done with them.
        """
        if self._plain:
            data = self._held + data
            self._held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(self._held)].replace(b"\r\n", b"\n")
        else:
            self._modes.feed(data)
            data = self._write_some(data)
        await self._write(data)

    async def finish(self) -> None:
        """Write what was held back to see whether an LF follows."""
        await self._write(self._held)
        self._held = b""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _write_some(self, data: bytes) -> bytes:
        """Write what is taken without waiting; return the rest."""
        if self._direct is None or len(data) > SMALL_BYTES:
            return data
        try:
            return data[os.write(self._direct, data) :]
        except OSError:  # full, or gone: the thread finds out
            return data

    async def _write(self, data: bytes) -> None:
        if data and not await trio.to_thread.run_sync(_write_all, data, abandon_on_cancel=True):
            self.reader_gone.set()

    async def put_back(self) -> None:
        """Undo what a program that was killed had changed: the alternate screen, the mouse, keys, the hidden cursor."""
        if undo := self._modes.undo():
            await trio.to_thread.run_sync(_write_all, undo)


def _unblocked(descriptor: int) -> int | None:
    """Open the terminal of a descriptor once more, for writes that do not wait: who else has it is not concerned. None
    where that cannot be done.
    """
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None


def _write_all(data: bytes) -> bool:
    """False where it goes into a pipe that is read no more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BlockingIOError:  # another process that shares it made it non-blocking
            select.select([], [1], [])
        except BrokenPipeError:
            return False
        except OSError:
            return True  # a window that was closed; the session goes on
    return True


async def end_with_the_reader(screen: LocalScreen, session: Session) -> None:
    """A command that writes into a pipe that is read no more gets SIGPIPE, as without us; where it goes on, it is
    stopped.
    """
    await screen.reader_gone.wait()
    session.interrupt(signal.SIGPIPE)
    with trio.move_on_after(PIPE_SECONDS):
        await session.over.wait()
    await session.stop(reason="its output is read no more")


async def keyboard(session: Session) -> None:
    """Pass on what is typed here until our terminal is gone. Where input is piped there is no keyboard."""
    await session.started.wait()  # what is typed before waits in our own terminal
    while os.isatty(0):
        try:
            await trio.lowlevel.wait_readable(0)
            data = os.read(0, 4096)
        except BlockingIOError:
            continue
        except OSError:
            return
        if not data:
            return
        try:
            await session.type_bytes(data)
        except NotPossible:
            return


async def follow_size(session: Session) -> None:
    """The session's terminal is as large as the local one."""
    session.local_size = has_screen()
    with trio.open_signal_receiver(signal.SIGWINCH) as signals:
        await session.started.wait()
        session.fit(*size())
        async for _ in signals:
            session.fit(*size())
