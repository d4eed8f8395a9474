"""Read a file of JSON lines that another program is writing, as it grows."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import trio

from townwatch.runner.agents import shared_files
from townwatch.runner.agents.shape import Json, ShapeError, mapping

LOOK_SECONDS = 0.1
LINE_BYTES = 64 << 20


def read_from(path: Path, offset: int) -> bytes:
    """Return what is in the file after an offset; nothing where there is no file yet."""
    try:
        return shared_files.read(path, offset, 1 << 20)
    except FileNotFoundError:
        return b""


async def json_lines(path: Path) -> AsyncGenerator[Json, None]:
    """The objects of the file, one a line, until cancelled. Raises `ShapeError` for a line that is none."""
    offset, held = 0, b""
    while True:
        piece = await trio.to_thread.run_sync(read_from, path, offset)
        offset += len(piece)
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield _object(line)
        if len(held) > LINE_BYTES:
            raise ShapeError(f"a line of more than {LINE_BYTES >> 20} MiB")
        if not piece:
            await trio.sleep(LOOK_SECONDS)


def _object(line: bytes) -> Json:
    try:
        return mapping(json.loads(line), "line")
    except ValueError:
        raise ShapeError("line: JSON is expected") from None
