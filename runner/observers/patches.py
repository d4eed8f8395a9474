"""The text of what a session changed: the hunks of each file, masked and bounded, from one state of the tree."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import attrs
import trio

from townwatch.contracts.events import DiffFile
from townwatch.contracts.lists import FileDiff
from townwatch.runner.observers.baseline import Baseline
from townwatch.runner.observers.differences import COUNTED_BYTES, THREADS, Differences, Shadow, parts_of
from townwatch.runner.observers.git import GitError
from townwatch.runner.reading import as_acting, read_file

BATCH_FILES = 100
"""Files that one git is asked for."""
LINE_CHARS = 2000
"""A longer line is cut."""
_SPARE = 64 << 10
"""Read beyond what is shown: a secret is masked before the text is cut."""
_NUL_WITHIN = 8000
"""A NUL so early says that a file is binary, as to git."""
_PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}
"""Control characters are shown, never acted on."""

CleanLines = Callable[[Sequence[str]], list[str]]
"""Masks the lines of one text."""
Side = Literal["-", "+"]


@attrs.frozen
class TextLimits:
    """Limits of text: bytes of one file and of all, and files."""

    file: int
    all: int
    files: int


LISTED = TextLimits(200_000, 1_000_000, 300)
"""Of an answer about all files."""
ALONE = TextLimits(1_000_000, 1_000_000, 1)
"""Of an answer about one."""
KEPT = TextLimits(64_000, 256_000, 500)
"""Of what is kept of a session that has ended."""


@attrs.frozen
class Hunks:
    """A file's hunks as git gives them. `text` None: binary, or more than is read."""

    text: str | None
    binary: bool = False
    unread: bool = False

    def counts(self) -> tuple[int, int]:
        """(added, removed) lines."""
        lines = (self.text or "").split("\n")
        return sum(line[:1] == "+" for line in lines), sum(line[:1] == "-" for line in lines)


async def file_diffs(
    shadow: Shadow,
    baseline: Baseline,
    found: Differences,
    own: dict[str, DiffFile],
    clean: CleanLines,
    room: TextLimits,
) -> tuple[list[FileDiff], bool]:
    """The files of `own` with their text as far as there is room; and whether all text is of the state that was
    counted, for a file may change between the two. Raises `GitError`.
    """
    wanted = list(own)[: room.files]
    hunks = await _hunks(shadow, baseline, found, wanted)
    diffs: list[FileDiff] = []
    left, same = room.all, True
    for path, file in own.items():
        known = hunks.get(path, Hunks(None, unread=True))
        same = same and (known.text is None or known.counts() == (file.additions, file.deletions))
        text, cut = None, known.text is None and not known.binary
        if known.text is not None:
            masked = await trio.to_thread.run_sync(_masked, known.text, clean, min(room.file, left), limiter=THREADS)
            text, cut = masked
            left -= len(text.encode(errors="replace"))
        old = found.old_paths.get(path)
        diffs.append(
            FileDiff(
                path=file.path,
                old_path=old if old is None else os.fsencode(old).decode(errors="replace"),
                status=file.status,
                additions=file.additions,
                deletions=file.deletions,
                patch=text or (None if cut else text),
                binary=known.binary,
                truncated=cut,
            )
        )
    return diffs, same


async def _hunks(shadow: Shadow, baseline: Baseline, found: Differences, paths: Sequence[str]) -> dict[str, Hunks]:
    """Path → its hunks."""
    hunks: dict[str, Hunks] = {}
    tracked: list[str] = []
    top = shadow.repository.top
    for path in paths:
        if (before := baseline.before(path)) is not None:
            hunks[path] = await _since_found(shadow, before, top / path)
        elif path in found.new:
            hunks[path] = await trio.to_thread.run_sync(_new_file, top / path, limiter=THREADS, abandon_on_cancel=True)
        elif path in found.files:
            tracked.append(path)
        else:
            hunks[path] = Hunks(None, unread=True)
    tracked.sort(key=os.fsencode)  # as git lists them
    for at in range(0, len(tracked), BATCH_FILES):
        hunks |= await _of_tracked(shadow, baseline.base, found, tracked[at : at + BATCH_FILES])
    return hunks


