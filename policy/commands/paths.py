"""Paths: made absolute, links resolved by facts that the caller gives, compared with patterns. Pure."""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

import attrs

from townwatch.policy.shell.expansion import ANY, NUMBER, PRIVATE, SET, STAR, UNKNOWN

_MAX_LINKS = 16
_ROOTS = re.compile(r"/proc/(?:self|thread-self|\d+|\ue000)/(?:task/[^/]+/)?root(?=/|$)")
_DIRECTORIES = re.compile(r"/proc/(?:self|thread-self|\d+|\ue000)/(?:task/[^/]+/)?cwd(?=/|$)")


@attrs.frozen
class Place:
    """Where a command runs, and what the caller knows of the file system."""

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
        path = posixpath.normpath(posixpath.join(directory, text)) if text else directory
        path = re.sub(r"^//+", "/", path)
        for _ in range(_MAX_LINKS):
            if path.startswith("/proc/"):
                path = _ROOTS.sub("", path) or "/"
                path = _DIRECTORIES.sub(lambda _: directory, path)
            followed = self._followed(text if _ == 0 else path, path, directory)
            if followed == path:
                break
            path = followed
        return path.casefold() if self.fold_case else path

    def _followed(self, text: str, path: str, directory: str) -> str:
        """Follow the first link on the way; ``..`` behind a link goes up from its target."""
        if not self.links:
            return path
        current = "/" if text.startswith("/") else directory
        pieces = [piece for piece in text.split("/") if piece not in ("", ".")]
        for index, piece in enumerate(pieces):
            if piece == "..":
                current = posixpath.dirname(current)
                continue
            current = posixpath.join(current, piece)
            if (target := self.links.get(current)) is not None:
                to = posixpath.join(posixpath.dirname(current), target)
                return posixpath.normpath(posixpath.join(to, *pieces[index + 1 :]))
        return posixpath.normpath(current) if text else path

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


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    for token in tokens(pattern, rule=True):
        out.append({"\ue004": "(?:.*/)?", UNKNOWN: ".*", STAR: "[^/]*", ANY: "[^/]"}.get(token) or re.escape(token))
    return re.compile("".join(out), re.S)


def matches(pattern: str, path: str) -> bool:
    """Return True where a known path matches a pattern: ``*`` within a name, ``**`` over directories."""
    if pattern.endswith("/**") and path == pattern[:-3]:
        return True
    if pattern.startswith("**/") and path.startswith("/"):
        return _regex(pattern).fullmatch(path) is not None or _regex(pattern).fullmatch(path[1:]) is not None
    return _regex(pattern).fullmatch(path) is not None


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
