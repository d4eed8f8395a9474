"""Operands by which a program writes outside of the workspace, or runs and installs what comes from elsewhere. Pure."""

import re
from collections.abc import Callable

from townwatch.policy.commands.arguments import Operand, ParsedCommand
from townwatch.policy.commands.paths import Place
from townwatch.policy.shell.expansion import UNKNOWN, Argument

Check = Callable[[ParsedCommand, list[Operand], Place, str | None], str | None]
"""(command, what the star covers, place, directory) → reason."""


def inside(word: Argument, place: Place, directory: str | None) -> bool:
    """Return True for a word that is a known path of the workspace."""
    if not word.known or directory is None:
        return False
    return place.inside(place.absolute(word.text, directory))


def removes_inside(word: Argument, place: Place, directory: str | None) -> bool:
    """Return True for a pattern of names in a known directory of the workspace: what it matches are entries of that
    directory, never ``..``, and a link among them is removed itself.
    """
    folder, slash, names = word.text.rpartition("/")
    if not slash or not Argument(folder).known or word.splits or UNKNOWN in names or names.startswith("."):
        return False
    return inside(Argument(folder), place, directory)


def pip_install(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    for one in rest:
        text = one.word.text
        if "://" in text or " @ " in text or "@" in text.partition("[")[0] or text.startswith("file:"):
            return "a package that does not come from the index"
        if ("/" in text or text.startswith(".")) and not inside(Argument(text.partition("[")[0]), place, directory):
            return "a package from outside of the workspace"
    for value in command.values("-r", "--requirement", "-c", "--constraint"):
        if not inside(value, place, directory) or "://" in value.text:
            return "a list of packages from outside of the workspace"
    return None


def copied_out(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """The last operand is written, unless it names a container."""
    last = command.targets[-1].word if len(command.targets) > 1 else None
    if last is None or last.text == "-" or (":" in last.text and not last.text.startswith((".", "/"))):
        return None
    return None if inside(last, place, directory) else f"{command.key} writes outside of the workspace"


def operands_inside(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if all(inside(one.word, place, directory) for one in command.targets):
        return None
    return f"{command.key} writes outside of the workspace"


def stays_inside(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """Programs that run, configure themselves by, or change what they are given: nothing of it lies elsewhere."""
    words = [one.word for one in command.targets]
    words += [
        one.value for one in command.options if one.value is not None and (one.spec is None or one.spec.kind != "t")
    ]
    if any(leaves(word, place, directory) for word in words):
        return f"{command.key} is given what lies outside of the workspace"
    return None


def leaves(word: Argument, place: Place, directory: str | None) -> bool:
    """Return True for a word that names a place outside of the workspace."""
    text = word.text
    if not text.startswith(("/", "~", "..")) or text in ("/dev/null", "/dev/stdout", "/dev/stderr"):
        return False
    if text.startswith("/") and word.known:
        return not place.inside(place.absolute(text, "/"))
    return not inside(word, place, directory)


def git_bundle(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    words = [one.word for one in command.targets if one.word.text != "bundle"]
    if not words or words[0].text != "create":
        return None
    written = words[1:2]
    if not written or (written[0].text != "-" and not inside(written[0], place, directory)):
        return "git bundle writes outside of the workspace"
    return None


def docker_build(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """The context is a directory; an address is code from elsewhere."""
    words = [one.word for one in rest if one.word.text != "build"]
    if any("://" in one.text or one.text.startswith("git@") for one in words):
        return "a build of what lies elsewhere"
    if any(one.text.startswith(("/", "~", "..")) and not inside(one, place, directory) for one in words):
        return "a build of what lies outside of the workspace"
    return None


def go_run(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    words = [one.word.text for one in rest if one.word.text != "run"]
    return "a program of another module" if words and "@" in words[0] else None


def gh_api(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """A field makes it a POST, unless it is told otherwise."""
    methods = [one.text.upper() for one in command.values("-X", "--method")]
    reading = methods == ["GET"] or (not methods and not command.has("-f", "--raw-field", "-F", "--field", "--input"))
    if not reading or any(one.word.text.strip("/") == "graphql" for one in command.targets):
        return "gh api changes something"
    return None


def configured(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """Words behind ``--`` are rustfmt's: its configuration is code's neighbour, not to come from elsewhere."""
    words = [one.word.text for one in command.operands]
    return "rustfmt is configured" if any(re.match(r"--(config|print-config|emit)", one) for one in words) else None


def rails(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    first = command.targets[0].word.text if command.targets else ""
    code = first in ("runner", "r", "console", "c", "dbconsole", "db") and any(one.word.text == first for one in rest)
    return f"rails {first} runs code" if code else None


def pip_download(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """Its options are not known one by one: a word may be the directory that is written."""
    if any(one.word.text.startswith(("/", "~", "..")) and not inside(one.word, place, directory) for one in rest):
        return "a directory outside of the workspace"
    return pip_install(command, rest, place, directory)


def clang_format(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return operands_inside(command, rest, place, directory) if command.has("-i") else None
