"""Test runs: recognised from a command line, counted from what they print or from their JUnit file. Pure."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Literal

import attrs

Tool = Literal["pytest", "unittest", "jest", "go", "cargo"]
Verdict = Literal["passed", "failed", "unknown"]
_ERASE_LINE = re.compile(r"(?:\x1b\[|\x9b)[012]?K")
_STRING = re.compile(r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x18\x1a\x9c]*(?:\x07|\x1b\\|[\x18\x1a\x9c])?")
_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CUT = "\ue000"
OUTPUT_CHARS = 64 * 1024
LINE_CHARS = 400
"""A longer line is no summary of a test run: expressions are for lines whose length is bounded, whatever is printed."""
"""How much of the end of a run's output is searched for its summary."""
_WRAPPERS = frozenset(
    "env time nice timeout uv poetry pipenv npx pnpm yarn npm bunx run exec sudo xvfb-run coverage -m".split()
)


_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_ONLY_ASKS: dict[Tool, frozenset[str]] = {
    "pytest": frozenset(
        "--help -h --version -V --collect-only --collectonly --co --fixtures --funcargs --fixtures-per-test --markers"
        " --cache-show --setup-plan --setup-only --trace-config".split()
    ),
    "unittest": frozenset({"--help", "-h"}),
    "jest": frozenset("--help -h --version -v --listTests --showConfig --clearCache --init".split()),
    "go": frozenset({"-h", "-help", "--help", "-list", "-c", "-n"}),
    "cargo": frozenset({"--help", "-h", "--no-run", "--list", "--version", "-V"}),
}
"""With these the tool says something and runs no test."""
_OTHER_COMMANDS = {
    "vitest": frozenset({"list", "init", "bench"}),
    "nextest": frozenset({"list", "archive", "show-config", "self"}),
}
"""First words after a tool's name with which it runs no test."""
_TAKE_A_VALUE = frozenset(
    "--with --with-requirements --with-editable --group --extra --package --python --project --directory -p -C -n"
    " --from --cwd --prefix -u -k -s --signal --kill-after".split()
)
"""Options of wrappers whose value is the next word: the value is no program."""
_PYTHON_VALUES = frozenset({"-W", "-X"})
_WITHIN = frozenset(
    "coverage coverage3 cProfile profile trace pdb debugpy viztracer pyinstrument memray scalene".split()
)
"""What runs a Python module within itself, with options of its own before the ``-m`` of that module."""


@attrs.frozen
class Counts:
    passed: int
    failed: int
    skipped: int


def recognise(command: Sequence[str]) -> Tool | None:
    """Return the test tool that a command line runs, through the usual wrappers; None for anything else.

    >>> recognise(["uv", "run", "pytest", "-q"]), recognise(["python3", "-m", "unittest"]), recognise(["go", "build"])
    ('pytest', 'unittest', None)
    """
    words = [word for word in command if word]
    value, begin = False, 0
    for position, word in enumerate(words):
        if value or position < begin:
            value = False
            continue
        tool = _tool_at(words, position)
        if tool is not None:
            return None if _only_asks(tool, words[position:]) else tool
        name, interpreted = PurePath(word).name, _is_interpreter(PurePath(words[0]).name)
        if name in _WITHIN and "-m" in words[position + 1 :]:
            begin = words.index("-m", position + 1)
            continue
        value = word in (_PYTHON_VALUES if interpreted else _TAKE_A_VALUE)
        if not _goes_on(name, word, position):
            return None
    return None


def _tool_at(words: Sequence[str], position: int) -> Tool | None:
    name = PurePath(words[position]).name.removesuffix(".exe").removesuffix(".js").removesuffix(".mjs")
    following = [word for word in words[position + 1 :] if not word.startswith("+")][:1]
    match name, following:
        case (("pytest" | "py.test"), _):
            return "pytest"
        case "unittest", _ if "-m" in words[:position]:
            return "unittest"
        case (("jest" | "vitest"), _):
            return "jest"
        case "go", ["test"]:
            return "go"
        case "cargo", [("test" | "t" | "nextest")]:
            return "cargo"
        case _:
            return None


