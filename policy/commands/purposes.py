"""One check a program: operands that leave its usual purpose. Pure."""

import re

from townwatch.policy.commands import elsewhere
from townwatch.policy.commands.covered import Check, CoveredCommand
from townwatch.policy.commands.scripts import unsafe_awk, unsafe_jq, unsafe_sed
from townwatch.policy.shell.expansion import Argument

_MAKE_NAMES = frozenset(
    "V VERBOSE DEBUG RELEASE PREFIX BUILD_TYPE CI TEST TESTS MODE PROFILE JOBS NO_COLOR Q VERSION ARCH BUILD"
    " prefix".split()
)
_RUNS_OTHERS = frozenset(
    "dlx exec x create config set plugin link policies publish global node env patch init login self-update import"
    " store server deploy setup runx unlink".split()
)
"""Sub-commands of yarn and pnpm that run or change other programs."""
_PACKAGES_RUN_OTHERS = frozenset(
    "exec console open config run-script global run edit sh source sources tap script eval repl ghci tool x".split()
)
"""The same of other package managers and build tools."""
_NPM_PACKAGE = re.compile(r"(@[\w.-]+/)?[\w.-]+(@[\w.^~<>=*| -]*)?")
_BSD = re.compile(r"[aAcCdeEfgGhjlLmMnNoOpPrsStTuUvVwWxXZ]+")
_ADDRESS = re.compile(r"[:/]|^\.")


def _sed(covered: CoveredCommand) -> str | None:
    command = covered.command
    scripts = command.values("-e", "--expression")
    files = [one.word for one in command.targets]
    if not scripts and not command.has("-f", "--file"):
        scripts, files = files[:1], files[1:]
    for script in scripts:
        reason = unsafe_sed(script.text) if script.known else "a script of sed that is not known"
        if reason is not None:
            return reason
    if command.has("-i", "--in-place") and not all(covered.inside(one) for one in files):
        return "sed -i writes outside of the workspace"
    return None


def _awk(covered: CoveredCommand) -> str | None:
    command = covered.command
    if command.has("-f", "--file", "-e", "--source") or not command.targets:
        return None
    program = command.targets[0].word
    return unsafe_awk(program.text) if program.known else "a program of awk that is not known"


def _jq(covered: CoveredCommand) -> str | None:
    command = covered.command
    if not command.targets or command.has("-f"):
        return None
    program = command.targets[0].word
    return unsafe_jq(program.text) if program.known else "a program of jq that is not known"


def _make(covered: CoveredCommand) -> str | None:
    for text in covered.rest_words:
        name, equals, value = text.partition("=")
        if equals and (name.rstrip(":+?!") not in _MAKE_NAMES or "$" in value or "`" in value):
            return f"make gets the variable {name}"
    return None


def _no_response_file(covered: CoveredCommand) -> str | None:
    return "options from a file" if any(text.startswith("@") for text in covered.rest_words) else None


def _second_is_written(covered: CoveredCommand) -> str | None:
    return f"{covered.command.name} writes its second file" if len(covered.words) > 1 else None


def _pager(covered: CoveredCommand) -> str | None:
    return f"{covered.command.name} runs what follows +" if any(one.startswith("+") for one in covered.words) else None


def _manual(covered: CoveredCommand) -> str | None:
    return "man opens a file" if any("/" in text for text in covered.words) else None


def _dd(covered: CoveredCommand) -> str | None:
    for text in covered.words:
        name, _, value = text.partition("=")
        if name == "of" and value != "/dev/null" and not covered.inside(Argument(value)):
            return "dd writes outside of the workspace"
    return None


def _date(covered: CoveredCommand) -> str | None:
    return "sets the clock" if any(not text.startswith("+") for text in covered.words) else None


def _processes(covered: CoveredCommand) -> str | None:
    """``ps e``, ``ps auxeww``: letters without a hyphen."""
    command = covered.command
    taking = {one.index + 1 for one in command.options if one.text[-1:] in "UuGgtTqpCok"}
    if any(
        one.index not in taking and "e" in one.word.text and _BSD.fullmatch(one.word.text) for one in command.targets
    ):
        return "ps shows the environment of processes"
    return None


def _no_operand(covered: CoveredCommand) -> str | None:
    return f"{covered.command.name} changes a name" if covered.words else None


def _git_push(covered: CoveredCommand) -> str | None:
    for index, text in enumerate(covered.words):
        if text.startswith(("+", ":")):
            return "a refspec that forces or deletes"
        if index == 0 and _ADDRESS.search(text):
            return "a remote that is named by its address"
    return None


def _git_remote(covered: CoveredCommand) -> str | None:
    return "a remote that is named by its address" if _ADDRESS.search(covered.first) else None


def _git_clone(covered: CoveredCommand) -> str | None:
    if not covered.words:
        return None
    source = covered.first
    if re.match(r"(https?|ssh|git)://[^-]", source) is None and re.match(r"[\w.-]+@[\w.-]+:[^-]", source) is None:
        return "a source of a clone that is no address of a server"
    targets = covered.command.targets
    if len(targets) > 1 and not covered.inside(targets[1].word):
        return "a clone outside of the workspace"
    return None


