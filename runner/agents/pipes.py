"""Standard input and output of a CLI that speaks JSON lines, while it runs in the session's terminal.

The command is started in the pseudo-terminal like any other, so that its signals, its process group and its end are the
session's; two named pipes in the session's directory take the place of its standard input and output. What it writes
to its standard error still appears in the terminal.
"""

import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import trio

from townwatch.runner.agents import shared_files
from townwatch.runner.agents.adapter import AdapterOff

LINE_BYTES = 64 << 20
"""Longest line that is read: a tool's result with a picture in it is one line."""
_SCRIPT = 'in=$1; out=$2; shift 2; exec "$@" <"$in" >"$out"'


class Pipes:
    """Made by `make`, before the command starts. `close` ends the CLI's standard input."""

    def __init__(self, directory: Path, ends: tuple[int, int]) -> None:
        self._in, self._out = _paths(directory)
        self._to, self._from = (trio.lowlevel.FdStream(one) for one in ends)
        self._turn = trio.Lock()

    @classmethod
    async def make(cls, directory: Path) -> "Pipes":
        """Make both in a directory that is the session's alone. A CLI that starts later finds its other side. Raises
        `OSError`.
        """
        return cls(directory, await trio.to_thread.run_sync(_make, directory))

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` with these pipes."""
        return ["/bin/sh", "-c", _SCRIPT, "sh", str(self._in), str(self._out), *command]

    async def send(self, line: bytes) -> None:
        """Write one line, whole: a cancelled write would leave half a message, so it is finished or the pipe closed."""
        async with self._turn:
            try:
                await self._to.send_all(line + b"\n")
            except BaseException:
                await trio.aclose_forcefully(self._to)
                raise

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The lines that the CLI writes, until cancelled: the session ends with the process. Raises `AdapterOff`."""
        held = bytearray()
        searched = 0
        while True:
            piece = await self._from.receive_some(64 * 1024)
            held += piece
            while (end := held.find(b"\n", searched)) >= 0:
                line, held, searched = bytes(held[:end]), held[end + 1 :], 0
                if line.strip():
                    yield line
            searched = len(held)
            if len(held) > LINE_BYTES:
                raise AdapterOff(f"the CLI wrote a line of more than {LINE_BYTES >> 20} MiB")

    async def close(self) -> None:
        """The CLI reads the end of its input."""
        await trio.aclose_forcefully(self._to)
        await trio.aclose_forcefully(self._from)


def _paths(directory: Path) -> tuple[Path, Path]:
    return directory / "stdin", directory / "stdout"


def _make(directory: Path) -> tuple[int, int]:
    path, other = _paths(directory)
    first = shared_files.open_new_pipe(path)
    try:
        return first, shared_files.open_new_pipe(other)
    except BaseException:
        os.close(first)
        raise
