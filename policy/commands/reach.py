"""Paths that a command's words name, and commands that read whole directories. Pure."""

import re
from collections.abc import Iterator

from townwatch.policy.commands.arguments import ParsedCommand
from townwatch.policy.shell.expansion import UNKNOWN, Argument

_TREES = frozenset(
    {
        "tar",
        "zip",
        "rsync",
        "rg",
        "ag",
        "ack",
        "7z",
        "cpio",
        "pax",
        "git add",
        "git stage",
        "git archive",
        "git grep",
        "git commit",
        "git stash",
        "scp",
        "docker build",
        "du-text",
    }
)
_RECURSIVE = {
    "cp": ("-r", "-R", "-a"),
    "grep": ("-r", "-R"),
    "egrep": ("-r", "-R"),
    "fgrep": ("-r", "-R"),
    "mv": (),
    "diff": ("-r",),
    "chmod": ("-R",),
    "chown": ("-R",),
    "rm": ("-r",),
    "ln": (),
}


def reads_trees(command: ParsedCommand) -> bool:
    """Return True for a command that reads directories with all that is in them."""
    if command.key in _TREES or command.name in _TREES:
        return command.key not in ("git commit", "git stash") or command.has("-a", "--all", "-u")
    names = _RECURSIVE.get(command.name)
    if names is None:
        return False
    return not names or command.has(*names)


def paths_of(command: ParsedCommand) -> Iterator[tuple[Argument, bool]]:
    """Yield (word that may be a path, whether it may be a directory that is read) for each word of a command."""
    targets = command.targets
    text_first = (
        command.spec is not None
        and ":text" in command.spec.traits
        and not command.has("-e", "-f", "--regexp", "--file", "--expression")
    )
    for index, operand in enumerate(targets):
        if index == 0 and text_first and operand.word.known:
            continue
        for one in _candidates(operand.word):
            yield one, True
    for option in command.options:
        if option.value is not None:
            if option.spec is not None and option.spec.kind == "t" and not option.value.text.startswith("@"):
                continue
            for one in _candidates(option.value):
                yield one, (option.spec is not None and option.spec.kind == "r") or "-C" in option.names
        elif option.spec is None and len(option.text) > 2 and not option.text.startswith("--"):
            yield Argument(option.text[2:]), False
    for word in command.arguments[1:]:
        if word.text.startswith("-") and not word.text.startswith("--") and (match := re.search(r"[/~.@]", word.text)):
            yield Argument(word.text[match.start() :].removeprefix("@"), word.splits, word.quoted), False


def _candidates(word: Argument) -> Iterator[Argument]:
    yield word
    text = word.text
    if text.startswith("@"):
        yield Argument(text[1:], word.splits, word.quoted)
    for separator in ("=", ":", "@", ",", "=@", "<"):
        if separator in text and len(text) < 4000:
            for piece in text.split(separator)[0 if separator in ":," else 1 : 4]:
                if piece and piece != UNKNOWN and not any(c.isspace() for c in piece):
                    yield Argument(piece.removeprefix("@"), word.splits, word.quoted)