async def _since_found(shadow: Shadow, before: Path, after: Path) -> Hunks:
    """The hunks between a file as the session found it and as it is now."""
    try:
        there = await trio.to_thread.run_sync(os.path.lexists, after, limiter=THREADS)
        return _read(await shadow.patch_between(before, after if there else Path("/dev/null")))
    except GitError:
        return Hunks(None, unread=True)


def _is_of(part: bytes, path: str) -> bool:
    """Return whether a part of a patch names this file; a name that git quotes is not looked for."""
    return os.fsencode(path) in part.partition(b"\n@@ ")[0]


async def _of_tracked(shadow: Shadow, base: str, found: Differences, paths: list[str]) -> dict[str, Hunks]:
    """All at once; in halves where that is too much, or where it is not clear which text is whose."""
    asked = [one for path in paths for one in (found.old_paths.get(path), path) if one is not None]
    try:
        texts = await shadow.patches(base, asked)
    except GitError:
        if len(paths) == 1:
            return {paths[0]: Hunks(None, unread=True)}
        texts = None
    if texts is not None and len(paths) == 1:
        return {paths[0]: _read(b"".join(texts))}
    if texts is not None and len(texts) == len(paths) and all(map(_is_of, texts, paths)):
        return {path: _read(text) for path, text in zip(paths, texts, strict=True)}
    middle = len(paths) // 2
    halves = [await _of_tracked(shadow, base, found, half) for half in (paths[:middle], paths[middle:]) if half]
    return {path: hunks for half in halves for path, hunks in half.items()}


def _read(patch: bytes) -> Hunks:
    """The hunks of a patch of one file (of two parts where it became a link)."""
    kept: list[str] = []
    binary = False
    for chunk in parts_of(patch):
        header, mark, hunks = chunk.partition(b"\n@@ ")
        binary = binary or b"\nBinary files " in header
        if mark:
            kept.append("@@ " + hunks.rstrip(b"\n").decode(errors="replace") + "\n")
    return Hunks(None if binary else "".join(kept), binary)


def _new_file(path: Path) -> Hunks:
    """The hunks of a file that git does not know, read with the rights of the session's user."""
    try:
        with as_acting():
            if path.is_symlink():
                data = os.fsencode(path.readlink())
            elif not path.is_file() or path.stat().st_size > COUNTED_BYTES:
                return Hunks(None, unread=True)
            else:
                data = read_file(path, most=COUNTED_BYTES, follow=False)
    except OSError:
        return Hunks(None, unread=True)
    if b"\0" in data[:_NUL_WITHIN]:
        return Hunks(None, binary=True)
    lines = data.decode(errors="replace").split("\n")
    if lines[-1] == "":
        lines.pop()
        ending = ""
    else:
        ending = "\\ No newline at end of file\n"
    if not lines:
        return Hunks("")
    return Hunks(f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}\n" for line in lines) + ending)


def _masked(text: str, clean: CleanLines, room: int) -> tuple[str, bool]:
    """The text without secrets and without controls, at most `room` bytes of whole lines; whether it was cut."""
    cut = len(text) > room + _SPARE
    lines = text[: room + _SPARE].split("\n")[: -1 if cut else None]
    shown = _without_secrets(lines, clean)
    kept: list[str] = []
    for line in shown:
        if len(line) > LINE_CHARS:
            line, cut = line[:LINE_CHARS] + "…", True
        line = line.translate(_PICTURES)
        room -= len(line.encode(errors="replace")) + 1
        if room < 0:
            return "".join(f"{one}\n" for one in kept), True
        kept.append(line)
    while kept and kept[-1] == "":
        kept.pop()
    return "".join(f"{one}\n" for one in kept), cut


def _without_secrets(lines: list[str], clean: CleanLines) -> list[str]:
    """Both sides are searched as the texts that they are: a key of many lines is one in the file, not in the patch."""
    shown = list(lines)
    for side in ("-", "+"):
        places = list(_of_side(lines, side))
        for place, text in zip(places, clean([lines[place][1:] for place in places]), strict=True):
            if text != lines[place][1:]:
                shown[place] = lines[place][0] + text
    return shown


def _of_side(lines: list[str], side: Side) -> Iterator[int]:
    """The numbers of the lines that the file has before (-) or after (+), and of the headings of hunks, which quote
    it.
    """
    for number, line in enumerate(lines):
        if line[:1] in (" ", side, "@"):
            yield number