def _is_interpreter(name: str) -> bool:
    return re.fullmatch(r"(python|pypy|node|bun)[\d.]*", name) is not None


def _only_asks(tool: Tool, words: Sequence[str]) -> bool:
    """Return whether the tool is only asked for help, names or its version. Short flags may stand together: ``-qh``."""
    asks, options = _ONLY_ASKS[tool], words[1:]
    for word, following in zip(words, options, strict=False):
        if following in _OTHER_COMMANDS.get(PurePath(word).name.removesuffix(".mjs"), ()):
            return True
    if tool == "pytest" and any(re.fullmatch(r"-[qvxsl]*[hV][qvxsl]*", word) for word in options):
        return True
    if any(word in asks or word.partition("=")[0] in asks - {"-c", "-n", "-list"} for word in options):
        return True
    return tool == "go" and any(word.startswith("-list=") for word in options)


def _goes_on(name: str, word: str, position: int) -> bool:
    """Return whether a word may stand before the test tool: a wrapper, an interpreter, an option, VAR=value."""
    interpreter = _is_interpreter(name)
    interpreter |= position == 0 and name in _SHELLS  # of a script; what stands after -c is one word
    return interpreter or name in _WRAPPERS or word.startswith("-") or "=" in word or (position > 0 and name.isdigit())


def junit_path(command: Sequence[str]) -> str | None:
    """The file that ``--junitxml`` (pytest) or ``--junit-xml`` names."""
    for position, word in enumerate(command):
        option, sign, value = word.partition("=")
        if option in ("--junitxml", "--junit-xml"):
            return value if sign else (command[position + 1] if position + 1 < len(command) else None)
    return None


def test_files(command: Sequence[str]) -> list[str] | None:
    """Files that the command line names."""
    words = [word for word in command if len(word) <= LINE_CHARS]
    names = [w for w in words if re.search(r"(\.py|\.[jt]sx?|_test\.go|\.rs)(::.*)?$", w) and not w.startswith("-")]
    files = [n for n in names if "test" in PurePath(n.partition("::")[0]).name.lower() or "spec" in n.lower()]
    return files or None


def count(tool: Tool, output: str) -> Counts | None:
    """The counts of the last summary in the output; None where there is none (it crashed, or it was something else)."""
    return _PARSERS[tool](_short_lines(output))


def _short_lines(output: str) -> str:
    lines = visible(output[-OUTPUT_CHARS:]).split("\n")
    return "\n".join(line if len(line) <= LINE_CHARS else "" for line in lines)


def visible(text: str) -> str:
    r"""Return what a terminal shows of a text, as far as lines go: without control sequences of any kind, and where a
    line was written over, the last of it.

    >>> visible("\x1b[32mok\x1b(B\x1b[m. 1 passed\r\n50%\r100%\x1b[K\r\n")
    'ok. 1 passed\n100%\n'
    """
    text = _ERASE_LINE.sub(_CUT, _STRING.sub("", text))
    return "\n".join(_overwritten(line) for line in _SEQUENCE.sub("", text).split("\n"))


def _overwritten(line: str) -> str:
    shown = ""
    for part in line.split("\r"):
        kept = part.replace(_CUT, "")
        cut = _CUT in part
        shown = kept if cut else kept + shown[len(kept) :]
    return shown


def interrupted(tool: Tool, output: str) -> bool:
    """Return whether a run says that it was ended before its end."""
    return tool == "pytest" and re.search(r"^!++ .*KeyboardInterrupt !++$", _short_lines(output), re.M) is not None


PYTEST_INTERRUPTED, PYTEST_NONE = 2, 5


