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
import termios
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

from townwatch.runner.account import Account, give_up_capabilities
from townwatch.runner.session.processes import name_of, pids, state_of
from townwatch.runner.session.size import Size
from townwatch.runner.session.system import cgroups
from townwatch.runner.session.system.starting import NOT_EXECUTABLE, NOT_FOUND, as_script, why

CHUNK_BYTES = 64 * 1024
"""Largest piece of output that is one event."""
COALESCE_SECONDS = 0.02
"""Pieces come at most so often. What comes after a longer silence, as the echo of a key, is one at once."""
STEADY_SECONDS = 0.05
"""And at most so often where nothing was typed for `TYPED_SECONDS`: each piece is an event, to be stored and shown."""
TYPED_SECONDS = 2.0
MOST_AHEAD = 16
"""Pieces that are read ahead of a change of size; a program that writes on and on is not waited for."""
POLL_SECONDS = 0.02
"""How often to look whether the processes of a session are gone."""
GONE = "ZX"
"""What the kernel says of a process that has ended."""
HALT_SECONDS = 5.0
"""How long to look for processes that a session begins while it is being paused."""
KILL_SECONDS = 10.0
"""How long SIGKILL has to work: a process that waits for a broken disk does not end before the disk answers."""


NO_TERMINAL = "this machine gives no pseudo-terminal: mount devpts at /dev/pts, or raise kernel.pty.max"


class CannotStart(Exception):
    """The command could not be started; the message says why. `code`: what a shell would end with."""

    def __init__(self, message: str, code: int = NOT_FOUND) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen(kw_only=True)
class CommandExit:
    """End of a command: a code, or the signal that killed it."""

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
        """Say it in words."""
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}"
        return "exited by itself" if self.ok else f"exited with code {self.code}"