def _git_config(covered: CoveredCommand) -> str | None:
    if covered.command.has("--get", "--get-all", "--get-regexp", "-l", "--list") or covered.first in ("get", "list"):
        return None
    reads = len(covered.words) == 1 and covered.first not in ("set", "unset", "edit")
    return None if reads else "git config is changed"


def _git_reflog(covered: CoveredCommand) -> str | None:
    return "the reflog is changed" if covered.first in ("expire", "delete", "drop", "write") else None


def _git_symbolic(covered: CoveredCommand) -> str | None:
    changed = len(covered.words) > 1 or covered.command.has("-d", "--delete")
    return "a reference is changed" if changed else None


def _npm_install(covered: CoveredCommand) -> str | None:
    return _from_registry(covered.rest_words)


def _from_registry(words: list[str]) -> str | None:
    if any(_NPM_PACKAGE.fullmatch(text) is None or text.startswith(".") for text in words):
        return "a package that does not come from the registry"
    return None


def _runner(covered: CoveredCommand) -> str | None:
    first, rest = covered.first, covered.rest_words
    if first in _RUNS_OTHERS:
        return f"{covered.command.name} {first} runs or changes other programs" if first in rest else None
    if first in ("add", "install", "i") and len(covered.words) > 1:
        return _from_registry([text for text in rest if text != first])
    return None


def _packages(covered: CoveredCommand) -> str | None:
    name, first, rest = covered.command.name, covered.first, covered.rest_words
    if name not in ("bundle", "rake") and any("/" in text for text in rest):
        return "a package that does not come from the index"
    if first in _PACKAGES_RUN_OTHERS and first in rest:
        return f"{name} {first} runs or changes other programs"
    return None


def _file(covered: CoveredCommand) -> str | None:
    if covered.command.has("-c", "--stdout", "-l", "--list", "-t", "--test") or covered.all_inside():
        return None
    return f"{covered.command.name} writes outside of the workspace"


def _zip(covered: CoveredCommand) -> str | None:
    targets = covered.command.targets
    if targets and targets[0].word.text != "-" and not covered.inside(targets[0].word):
        return "zip writes outside of the workspace"
    return None


def _curl(covered: CoveredCommand) -> str | None:
    for value in covered.command.values("-w", "--write-out"):
        if "%output" in value.text or value.text.startswith("@"):
            return "curl writes or reads what --write-out names"
    return None


def _ssh(_: CoveredCommand) -> str | None:
    return "a shell on another host"


def _pattern_file(covered: CoveredCommand) -> str | None:
    return "find gets words that are not known" if any(one.word.may_be_option for one in covered.rest) else None


PURPOSES: dict[str, Check] = {
    name: check
    for check, names in (
        (_sed, "sed"),
        (_awk, "awk, gawk, mawk, nawk"),
        (_jq, "jq"),
        (_make, "make, gmake"),
        (_second_is_written, "uniq, xxd"),
        (_pager, "less, more, most"),
        (_manual, "man"),
        (_no_response_file, "gcc, g++, cc, c++, clang, clang++, javac, nm, objdump, readelf, size"),
        (elsewhere.clang_format, "clang-format"),
        (elsewhere.rails, "rails"),
        (_dd, "dd"),
        (_date, "date"),
        (_processes, "ps"),
        (
            elsewhere.stays_inside,
            "tsc, prettier, black, isort, rustfmt, eslint, cmake, ctest, pytest, patch, mocha, jest, vitest,"
            " ava, tap, jasmine, karma, phpunit, rspec, rubocop, go build, go test, go vet, ruff check, ruff"
            " format",
        ),
        (_no_operand, "hostname"),
        (_runner, "yarn, pnpm"),
        (
            _packages,
            "apt, apt-get, dnf, yum, brew, pacman, apk, gem, bundle, rake, composer, dpkg, rpm, snap, port,"
            " dotnet, swift, flutter, mix, sbt, lein, stack, cabal, lerna, nx",
        ),
        (_file, "gzip, gunzip, bzip2, bunzip2, xz, unxz, zstd, unzstd, lz4"),
        (_zip, "zip"),
        (_curl, "curl"),
        (_ssh, "ssh"),
        (_pattern_file, "find"),
        (_git_push, "git push"),
        (_git_remote, "git fetch, git pull, git ls-remote"),
        (_git_clone, "git clone"),
        (_git_config, "git config"),
        (_git_reflog, "git reflog"),
        (_git_symbolic, "git symbolic-ref"),
        (_npm_install, "npm install, npm i, npm add, npm ci, npm update"),
        (elsewhere.copied_out, "docker cp, podman cp, kubectl cp, oc cp, docker compose cp"),
        (elsewhere.docker_build, "docker build, podman build"),
        (elsewhere.go_run, "go run"),
        (elsewhere.gh_api, "gh api"),
        (elsewhere.configured, "cargo fmt"),
        (elsewhere.git_bundle, "git bundle"),
        (elsewhere.operands_inside, "git init, git mv"),
        (elsewhere.pip_download, "pip download, pip wheel, pip3 download, pip3 wheel"),
        (elsewhere.pip_install, "pip install, pip3 install"),
    )
    for name in names.split(", ")
}
"""By program, or by program and sub-command."""
