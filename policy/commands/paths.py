"""Paths: made absolute, links resolved by facts that the caller gives, compared with patterns. Pure."""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

import attrs

from townwatch.policy.globs import Glob, Wild, compile_glob
from townwatch.policy.shell.expansion import ANY, NUMBER, PRIVATE, SET, STAR, UNKNOWN

_MAX_LINKS = 40
_ROOTS = re.compile(r"/proc/(?:self|thread-self|\d+|\ue000)/(?:task/[^/]+/)?root")
_DIRECTORIES = re.compile(r"/proc/(?:self|thread-self|\d+|\ue000)/(?:task/[^/]+/)?cwd")


def _pieces(path: str) -> list[str]:
    """Return the names of a path, the last one first."""
    return [piece for piece in reversed(path.split("/")) if piece not in ("", ".")]


@attrs.frozen
class Place:
    """The place that a command runs in, and facts about its file system."""

    root: str = "/work/app"
    directory: str = "/work/app"
    home: str = "/home/dev"
    user: str = "dev"
    links: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Absolute path → absolute target of each symbolic link that matters."""
    files: frozenset[str] = frozenset()
    """Absolute paths that are known to exist."""
    fold_case: bool = False
    exists: Callable[[str], bool] | None = None
    """Tells whether a path exists, where the caller can look; else `files` is all that is known."""

    def absolute(self, text: str, directory: str) -> str:
        """Return the path that a program opens for a word, links resolved, case folded where the file system does."""
        path = self._walked(text, directory) if text else directory
        return path.casefold() if self.fold_case else path

    def _walked(self, text: str, directory: str) -> str:
        """Go along a path as the kernel does, one name at a time: ``..`` behind a link goes up from its target."""
        current = "/" if text.startswith("/") else posixpath.normpath(directory)
        left = _pieces(text)
        followed = 0
        while left:
            piece = left.pop()
            if piece == "..":
                current = posixpath.dirname(current)
                continue
            current = posixpath.join(current, piece)
            target = self._target(current, directory)
            if target is None:
                continue
            followed += 1
            if followed > _MAX_LINKS:  # the kernel opens nothing then
                return posixpath.normpath(posixpath.join(current, *reversed(left)))
            current = "/" if target.startswith("/") else posixpath.dirname(current)
            left += _pieces(target)
        return current

    def _target(self, path: str, directory: str) -> str | None:
        """Return where a link leads; None for what is none."""
        if path.startswith("/proc/"):
            if _ROOTS.fullmatch(path):
                return "/"
            if _DIRECTORIES.fullmatch(path):
                return directory
        return self.links.get(path) if self.links else None

    def inside(self, path: str) -> bool:
        """Return True for a path in the workspace, but not in its .git."""
        root = self.root.casefold() if self.fold_case else self.root
        if path != root and not path.startswith(root.rstrip("/") + "/"):
            return False
        return ".git" not in path[len(root) :].casefold().split("/")

    def pattern(self, glob: str) -> str:
        """Return a pattern of a rule as an absolute one."""
        if glob in ("~", "$HOME") or glob.startswith(("~/", "$HOME/")):
            glob = self.home + glob.partition("/")[1] + glob.partition("/")[2]
        if not glob.startswith(("/", "**")):
            glob = posixpath.normpath(posixpath.join(self.root, glob))
        return glob.casefold() if self.fold_case else glob


@lru_cache(maxsize=4096)
def tokens(text: str, *, rule: bool) -> tuple[str, ...]:
    """Return a pattern as tokens: a literal character, ``?`` as `ANY`, ``*`` as `STAR`, any run as `UNKNOWN`."""
    out: list[str] = []
    index = 0
    while index < len(text):
        if rule and text.startswith("**/", index):
            out.append("\ue004")  # any directories, none too
            index += 3
        elif rule and text.startswith("**", index):
            out.append(UNKNOWN)
            index += 2
        elif rule and text[index] == "*":
            out.append(STAR)
            index += 1
        elif rule and text[index] == "?":
            out.append(ANY)
            index += 1
        else:
            out.append(text[index])
            index += 1
    return tuple(out)


_WILD = {"\ue004": Wild("folders"), UNKNOWN: Wild("all"), STAR: Wild("star"), ANY: Wild("any")}


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Glob:
    return compile_glob(tuple(_WILD.get(token, token) for token in tokens(pattern, rule=True)))


def matches(pattern: str, path: str) -> bool:
    """Return True where a known path matches a pattern: ``*`` within a name, ``**`` over directories."""
    if pattern.endswith("/**") and path == pattern[:-3]:
        return True
    if pattern.startswith("**/") and path.startswith("/"):
        return _glob(pattern).matches(path) or _glob(pattern).matches(path[1:])
    return _glob(pattern).matches(path)


def may_match(pattern: str, path: str) -> bool:
    """Return True where a path that is partly unknown may match a pattern."""
    if PRIVATE.search(path) is None:
        return matches(pattern, path)
    if len(path) > 400:
        return True
    path = path.replace(NUMBER, UNKNOWN)
    if _meet(tokens(pattern, rule=True), tokens(path.replace("//", "/"), rule=False)):
        return True
    return pattern.endswith("/**") and _meet(tokens(pattern[:-3], rule=True), tokens(path, rule=False))


def _meet(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Return True where some text matches both patterns. `a` is the rule's, `b` the shell's: no leading dot."""
    seen: set[tuple[int, int]] = set()
    open_ = [(0, 0)]
    while open_:
        i, j = open_.pop()
        if (i, j) in seen:
            continue
        seen.add((i, j))
        if i == len(a) and j == len(b):
            return True
        x = a[i] if i < len(a) else ""
        y = b[j] if j < len(b) else ""
        start = j == 0 or b[j - 1] == "/"
        if x in (UNKNOWN, STAR, "\ue004"):
            open_.append((i + 1, j))
        if y in (UNKNOWN, STAR):
            open_.append((i, j + 1))
        if not x or not y:
            continue
        if x in (UNKNOWN, "\ue004"):  # eats whatever the other one is
            open_.append((i, j + 1))
        if y == UNKNOWN:
            open_.append((i + 1, j))
        if x == STAR and y != "/":
            open_.append((i, j + 1))
        if y == STAR and x != "/" and not (start and x == "."):
            open_.append((i + 1, j))
        if x == y or (x == ANY and y != "/") or (y in (ANY, SET) and x != "/" and not (start and x == ".")):
            open_.append((i + 1, j + 1))
    return False


def is_parent(pattern: str, path: str) -> bool:
    """Return True where something under a directory may match a pattern."""
    if pattern.startswith("**"):
        return True
    fixed = re.split(r"[*?]", pattern, maxsplit=1)[0]
    base = path.rstrip("/") + "/"
    if PRIVATE.search(path) is not None:
        return may_match(pattern, path + "/" + UNKNOWN) or may_match(path, fixed)
    return fixed.startswith(base) or (base.startswith(fixed) and pattern != fixed) or may_match(pattern, base + UNKNOWN)


def folds_to(pattern: str, path: str) -> bool:
    """Return True for a path that matches only after Unicode normalisation: some file systems do that."""
    folded = unicodedata.normalize("NFKC", path)
    return folded != path and matches(pattern, folded)
