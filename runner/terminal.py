"""A command in a pseudo-terminal of its own, in a process group of its own.

The child is the leader of a new session and the terminal is its controlling terminal, so that job control, ^C and
SIGWINCH work as in any terminal, and the whole group can be ended at once.
"""

import codecs
import errno
import fcntl
import math
import os
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import psutil
import trio

CHUNK_BYTES = 64 * 1024
"""Largest piece of output that is one event."""
COALESCE_SECONDS = 0.02
"""Output within this time of the first byte is one piece."""
POLL_SECONDS = 0.02
"""How often to look whether the processes of a session are gone."""


class CannotStart(Exception):
    """The command could not be started; the message says why."""


@attrs.frozen(kw_only=True)
class Exit:
    """How a command ended: a code, or the signal that killed it."""

    code: int | None = None
    signal: int | None = None

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def shell_code(self) -> int:
        """As a shell says it: 128 + n for signal n."""
        return self.code if self.code is not None else 128 + (self.signal or 0)

    @property
    def reason(self) -> str:
        """In words, true ones."""
        if self.signal is not None:
            return f"killed by {signal.Signals(self.signal).name}"
        return "exited by itself" if self.ok else f"exited with code {self.code}"


class Terminal:
    """A running command and the master side of its terminal."""

    def __init__(self, process: trio.Process, master: int) -> None:
        self._process = process
        self._master = master
        self._closed = False
        self.on_bytes: Callable[[bytes], Awaitable[None]] | None = None
        """Hears every byte at once and as it is: the local screen."""
        self.idle = False
        """Whether nothing is there to be read at this moment."""

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        cols: int = 80,
        rows: int = 24,
        stdin: int | None = None,
    ) -> "Terminal":
        """`stdin`: a descriptor to read from instead of the terminal. Raises `CannotStart`."""
        master, slave = os.openpty()
        try:
            _set_size(master, cols, rows)
            process = await trio.lowlevel.open_process(
                list(command),
                stdin=slave if stdin is None else stdin,
                stdout=slave,
                stderr=slave,
                cwd=str(cwd),
                env=dict(env),
                start_new_session=True,
                preexec_fn=_take_terminal,
            )
        except (OSError, ValueError) as error:
            os.close(master)
            what = getattr(error, "strerror", None) or str(error)
            raise CannotStart(f"{command[0] if command else 'an empty command'}: {what}") from None
        finally:
            os.close(slave)
        os.set_blocking(master, False)
        return cls(process, master)

    @property
    def pid(self) -> int:
        """Also the id of the process group."""
        return self._process.pid

    async def output(self) -> AsyncIterator[str]:
        """The command's output as text, in pieces, until nothing holds the terminal any more.

        Bytes that are no UTF-8 come as U+FFFD; a character split between two reads does not.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while piece := await self._read_piece():
            text = decoder.decode(piece)
            if text:
                yield text
        if rest := decoder.decode(b"", final=True):
            yield rest

    async def _read_piece(self) -> bytes:
        """What comes within a moment of the first byte; b"" at the end. Only the waiting has a deadline: what was read
        is never lost.
        """
        parts: list[bytes] = []
        length, deadline = 0, math.inf
        while length < CHUNK_BYTES:
            with trio.move_on_at(deadline) as moment:
                await self._until_readable()
            if moment.cancelled_caught:
                break
            data = self._read(CHUNK_BYTES - length)
            if data is None:
                continue
            if not data:
                break
            if self.on_bytes is not None:
                await self.on_bytes(data)
            deadline = min(deadline, trio.current_time() + COALESCE_SECONDS)
            parts.append(data)
            length += len(data)
        return b"".join(parts)

    async def _until_readable(self) -> None:
        if self._closed:
            return
        self.idle = True
        try:
            await trio.lowlevel.wait_readable(self._master)
        except trio.ClosedResourceError:
            return
        finally:
            self.idle = False

    def _read(self, limit: int) -> bytes | None:
        """b"" at the end, None where there is nothing after all."""
        if self._closed:
            return b""
        try:
            return os.read(self._master, limit)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:  # Linux: the last holder of the other side is gone
                return b""
            raise

    async def write(self, data: bytes) -> None:
        """Type into it. What a terminal that nobody reads does not take within 5 s is dropped."""
        with trio.move_on_after(5):
            while data and not self._closed:
                try:
                    data = data[os.write(self._master, data[:4096]) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._master)
                except OSError:
                    return  # it has ended; the exit is told elsewhere

    def resize(self, cols: int, rows: int) -> None:
        """The kernel sends SIGWINCH to the foreground group."""
        if not self._closed:
            _set_size(self._master, cols, rows)

    async def wait(self) -> Exit:
        """Until the command itself has ended."""
        code = await self._process.wait()
        return Exit(code=code) if code >= 0 else Exit(signal=-code)

    def members(self) -> list[int]:
        """The processes of the terminal's session: the command and all it started, in whatever process group."""
        return session_members(self.pid)

    def signal(self, number: int) -> None:
        """To everybody in the terminal's session."""
        for pid in self.members():
            with suppress(ProcessLookupError, PermissionError):  # ended meanwhile, or became somebody else's
                os.kill(pid, number)

    def interrupt(self, number: int) -> None:
        """To the terminal's foreground process group, as ^C does."""
        with suppress(OSError):  # it has ended
            os.killpg(os.tcgetpgrp(self._master), number)

    async def end(self, grace: float) -> None:
        """SIGTERM (and SIGHUP, which interactive shells heed) to all, SIGKILL after `grace` seconds to who is left."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGHUP)
        self.signal(signal.SIGCONT)  # who is stopped cannot hear the others
        with trio.move_on_after(grace):
            await self._until_gone()
        with trio.CancelScope(shield=True):  # no deadline: only a broken kernel survives SIGKILL
            while self.members():
                self.signal(signal.SIGKILL)
                await trio.sleep(POLL_SECONDS)

    async def _until_gone(self) -> None:
        while self.members():  # noqa: ASYNC110 - the kernel offers no event for a whole session
            await trio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Hang up. The second time does nothing."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._master)
            os.close(self._master)


def terminal_environment() -> dict[str, str]:
    """Our own, with a terminal's name, and with the `townwatch` command at the end of the path."""
    environ = dict(os.environ)
    environ.setdefault("TERM", "xterm-256color")
    environ["PATH"] = os.pathsep.join([environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return environ


def session_members(leader: int) -> list[int]:
    """The living processes of a terminal's session, by the id of its leader."""
    return [pid for pid in psutil.pids() if _session_of(pid) == leader and not _is_zombie(pid)]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _take_terminal() -> None:
    """In the child, after setsid(): make the slave on stdout the controlling terminal."""
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


def _set_size(descriptor: int, cols: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
