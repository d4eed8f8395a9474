"""Differences of a working tree from a commit, as git says it without reading the repository's configuration.

git is given a directory of ours in place of the repository's: its objects and its index are used as they are, its
configuration and its hooks are not there. So filters, text converters, monitors, aliases and hooks that the repository
names cannot be run, whenever they are written.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import trio

from townwatch.contracts.events import DiffFile
from townwatch.runner.account import let_read
from townwatch.runner.observers.git import git
from townwatch.runner.observers.repository import Repository, configuration
from townwatch.runner.reading import as_acting, read_file

COUNTED_BYTES = 1 << 20
"""A new file larger than this counts as one line: reading it would cost more than the number is worth."""
COUNTED_FILES = 20_000
"""New files whose lines are counted; of those beyond, only the number is known."""
_PLAIN_SETTINGS = frozenset(
    "core.autocrlf core.eol core.filemode core.symlinks core.ignorecase core.precomposeunicode core.checkstat"
    " core.trustctime core.excludesfile extensions.objectformat".split()
)
"""Settings of the repository that say how its files are stored, and name no program."""
THREADS = trio.CapacityLimiter(4)
"""Threads of the observers: however slow a disk is, the spool and the link have theirs."""

FileStatus = Literal["added", "modified", "deleted", "renamed"]
_STATUS: dict[str, FileStatus] = {"A": "added", "C": "added", "D": "deleted", "R": "renamed"}


@attrs.frozen
class Differences:
    """All files that differ, by path (bytes that are no UTF-8 as surrogates), in order. `uncounted`: new files whose
    lines were not counted. `new`: those that git does not know. `old_paths`: of those that were renamed.
    """

    files: dict[str, DiffFile]
    uncounted: int = 0
    new: frozenset[str] = frozenset()
    old_paths: dict[str, str] = attrs.field(factory=dict[str, str])


class Shadow:
    """git on one working tree, without its configuration. `close` removes the directory that it made."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._directory: Path | None = None

    async def ignored(self, paths: list[str]) -> set[str]:
        """Return those of the paths (relative to the top) that git ignores. Raises `GitError`."""
        if not paths:
            return set()
        feed = b"\0".join(os.fsencode(path) for path in paths) + b"\0"
        out = await self._git("check-ignore", "-z", "--stdin", feed=feed, ok=(0, 1))
        return {os.fsdecode(path) for path in out.split(b"\0") if path}

    async def head(self) -> str:
        """The commit that is checked out; the empty tree's name before the first. Raises `GitError`."""
        where = f"--git-dir={self.repository.git_dir}"
        out = await git(self.repository.top, where, "rev-parse", "--verify", "-q", "HEAD^{commit}", ok=(0, 1))
        return out.decode().strip() or (await self._git("hash-object", "-t", "tree", "--stdin")).decode().strip()

    async def differences(self, base: str) -> Differences:
        """All that differs from `base`, new files that are not ignored included. Raises `GitError`."""
        out = await self._git(
            "diff", "--raw", "--numstat", "-z", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames",
            "--ignore-submodules=dirty", base, "--",
        )  # fmt: skip
        files, old_paths = parse_diff(out)
        listed = (await self._git("ls-files", "--others", "--exclude-standard", "-z")).split(b"\0")
        new = [path for raw in listed if raw and (path := os.fsdecode(raw)) not in files]
        top = self.repository.top

        def count() -> list[int | None]:
            with as_acting():
                return [count_lines(top / path) for path in new[:COUNTED_FILES]]

        counts = await trio.to_thread.run_sync(count, limiter=THREADS, abandon_on_cancel=True)
        counts += [None] * (len(new) - len(counts))
        files |= {path: _file(path, "added", lines or 0, 0) for path, lines in zip(new, counts, strict=True)}
        uncounted = counts.count(None)
        return Differences(dict(sorted(files.items())), uncounted, frozenset(new), old_paths)

    async def patches(self, base: str, paths: Sequence[str]) -> list[bytes]:
        """The text of what differs from `base` in these files, a part for each in the order of their names; fewer or
        more where git sees another number of changes. Raises `GitError`.
        """
        out = await self._git(
            "--literal-pathspecs", "diff", "-p", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames",
            "--ignore-submodules=dirty", "--src-prefix=a/", "--dst-prefix=b/", base, "--", *paths,
        )  # fmt: skip
        return parts_of(out)

    async def patch_between(self, before: Path, after: Path) -> bytes:
        """The text of what differs between two files that need not be in the repository. Raises `GitError`."""
        return await self._git(
            "diff", "--no-index", "-p", "--no-ext-diff", "--no-textconv", "--no-color", "--", str(before), str(after),
            ok=(0, 1),
        )  # fmt: skip

    async def lines_between(self, before: Path, after: Path) -> tuple[int, int]:
        """(added, removed) between two files that need not be in the repository. Raises `GitError`."""
        out = await self._git(
            "diff", "--no-index", "--numstat", "-z", "--no-ext-diff", "--no-textconv", "--", str(before), str(after),
            ok=(0, 1),
        )  # fmt: skip
        added, removed, _ = out.decode(errors="replace").split("\t", 2) if out else ("0", "0", "")
        return int(added) if added.isdigit() else 0, int(removed) if removed.isdigit() else 0

    async def _git(self, *arguments: str, feed: bytes = b"", ok: tuple[int, ...] = (0,)) -> bytes:
        if self._directory is None:
            self._directory = await trio.to_thread.run_sync(self._make, limiter=THREADS)
        repository = self.repository
        env = {
            "GIT_DIR": str(self._directory),
            "GIT_WORK_TREE": str(repository.top),
            "GIT_INDEX_FILE": str(repository.git_dir / "index"),
            "GIT_OBJECT_DIRECTORY": str(repository.common_dir / "objects"),
        }
        return await git(repository.top, *arguments, feed=feed, ok=ok, env=env)

    def _make(self) -> Path:
        """The directory that git takes for the repository's."""
        repository = self.repository
        made = Path(tempfile.mkdtemp(prefix="townwatch-git-"))
        (made / "refs").mkdir()
        (made / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
        with as_acting():
            values = {name: value for name, value in configuration(repository).items() if name in _PLAIN_SETTINGS}
            shared = list(repository.git_dir.glob("sharedindex.*"))
        version = 1 if "extensions.objectformat" in values else 0
        lines = [f"[core]\n\trepositoryformatversion = {version}\n\tbare = false\n"]
        for name, value in values.items():
            section, _, key = name.partition(".")
            lines.append(f"[{section}]\n\t{key} = {_quoted(value)}\n")
        (made / "config").write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
        (made / "info").mkdir()
        (made / "info" / "exclude").symlink_to(repository.common_dir / "info" / "exclude")
        for one in shared:
            (made / one.name).symlink_to(one)
        let_read(made, *made.rglob("*"))
        return made

    def close(self) -> None:
        """Remove what was made."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _file(path: str, status: FileStatus, additions: int, deletions: int) -> DiffFile:
    return DiffFile(path=shown(path), status=status, additions=additions, deletions=deletions)


def shown(path: str) -> str:
    """A path as it can be told: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode(errors="replace")


def parts_of(patch: bytes) -> list[bytes]:
    """A patch in its parts, each of which begins with ``diff --git``: lines of files begin with another character."""
    parts = (b"\n" + patch).split(b"\ndiff --git ")[1:]
    return [b"diff --git " + part + b"\n" for part in parts]


def parse_diff(out: bytes) -> tuple[dict[str, DiffFile], dict[str, str]]:
    r"""Path → change and, of what was renamed, path → old path, of ``git diff --raw --numstat -z``: first a record
    ``:MODES NAMES STATUS\0PATH\0`` for each file, then ``ADDED\tREMOVED\tPATH\0``; a rename has two paths; what is
    binary is counted as -.

    >>> parse_diff(b":100644 100644 1 2 R90\0old\0new\0" b"3\t1\t\0old\0new\0")[1]
    {'new': 'old'}
    """
    old_paths: dict[str, str] = {}
    fields = iter(out.decode(errors="surrogateescape").split("\0"))
    statuses: dict[str, FileStatus] = {}
    counts: dict[str, tuple[int, int]] = {}
    for field in fields:
        if field.startswith(":"):
            code = field.rsplit(" ", 1)[1]
            path = next(fields)
            if code[0] in "RC":
                old = path
                path = next(fields)
                if code[0] == "R":
                    old_paths[path] = old
            statuses[path] = _STATUS.get(code[0], "modified")
        elif field:
            added, removed, path = field.split("\t", 2)
            if not path:
                next(fields)
                path = next(fields)
            counts[path] = (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0)
    return {path: _file(path, status, *counts.get(path, (0, 0))) for path, status in statuses.items()}, old_paths


def count_lines(path: Path) -> int | None:
    """The lines of a new file; 1 for a link or a large one, 0 for one that was deleted meanwhile, None for what cannot
    be read.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > COUNTED_BYTES:
            return 1
        data = read_file(path, most=COUNTED_BYTES, follow=False)
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