def judge(tool: Tool, exit_code: int | None, counts: Counts | None, cut_short: bool) -> tuple[Verdict, str | None]:
    """(verdict, why it is not passed) from what is known of a run's end. The process's own status comes first.

    >>> judge("pytest", None, Counts(3, 0, 0), False), judge("pytest", 0, None, False)
    (('passed', None), ('passed', None))
    """
    failed = counts is not None and counts.failed > 0
    if exit_code == 0:
        return "passed", None
    if exit_code is not None:
        return _judge_status(tool, exit_code, failed, cut_short)
    if cut_short and not failed:
        return "unknown", "it was interrupted"
    if counts is None:
        return "unknown", "neither its exit status nor a summary can be seen"
    if failed:
        return "failed", None
    return ("passed", None) if counts.passed else ("unknown", "no test passed or failed")


def _judge_status(tool: Tool, exit_code: int, failed: bool, cut_short: bool) -> tuple[Verdict, str | None]:
    if failed:
        return "failed", None
    if cut_short or exit_code > 128 or (tool == "pytest" and exit_code == PYTEST_INTERRUPTED):
        return "unknown", "it was interrupted"
    if tool == "pytest" and exit_code == PYTEST_NONE:
        return "failed", "no test was collected"
    return "failed", f"exit code {exit_code}"


_ROUND_END = re.compile(
    r"Ran all test suites[^\n]{0,400}\n|Waiting for file changes[^\n]{0,400}"
    r"|Duration[ \t]{1,20}[\d.]{1,20}[ \t]{0,20}m?s[^\n]{0,400}\n"
)
_ROUND_BEGIN = re.compile(r"RERUN|^[ \t]*+RUNS |Determining test suites", re.MULTILINE)


def watches(tool: Tool, command: Sequence[str], *, on_terminal: bool) -> bool:
    """Return whether a run goes on after its result and runs again when files change."""
    words = set(command)
    if tool != "jest":
        return False
    if words & {"--watch", "--watchAll", "-w", "watch", "dev"}:
        return True
    vitest = any(PurePath(word).name.startswith("vitest") for word in command)
    return vitest and on_terminal and not words & {"run", "--run", "--no-watch", "--watch=false", "related"}


def split_round(text: str) -> tuple[str, str] | None:
    """(the text up to the end of the first round, the text after it); None while the round goes on."""
    text = visible(text)
    found = _ROUND_END.search(text)
    return (text[: found.end()], text[found.end() :]) if found else None


def after_round_begins(text: str) -> str | None:
    """The text from where another round begins; None where none does."""
    text = visible(text)
    found = _ROUND_BEGIN.search(text)
    return text[found.end() :] if found else None


_PYTEST = re.compile(
    r"^=*+[ \t]*+((?:\d+ [a-z]+(?: [a-z]+)?(?:, )?)+|no tests ran)(?: in [\d.]+s)?(?: \([\d:]+\))?[ \t]*+=*+$",
    re.MULTILINE,
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
    lines = re.findall(r"^[ \t]*+Tests:?[ \t]++(.*(?:total|passed|failed|skipped|\(\d+\)).*)$", text, re.MULTILINE)
    if not lines:
        return None
    numbers = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", lines[-1])}
    skipped = sum(numbers.get(word, 0) for word in ("skipped", "todo", "pending"))
    return Counts(numbers.get("passed", 0), numbers.get("failed", 0), skipped)


def _go(text: str) -> Counts | None:
    """Count go's tests. Without -v it names only those that failed: then every package that passed counts as one."""
    each = re.findall(r"^[ \t]*+--- (PASS|FAIL|SKIP): ", text, re.MULTILINE)
    packages = re.findall(r"^(ok|FAIL|\?)[ \t]++\S++[ \t]++(?:[\d.]+s|\(cached\)|\[)", text, re.MULTILINE)
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
    from xml.etree import ElementTree  # here: most sessions have none

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
