"""Commands that need no rule: they change nothing but the shell's directory. Pure."""

import posixpath
import re
from collections.abc import Callable, Sequence

from townwatch.policy.commands.arguments import ParsedCommand
from townwatch.policy.commands.paths import Place
from townwatch.policy.shell.expansion import ANY, SET, STAR, Argument, Variables

_ALWAYS = frozenset({"true", "false", ":", "exit", "pwd", "break", "continue"})
_ARITHMETIC = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})


def is_neutral(command: ParsedCommand, place: Place, directories: Sequence[str], variables: Variables) -> bool:
    """Return True for a command that needs no rule."""
    if "/" in command.word:
        return False
    words = command.arguments[1:]
    if command.name in _ALWAYS:
        return all(one.known or command.name in (":", "true", "false") for one in words)
    if command.name in ("test", "["):
        return _test(words)
    if command.name == "set":
        return _strict_mode(words)
    return command.name == "cd" and _enters(words, place, directories)


def condition_hazard(words: Sequence[Argument]) -> str | None:
    """Return why ``[[ ]]`` or ``test`` evaluates a text, or None."""
    for index, word in enumerate(words):
        if word.text in ("-v", "-R"):
            return "a name that is evaluated"
        if word.text in _ARITHMETIC:
            sides = [*words[max(index - 1, 0) : index], *words[index + 1 : index + 2]]
            if any(re.fullmatch(r"-?[\d\ue005]+", one.text) is None for one in sides):
                return "arithmetic on a value that is not known: it is evaluated again"
    return None


def _test(words: Sequence[Argument]) -> bool:
    if any(word.splits for word in words) or condition_hazard(words) is not None:
        return False
    return not (words and words[0].text.startswith((STAR, ANY, SET)))


def _strict_mode(words: Sequence[Argument]) -> bool:
    """``set -euo pipefail`` and its parts."""
    wants_name = False
    for word in words:
        if wants_name:
            if word.text not in ("pipefail", "errexit", "nounset"):
                return False
            wants_name = False
        elif re.fullmatch(r"-[eu]*o?", word.text) and len(word.text) > 1:
            wants_name = word.text.endswith("o")
        else:
            return False
    return bool(words) and not wants_name


def _enters(words: Sequence[Argument], place: Place, directories: Sequence[str]) -> bool:
    """``cd`` to a known directory of the workspace with no other repository in it."""
    if words and words[0].text == "--":
        words = words[1:]
    if len(words) != 1 or not words[0].known or words[0].text.startswith("-") or not words[0].text or not directories:
        return False
    for directory in directories:
        path = place.absolute(words[0].text, directory)
        if not place.inside(path) or path.endswith(".git"):
            return False
        if path != place.root and any(_repository(file, path, place.root) for file in place.files):
            return False
        if place.exists is not None and _found_repository(place.exists, path, place.root):
            return False
    return True


def _repository(file: str, path: str, root: str) -> bool:
    """Return True if a known file says that the directory is in a repository of its own below the workspace's root."""
    current = path
    while len(current) > len(root):
        if file in (f"{current}/.git", f"{current}/HEAD") or file.startswith(f"{current}/.git/"):
            return True
        current = posixpath.dirname(current)
    return False


def _found_repository(exists: Callable[[str], bool], path: str, root: str) -> bool:
    current = path
    while len(current) > len(root):
        if exists(f"{current}/.git") or (exists(f"{current}/HEAD") and exists(f"{current}/objects")):
            return True
        current = posixpath.dirname(current)
    return False
