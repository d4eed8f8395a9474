"""Test runs: recognised from a command line, counted from what they print or from their JUnit file. Pure."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Literal
from xml.etree import ElementTree

import attrs

Tool = Literal["pytest", "unittest", "jest", "go", "cargo"]
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r")
OUTPUT_CHARS = 64 * 1024
"""How much of the end of a run's output is searched for its summary."""
_WRAPPERS = frozenset(
    "env time nice timeout uv poetry pipenv npx pnpm yarn npm bunx run exec sudo xvfb-run coverage -m".split()
)


_ONLY_ASKS = frozenset({"--help", "--version", "--collect-only", "--co", "--listTests", "--no-run"})
"""With these the tool says something and runs no test."""


@attrs.frozen
class Counts:
    passed: int
    failed: int
    skipped: int


def recognise(command: Sequence[str]) -> Tool | None:
    """Which test tool a command line runs, through the usual wrappers; None for anything else.

    >>> recognise(["uv", "run", "pytest", "-q"]), recognise(["python3", "-m", "unittest"]), recognise(["go", "build"])
    ('pytest', 'unittest', None)
    """
    words = [word for word in command if word]
    if _ONLY_ASKS.intersection(words):
        return None
    for position, word in enumerate(words):
        name = PurePath(word).name.removesuffix(".exe").removesuffix(".js").removesuffix(".mjs")
        following = words[position + 1 : position + 3]
        match name, following:
            case (("pytest" | "py.test"), _):
                return "pytest"
            case "unittest", _ if "-m" in words[:position]:
                return "unittest"
            case (("jest" | "vitest"), _):
                return "jest"
            case "go", ["test", *_]:
                return "go"
            case "cargo", ["test" | "nextest", *_]:
                return "cargo"
            case _:
                pass
        if not _goes_on(name, word, position):
            return None
    return None


def _goes_on(name: str, word: str, position: int) -> bool:
    """Whether a word may stand before the test tool: a wrapper, an interpreter, an option, VAR=value."""
    interpreter = re.fullmatch(r"(python|pypy|node|bun)[\d.]*", name) is not None
    return interpreter or name in _WRAPPERS or word.startswith("-") or "=" in word or (position > 0 and name.isdigit())


def recognise_text(command: str) -> Tool | None:
    """As `recognise`, from one line of shell."""
    try:
        return recognise(shlex.split(command))
    except ValueError:
        return None


def junit_path(command: Sequence[str]) -> str | None:
    """The file that ``--junitxml`` (pytest) or ``--junit-xml`` names."""
    for position, word in enumerate(command):
        option, sign, value = word.partition("=")
        if option in ("--junitxml", "--junit-xml"):
            return value if sign else (command[position + 1] if position + 1 < len(command) else None)
    return None


def test_files(command: Sequence[str]) -> list[str] | None:
    """Files that the command line names."""
    names = [w for w in command if re.search(r"(\.py|\.[jt]sx?|_test\.go|\.rs)(::.*)?$", w) and not w.startswith("-")]
    files = [n for n in names if "test" in PurePath(n.partition("::")[0]).name.lower() or "spec" in n.lower()]
    return files or None


def count(tool: Tool, output: str) -> Counts | None:
    """The counts of the last summary in the output; None where there is none (it crashed, or it was something else)."""
    return _PARSERS[tool](ANSI.sub("", output[-OUTPUT_CHARS:]))


_PYTEST = re.compile(
    r"^=*\s*((?:\d+ [a-z]+(?: [a-z]+)?(?:, )?)+|no tests ran)(?: in [\d.]+s)?(?: \([\d:]+\))?\s*=*$", re.MULTILINE
)


def _pytest(text: str) -> Counts | None:
    found = [m for m in _PYTEST.finditer(text) if " in " in m[0]]
    if not found:
        return None
    numbers = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", found[-1][1])}
    failed = sum(numbers.get(word, 0) for word in ("failed", "error", "errors"))
    passed = numbers.get("passed", 0) + numbers.get("xpassed", 0)
    return Counts(passed, failed, sum(numbers.get(word, 0) for word in ("skipped", "xfailed", "deselected")))


def _unittest(text: str) -> Counts | None:
    ran = re.findall(r"^Ran (\d+) tests? in [\d.]+s$", text, re.MULTILINE)
    verdict = re.findall(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", text, re.MULTILINE)
    if not ran or not verdict:
        return None
    details = {name: int(n) for name, n in re.findall(r"([a-z ]+)=(\d+)", verdict[-1][1])}
    details = {name.strip(): n for name, n in details.items()}
    failed = sum(details.get(name, 0) for name in ("failures", "errors", "unexpected successes"))
    skipped = details.get("skipped", 0) + details.get("expected failures", 0)
    return Counts(max(0, int(ran[-1]) - failed - skipped), failed, skipped)


def _jest(text: str) -> Counts | None:
    lines = re.findall(r"^\s*Tests:?\s+(.*(?:total|passed|failed|skipped|\(\d+\)).*)$", text, re.MULTILINE)
    if not lines:
        return None
    numbers = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", lines[-1])}
    skipped = sum(numbers.get(word, 0) for word in ("skipped", "todo", "pending"))
    return Counts(numbers.get("passed", 0), numbers.get("failed", 0), skipped)


def _go(text: str) -> Counts | None:
    """Without -v, go names only the tests that failed: then every package that passed counts as one."""
    each = re.findall(r"^\s*--- (PASS|FAIL|SKIP): ", text, re.MULTILINE)
    packages = re.findall(r"^(ok|FAIL|\?)\s+\S+\s+(?:[\d.]+s|\(cached\)|\[)", text, re.MULTILINE)
    if "PASS" in each:
        return Counts(each.count("PASS"), each.count("FAIL"), each.count("SKIP"))
    if not packages and not each:
        return None
    return Counts(packages.count("ok"), each.count("FAIL") or packages.count("FAIL"), packages.count("?"))


def _cargo(text: str) -> Counts | None:
    each = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.MULTILINE)
    nextest = re.findall(r"Summary .* (\d+) passed(?:.*?(\d+) failed)?(?:.*?(\d+) skipped)?", text)
    rows = each or nextest
    if not rows:
        return None
    sums = [sum(int(row[column] or 0) for row in rows) for column in range(3)]
    return Counts(*sums)


_PARSERS: dict[Tool, Callable[[str], Counts | None]] = {
    "pytest": _pytest,
    "unittest": _unittest,
    "jest": _jest,
    "go": _go,
    "cargo": _cargo,
}


def count_junit(xml: str | bytes) -> Counts | None:
    """The counts of a JUnit file; None where it is not one."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
    if not suites:
        return None
    try:
        tests, failures, errors, skipped = (
            sum(int(suite.get(name, "0") or 0) for suite in suites)
            for name in ("tests", "failures", "errors", "skipped")
        )
    except ValueError:
        return None
    return Counts(max(0, tests - failures - errors - skipped), failures + errors, skipped)