class Terminal:
    """A running command and the master side of its terminal."""

    def __init__(self, process: trio.Process, master: int, group: cgroups.SessionGroup | None = None) -> None:
        self._process = process
        self._master = master
        self._group = group
        self._closed = False
        self._refused: dict[int, str] = {}
        self.find: Callable[[], list[int]] = lambda: session_members(self.pid)
        """The living processes of the session; its owner may know of more than those on the terminal."""
        self.on_bytes: Callable[[bytes], Awaitable[None]] | None = None
        """Hears every byte at once and as it is: the local screen."""
        self.chunk = CHUNK_BYTES
        """Largest piece of output."""
        self._ahead: deque[bytes | Size] = deque()
        """What was read before a change of size, and the change."""
        self._nap: trio.CancelScope | None = None
        self._given_at = -math.inf
        """When the last piece was complete."""
        self._typed_at = -math.inf
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
        account: Account | None = None,
        session_id: str | None = None,
    ) -> "Terminal":
        """`stdin`: a descriptor to read from instead of the terminal. `account`: the user to execute it as, instead of
        our own. `session_id`: names the group of all its processes, where this system has one. Raises `CannotStart`.
        """
        options: dict[str, Any] = {} if account is None else account.options()
        group = None if session_id is None else await trio.to_thread.run_sync(cgroups.make, session_id)
        options["preexec_fn"] = partial(_take_terminal, group)
        try:
            master, slave = os.openpty()
        except OSError as error:
            if group is not None:
                group.remove()
            raise CannotStart(f"{NO_TERMINAL} ({error.strerror})", NOT_EXECUTABLE) from None
        try:
            _set_size(master, cols, rows)
            if account is not None:
                account.give_terminal(slave)
            options |= {"stdin": slave if stdin is None else stdin, "stdout": slave, "stderr": slave}
            options |= {"cwd": str(cwd), "env": dict(env), "start_new_session": True}
            try:
                process = await trio.lowlevel.open_process(list(command), **options)
            except OSError as error:
                script = as_script(command, cwd, env) if error.errno == errno.ENOEXEC else None
                if script is None:
                    raise
                process = await trio.lowlevel.open_process(script, **options)
        except (OSError, ValueError) as error:
            os.close(master)
            if group is not None:
                group.remove()
            raise CannotStart(*why(command, error)) from None
        finally:
            os.close(slave)
            if group is not None:
                group.begun()
        os.set_blocking(master, False)
        return cls(process, master, group)

    @property
    def pid(self) -> int:
        """Also the id of the process group."""
        return self._process.pid

    async def output(self) -> AsyncIterator[str | Size]:
        """The command's output as text, in pieces, until nothing holds the terminal any more; and the terminal's new
        sizes, each in its place: what comes before it was written before the command could know it.

        Bytes that are no UTF-8 come as U+FFFD; a character split between two reads does not.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            piece = await self._read_piece()
            if text := decoder.decode(piece):
                yield text
            if self._ahead and isinstance(size := self._ahead[0], Size):
                self._ahead.popleft()
                yield size
            elif not piece:
                break
        if rest := decoder.decode(b"", final=True):
            yield rest

    async def _read_piece(self) -> bytes:
        """Read what is there, or comes until the next piece is due; b"" at the end. Only the waiting has a deadline:
        what was read is never lost.
        """
        parts: list[bytes] = []
        length, due = 0, self._given_at + self._pause()
        while length < self.chunk:
            with trio.move_on_at(due if parts else math.inf) as moment:
                await self._until_readable()
            if moment.cancelled_caught:
                break
            if self._ahead:
                if isinstance(self._ahead[0], Size):
                    break
                data = self._ahead.popleft()
                assert isinstance(data, bytes)
            else:
                data = self._read_all(self.chunk - length)
            if data is None:
                continue
            if not data:
                break
            if self.on_bytes is not None:
                await self.on_bytes(data)
            parts.append(data)
            length += len(data)
        self._given_at = trio.current_time()
        return b"".join(parts)

    def _pause(self) -> float:
        steady = trio.current_time() - self._typed_at > TYPED_SECONDS
        return STEADY_SECONDS if steady else COALESCE_SECONDS

    async def _until_readable(self) -> None:
        if self._closed or self._ahead:
            return
        self.idle = True
        try:
            with trio.CancelScope() as self._nap:
                await trio.lowlevel.wait_readable(self._master)
        except trio.ClosedResourceError:
            return
        finally:
            self.idle = False

    def _read_all(self, limit: int) -> bytes | None:
        """Read what is there: the kernel gives out 4 KiB at a time. b"" at the end, None where there is nothing."""
        first = self._read(limit)
        if not first:
            return first
        parts, length = [first], len(first)
        while length < limit and (more := self._read(limit - length)):
            parts.append(more)
            length += len(more)
        return b"".join(parts)

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
        """Type into it. What no program reads from the terminal within 5 s is dropped."""
        self._typed_at = trio.current_time()
        with trio.move_on_after(5):
            while data and not self._closed:
                try:
                    data = data[os.write(self._master, data[:4096]) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._master)
                except OSError:
                    return  # it has ended; the exit is told elsewhere

    def resize(self, cols: int, rows: int) -> None:
        """The kernel sends SIGWINCH to the foreground group. What was written until now comes before the new size."""
        if self._closed:
            return
        while len(self._ahead) < MOST_AHEAD and (data := self._read(CHUNK_BYTES)):
            self._ahead.append(data)
        if self._ahead and isinstance(self._ahead[-1], Size):  # nothing was written in between
            self._ahead.pop()
        self._ahead.append(Size(cols, rows))
        _set_size(self._master, cols, rows)
        if self._nap is not None:
            self._nap.cancel()

    async def wait(self) -> CommandExit:
        """Wait for the command itself to end."""
        code = await self._process.wait()
        return CommandExit(code=code) if code >= 0 else CommandExit(signal=-code)

    def members(self) -> list[int]:
        """The processes of the session that we may end: the command and all it started, wherever they went."""
        return [pid for pid in self.find() if pid not in self._refused]

    def left_running(self) -> str:
        """Those that could not be ended, and why; empty where none is left."""
        left = [f"{name_of(pid)} ({pid}), {self._refused.get(pid, 'it does not end')}" for pid in self.find()]
        return ", ".join(left)

    def signal(self, number: int) -> None:
        """Signal every process of the session."""
        self._signal(number, self.members())

    async def halt(self, wanted: Callable[[], bool]) -> None:
        """SIGSTOP to every process of the session, and to those that it begins meanwhile, as long as it is `wanted`."""
        with trio.move_on_after(HALT_SECONDS):
            while wanted() and (running := [pid for pid in self.members() if not _stands_still(pid)]):
                self._signal(signal.SIGSTOP, running)
                await trio.sleep(POLL_SECONDS)

    def _signal(self, number: int, pids: Sequence[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # ended meanwhile
                continue
            except PermissionError:
                self._refused[pid] = "not permitted"

    def interrupt(self, number: int) -> None:
        """Signal the terminal's foreground process group, as ^C does."""
        with suppress(OSError):  # it has ended
            os.killpg(os.tcgetpgrp(self._master), number)

    async def end(self, grace: float) -> None:
        """SIGTERM (and SIGHUP, which interactive shells heed) to all, SIGKILL after `grace` seconds to who is left."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGHUP)
        self.signal(signal.SIGCONT)  # who is stopped cannot hear the others
        with trio.move_on_after(grace):
            await self._until_gone()
        with trio.CancelScope(shield=True), trio.move_on_after(KILL_SECONDS):
            if self._group is not None:
                self._group.kill()
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
            if self._group is not None:
                self._group.remove()


def signal_name(number: int) -> str:
    """SIGTERM for 15; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def session_members(leader: int) -> list[int]:
    """The living processes of a terminal's session, by the id of its leader."""
    return [pid for pid in sorted(pids()) if _session_of(pid) == leader and state_of(pid) not in GONE]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _stands_still(pid: int) -> bool:
    return state_of(pid) in f"T{GONE}"


def _take_terminal(group: cgroups.SessionGroup | None) -> None:
    """Make the slave on stdout the controlling terminal; runs in the child, after setsid()."""
    if group is not None:
        group.enter()
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    _take_all_signals()
    give_up_capabilities()


def _take_all_signals() -> None:
    """Undo what was ignored or blocked where the runner was started (`nohup`, a job of a script): in a terminal of its
    own, a command is stopped by Ctrl+C and ends when the terminal hangs up.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _set_size(descriptor: int, cols: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
