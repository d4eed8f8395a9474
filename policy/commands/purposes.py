"""One check a program: operands that leave its usual purpose. Pure."""

import re

from townwatch.policy.commands import elsewhere
from townwatch.policy.commands.arguments import Operand, ParsedCommand
from townwatch.policy.commands.elsewhere import inside
from townwatch.policy.commands.paths import Place
from townwatch.policy.commands.scripts import unsafe_awk, unsafe_jq, unsafe_sed
from townwatch.policy.shell.expansion import Argument

_MAKE_NAMES = frozenset(
    {
        "V",
        "VERBOSE",
        "DEBUG",
        "RELEASE",
        "PREFIX",
        "BUILD_TYPE",
        "CI",
        "TEST",
        "TESTS",
        "MODE",
        "PROFILE",
        "JOBS",
        "NO_COLOR",
        "Q",
        "VERSION",
        "ARCH",
        "BUILD",
        "prefix",
    }
)


def _sed(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    scripts = command.values("-e", "--expression")
    files = [one.word for one in command.targets]
    if not scripts and not command.has("-f", "--file"):
        scripts, files = files[:1], files[1:]
    for script in scripts:
        reason = unsafe_sed(script.text) if script.known else "a script of sed that is not known"
        if reason is not None:
            return reason
    if command.has("-i", "--in-place") and not all(inside(one, place, directory) for one in files):
        return "sed -i writes outside of the workspace"
    return None


def _awk(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if command.has("-f", "--file", "-e", "--source") or not command.targets:
        return None
    program = command.targets[0].word
    return unsafe_awk(program.text) if program.known else "a program of awk that is not known"


def _jq(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if not command.targets or command.has("-f"):
        return None
    program = command.targets[0].word
    return unsafe_jq(program.text) if program.known else "a program of jq that is not known"


def _make(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    for one in rest:
        name, equals, value = one.word.text.partition("=")
        if equals and (name.rstrip(":+?!") not in _MAKE_NAMES or "$" in value or "`" in value):
            return f"make gets the variable {name}"
    return None


def _no_response_file(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return "options from a file" if any(one.word.text.startswith("@") for one in rest) else None


def _second_is_written(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return f"{command.name} writes its second file" if len(command.targets) > 1 else None


def _pager(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if any(one.word.text.startswith("+") for one in command.targets):
        return f"{command.name} runs what follows +"
    return None


def _manual(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return "man opens a file" if any("/" in one.word.text for one in command.targets) else None


def _dd(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    for one in command.targets:
        name, _, value = one.word.text.partition("=")
        if name == "of" and value != "/dev/null" and not inside(Argument(value), place, directory):
            return "dd writes outside of the workspace"
    return None


def _date(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return "sets the clock" if any(not one.word.text.startswith("+") for one in command.targets) else None


_BSD = re.compile(r"[aAcCdeEfgGhjlLmMnNoOpPrsStTuUvVwWxXZ]+")


def _processes(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    """``ps e``, ``ps auxeww``: letters without a hyphen."""
    taking = {one.index + 1 for one in command.options if one.text[-1:] in "UuGgtTqpCok"}
    if any(
        one.index not in taking and "e" in one.word.text and _BSD.fullmatch(one.word.text) for one in command.targets
    ):
        return "ps shows the environment of processes"
    return None


def _no_operand(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return f"{command.name} changes a name" if command.targets else None


def _git_push(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    for index, one in enumerate(command.targets):
        text = one.word.text
        if text.startswith(("+", ":")):
            return "a refspec that forces or deletes"
        if index == 0 and re.search(r"[:/]|^\.", text):
            return "a remote that is named by its address"
    return None


def _git_remote(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if command.targets and re.search(r"[:/]|^\.", command.targets[0].word.text):
        return "a remote that is named by its address"
    return None


def _git_clone(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if not command.targets:
        return None
    source = command.targets[0].word.text
    if re.match(r"(https?|ssh|git)://[^-]", source) is None and re.match(r"[\w.-]+@[\w.-]+:[^-]", source) is None:
        return "a source of a clone that is no address of a server"
    if len(command.targets) > 1 and not inside(command.targets[1].word, place, directory):
        return "a clone outside of the workspace"
    return None


def _git_config(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if command.has("--get", "--get-all", "--get-regexp", "-l", "--list"):
        return None
    words = [one.word.text for one in command.targets]
    if words[:1] in (["get"], ["list"]) or len(words) == 1:
        return None if words[:1] not in (["set"], ["unset"], ["edit"]) else "git config is changed"
    return "git config is changed"


def _git_reflog(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    words = [one.word.text for one in command.targets]
    return "the reflog is changed" if words[:1] in (["expire"], ["delete"], ["drop"], ["write"]) else None


def _git_symbolic(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return "a reference is changed" if len(command.targets) > 1 or command.has("-d", "--delete") else None


def _npm_install(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    for one in rest:
        if re.fullmatch(r"(@[\w.-]+/)?[\w.-]+(@[\w.^~<>=*| -]*)?", one.word.text) is None or one.word.text.startswith(
            "."
        ):
            return "a package that does not come from the registry"
    return None


def _runner(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    first = command.targets[0].word.text if command.targets else ""
    if first in {
        "dlx",
        "exec",
        "x",
        "create",
        "config",
        "set",
        "plugin",
        "link",
        "policies",
        "publish",
        "global",
        "node",
        "env",
        "patch",
        "init",
        "login",
        "self-update",
        "import",
        "store",
        "server",
        "deploy",
        "setup",
        "runx",
        "unlink",
    }:
        if not any(one.word.text == first for one in rest):
            return None
        return f"{command.name} {first} runs or changes other programs"
    if first in ("add", "install", "i") and len(command.targets) > 1:
        return _npm_install(command, [one for one in rest if one.word.text != first], place, directory)
    return None


def _packages(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if any("/" in one.word.text or "://" in one.word.text for one in rest if command.name not in ("bundle", "rake")):
        return "a package that does not come from the index"
    first = command.targets[0].word.text if command.targets else ""
    if first in (
        "exec",
        "console",
        "open",
        "config",
        "run-script",
        "global",
        "run",
        "edit",
        "sh",
        "source",
        "sources",
        "tap",
        "script",
        "eval",
        "repl",
        "ghci",
        "tool",
        "x",
    ):
        return (
            f"{command.name} {first} runs or changes other programs"
            if any(one.word.text == first for one in rest)
            else None
        )
    return None


def _file(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if not command.has("-c", "--stdout", "-l", "--list", "-t", "--test") and not all(
        inside(one.word, place, directory) for one in command.targets
    ):
        return f"{command.name} writes outside of the workspace"
    return None


def _zip(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    if (
        command.targets
        and command.targets[0].word.text != "-"
        and not inside(command.targets[0].word, place, directory)
    ):
        return "zip writes outside of the workspace"
    return None


def _curl(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    for value in command.values("-w", "--write-out"):
        if "%output" in value.text or value.text.startswith("@"):
            return "curl writes or reads what --write-out names"
    return None


def _ssh(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return "a shell on another host"


def _pattern_file(command: ParsedCommand, rest: list[Operand], place: Place, directory: str | None) -> str | None:
    return "find gets words that are not known" if any(one.word.may_be_option for one in rest) else None


PURPOSES: dict[str, elsewhere.Check] = {
    name: check
    for names, check in (
        ("sed", _sed),
        ("awk gawk mawk nawk", _awk),
        ("jq", _jq),
        ("make gmake", _make),
        ("uniq xxd", _second_is_written),
        ("less more most", _pager),
        ("man", _manual),
        ("gcc g++ cc c++ clang clang++ javac nm objdump readelf size", _no_response_file),
        ("clang-format", elsewhere.clang_format),
        ("rails", elsewhere.rails),
        ("dd", _dd),
        ("date", _date),
        ("ps", _processes),
        ("tsc prettier black isort rustfmt eslint cmake ctest pytest patch", elsewhere.stays_inside),
        ("mocha jest vitest ava tap jasmine karma phpunit rspec rubocop", elsewhere.stays_inside),
        ("hostname", _no_operand),
        ("yarn pnpm", _runner),
        ("apt apt-get dnf yum brew pacman apk gem bundle rake composer dpkg", _packages),
        ("rpm snap port dotnet swift flutter mix sbt lein stack cabal lerna nx", _packages),
        ("gzip gunzip bzip2 bunzip2 xz unxz zstd unzstd lz4", _file),
        ("zip", _zip),
        ("curl", _curl),
        ("ssh", _ssh),
        ("find", _pattern_file),
    )
    for name in names.split()
} | {
    "git push": _git_push,
    "git fetch": _git_remote,
    "git pull": _git_remote,
    "git ls-remote": _git_remote,
    "git clone": _git_clone,
    "git config": _git_config,
    "git reflog": _git_reflog,
    "git symbolic-ref": _git_symbolic,
    "npm install": _npm_install,
    "npm i": _npm_install,
    "npm add": _npm_install,
    "npm ci": _npm_install,
    "npm update": _npm_install,
    "docker cp": elsewhere.copied_out,
    "podman cp": elsewhere.copied_out,
    "kubectl cp": elsewhere.copied_out,
    "oc cp": elsewhere.copied_out,
    "docker compose cp": elsewhere.copied_out,
    "docker build": elsewhere.docker_build,
    "podman build": elsewhere.docker_build,
    "go run": elsewhere.go_run,
    "go build": elsewhere.stays_inside,
    "go test": elsewhere.stays_inside,
    "go vet": elsewhere.stays_inside,
    "gh api": elsewhere.gh_api,
    "ruff check": elsewhere.stays_inside,
    "ruff format": elsewhere.stays_inside,
    "cargo fmt": elsewhere.configured,
    "git bundle": elsewhere.git_bundle,
    "git init": elsewhere.operands_inside,
    "git mv": elsewhere.operands_inside,
    "pip download": elsewhere.pip_download,
    "pip wheel": elsewhere.pip_download,
    "pip3 download": elsewhere.pip_download,
    "pip3 wheel": elsewhere.pip_download,
    "pip install": elsewhere.pip_install,
    "pip3 install": elsewhere.pip_install,
}
