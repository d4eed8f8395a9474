"""Operands by which a program writes outside of the workspace, or runs and installs what comes from elsewhere. Pure."""

import re

from townwatch.policy.commands.covered import CoveredCommand
from townwatch.policy.shell.expansion import Argument


def pip_install(covered: CoveredCommand) -> str | None:
    for text in covered.rest_words:
        path = text.partition("[")[0]
        if "://" in text or " @ " in text or "@" in path or text.startswith("file:"):
            return "a package that does not come from the index"
        if ("/" in text or text.startswith(".")) and not covered.inside(Argument(path)):
            return "a package from outside of the workspace"
    for value in covered.command.values("-r", "--requirement", "-c", "--constraint"):
        if not covered.inside(value) or "://" in value.text:
            return "a list of packages from outside of the workspace"
    return None


def copied_out(covered: CoveredCommand) -> str | None:
    """The last operand is written, unless it names a container."""
    targets = covered.command.targets
    last = targets[-1].word if len(targets) > 1 else None
    if last is None or last.text == "-" or (":" in last.text and not last.text.startswith((".", "/"))):
        return None
    return None if covered.inside(last) else f"{covered.command.key} writes outside of the workspace"


def operands_inside(covered: CoveredCommand) -> str | None:
    return None if covered.all_inside() else f"{covered.command.key} writes outside of the workspace"


def stays_inside(covered: CoveredCommand) -> str | None:
    """Programs that run, configure themselves by, or change what they are given: nothing of it lies elsewhere."""
    words = [one.word for one in covered.command.targets]
    words += [
        one.value
        for one in covered.command.options
        if one.value is not None and (one.spec is None or one.spec.kind != "t")
    ]
    if any(covered.leaves(word) for word in words):
        return f"{covered.command.key} is given what lies outside of the workspace"
    return None


def git_bundle(covered: CoveredCommand) -> str | None:
    words = [one.word for one in covered.command.targets if one.word.text != "bundle"]
    if not words or words[0].text != "create":
        return None
    written = words[1:2]
    if not written or (written[0].text != "-" and not covered.inside(written[0])):
        return "git bundle writes outside of the workspace"
    return None


def docker_build(covered: CoveredCommand) -> str | None:
    """The context is a directory; an address is code from elsewhere."""
    words = [one.word for one in covered.rest if one.word.text != "build"]
    if any("://" in one.text or one.text.startswith("git@") for one in words):
        return "a build of what lies elsewhere"
    if any(one.text.startswith(("/", "~", "..")) and not covered.inside(one) for one in words):
        return "a build of what lies outside of the workspace"
    return None


def go_run(covered: CoveredCommand) -> str | None:
    words = [text for text in covered.rest_words if text != "run"]
    return "a program of another module" if words and "@" in words[0] else None


def gh_api(covered: CoveredCommand) -> str | None:
    """A field makes it a POST, unless it is told otherwise."""
    command = covered.command
    methods = [one.text.upper() for one in command.values("-X", "--method")]
    reading = methods == ["GET"] or (not methods and not command.has("-f", "--raw-field", "-F", "--field", "--input"))
    if not reading or any(text.strip("/") == "graphql" for text in covered.words):
        return "gh api changes something"
    return None


def configured(covered: CoveredCommand) -> str | None:
    """Words behind ``--`` are rustfmt's: its configuration is code's neighbour, not to come from elsewhere."""
    words = [one.word.text for one in covered.command.operands]
    return "rustfmt is configured" if any(re.match(r"--(config|print-config|emit)", one) for one in words) else None


def rails(covered: CoveredCommand) -> str | None:
    first = covered.first
    code = first in ("runner", "r", "console", "c", "dbconsole", "db") and first in covered.rest_words
    return f"rails {first} runs code" if code else None


def pip_download(covered: CoveredCommand) -> str | None:
    """Its options are not known one by one: a word may be the directory that is written."""
    if any(one.word.text.startswith(("/", "~", "..")) and not covered.inside(one.word) for one in covered.rest):
        return "a directory outside of the workspace"
    return pip_install(covered)


def clang_format(covered: CoveredCommand) -> str | None:
    return operands_inside(covered) if covered.command.has("-i") else None
