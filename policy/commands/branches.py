"""Command lines that leave the checked-out branch as it is. Pure."""

import re
from collections.abc import Iterator

from townwatch.policy.commands.arguments import read
from townwatch.policy.commands.wrappers import unwrap
from townwatch.policy.shell.expansion import Argument
from townwatch.policy.shell.parser import parse
from townwatch.policy.shell.syntax import (
    Node,
    Parameter,
    Pipeline,
    ProcessSubstitution,
    Script,
    Simple,
    Substitution,
    Text,
    Word,
)

_MAX_TEXT = 4096
_OF_GIT = re.compile(r"\.git(?:/|$)", re.I)
_LEAVES_IT = frozenset(
    {
        *("status", "log", "diff", "show", "add", "commit", "push", "pull", "fetch", "merge", "tag", "rm", "mv"),
        *("restore", "reset", "ls-files", "ls-remote", "rev-parse", "blame", "grep", "describe", "cherry-pick"),
        *("revert", "clean", "shortlog", "cat-file", "rev-list", "diff-tree", "format-patch", "apply"),
    }
)
"""Sub-commands of git that check out no other branch; others may, or may be an alias of one that does."""
_PLAIN = frozenset(
    {
        *("ls", "cat", "echo", "printf", "grep", "rg", "head", "tail", "wc", "sort", "uniq", "true", "false", "test"),
        *("pwd", "date", "sleep", "tee", "diff", "pytest", "ruff", "mypy", "gh", "npm", "cargo", "go", "make", "jq"),
    }
)
"""Programs that do not check out branches by themselves. What scripts of theirs do is not seen."""


def leaves_branch(text: str) -> bool:
    """Return True where every command of a line works on the branch that is checked out before it runs."""
    if len(text) > _MAX_TEXT:
        return False
    parsed = parse(text)
    if parsed.fault is not None:
        return False
    return all(one is not None and _leaves(one) for one in _commands(parsed.script))


def _commands(script: Script) -> Iterator[list[Argument] | None]:
    for _, node in script.items:
        yield from _of_node(node)


def _of_node(node: Node) -> Iterator[list[Argument] | None]:
    if isinstance(node, Pipeline):
        for member in node.members:
            yield from _of_node(member)
    elif isinstance(node, Simple) and not node.assignments and node.words:
        for word in (*node.words, *(redirect.word for redirect in node.redirects)):
            yield from _inside(word)
        yield [_argument(word) for word in node.words]
    else:
        yield None


def _inside(word: Word) -> Iterator[list[Argument] | None]:
    """Yield the commands that the shell runs to make a word; None for a word that may be about git's own files."""
    for part in word:
        if isinstance(part, Substitution | ProcessSubstitution):
            yield from _commands(part.script)
        elif not isinstance(part, Text) and not (
            isinstance(part, Parameter) and not part.operator and not part.subscript
        ):
            yield None
    if _OF_GIT.search(_argument(word).text):
        yield None


def _argument(word: Word) -> Argument:
    """Return a literal word; what the shell makes when it runs is an odd character, which is in no name."""
    return Argument("".join(part.text if isinstance(part, Text) else "\x00" for part in word))


def _leaves(words: list[Argument]) -> bool:
    name = words[0].text
    if name != "git":
        return name in _PLAIN and unwrap(read(words)) is None
    return len(words) > 1 and words[1].text in _LEAVES_IT
