"""Test runs: recognised from a command line, counted from what they print or from their JUnit file. Pure."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from townwatch.runner.observers.testtools import TOOLS
from townwatch.runner.observers.testtools.javascript import NODE_VALUES
from townwatch.runner.observers.testtools.tool import Counts, TestTool

Verdict = Literal["passed", "failed", "unknown"]
_ERASE_LINE = re.compile(r"(?:\x1b\[|\x9b)[012]?K")
_STRING = re.compile(r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x18\x1a\x9c]*(?:\x07|\x1b\\|[\x18\x1a\x9c])?")
_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CUT = "\ue000"
OUTPUT_CHARS = 64 * 1024
"""How much of the end of a run's output is searched for its summary."""
LINE_CHARS = 400
"""A longer line is no summary of a test run: expressions are for lines whose length is bounded, whatever is printed."""
_WRAPPERS = frozenset(
    "env time nice timeout uv poetry pipenv npx pnpm yarn npm bunx run exec sudo xvfb-run coverage bundle c8 nyc"
    " -m".split()
)
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_INLINE = re.compile(r"-[a-z]*c[a-z]*")
"""The option of a shell whose value is a script."""
_OTHER_COMMANDS = {
    "vitest": frozenset({"list", "init", "bench"}),
    "nextest": frozenset({"list", "archive", "show-config", "self"}),
    "mocha": frozenset({"init"}),
    "ava": frozenset({"reset-cache"}),
    "jasmine": frozenset({"init", "examples"}),
    "tap": frozenset({"config", "dump-config", "help", "list", "plugin", "version", "versions"}),
}
"""First words after a tool's name with which it runs no test."""
_TAKE_A_VALUE = frozenset(
    "--with --with-requirements --with-editable --group --extra --package --python --project --directory -p -C -n"
    " --from --cwd --prefix -u -k -s --signal --kill-after".split()
)
"""Options of wrappers whose value is the next word: the value is no program."""
_INTERPRETER = re.compile(r"(python|pypy|node|bun|ruby|perl|php|java|elixir)[\d.]*")
_INTERPRETER_VALUES = {
    "python": frozenset({"-W", "-X"}),
    "pypy": frozenset({"-W", "-X"}),
    "node": NODE_VALUES,
    "ruby": frozenset({"-I", "-r", "-C"}),
    "perl": frozenset({"-I"}),
    "php": frozenset({"-d", "-c"}),
    "java": frozenset({"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-opens", "--add-exports"}),
    "elixir": frozenset({"-pa", "-pz", "-r", "--erl", "--name", "--sname"}),
}
"""Options of interpreters whose value is the next word."""
_WITHIN = frozenset(
    "coverage coverage3 cProfile profile trace pdb debugpy viztracer pyinstrument memray scalene".split()
)
"""What runs a Python module within itself, with options of its own before the ``-m`` of that module."""


def recognise(command: Sequence[str]) -> str | None:
    """Return the name of the test tool that a command line runs, through the usual wrappers; None for anything else.

    >>> recognise(["uv", "run", "pytest", "-q"]), recognise(["python3", "-m", "unittest"]), recognise(["go", "build"])
    ('pytest', 'unittest', None)
    """
    words = [word for word in command if word]
    if words and PurePath(words[0]).name == "beam.smp":  # what elixir becomes
        words = words[words.index("-extra") + 1 :] if "-extra" in words else []
    value, begin, values = False, 0, _TAKE_A_VALUE
    shell = bool(words) and PurePath(words[0]).name in _SHELLS
    for position, word in enumerate(words):
        if shell and _INLINE.fullmatch(word):
            return None  # what it runs are processes of their own
        if value or position < begin:
            value = False
            continue
        tool = _tool_at(words, position)
        if tool is not None:
            return None if _only_asks(tool, words[position:]) else tool.name
        if (interpreter := _interpreter(PurePath(word).name)) is not None:
            values = _INTERPRETER_VALUES.get(interpreter, frozenset())
        if PurePath(word).name in _WITHIN and "-m" in words[position + 1 :]:
            begin = words.index("-m", position + 1)
            continue
        value = word in values
        if not _goes_on(PurePath(word).name, word, position):
            return None
    return None


def _tool_at(words: Sequence[str], position: int) -> TestTool | None:
    name = _program(words[position])
    after, before = words[position + 1 :], words[:position]
    return next((tool for tool in TOOLS.values() if tool.matches(name, after, before)), None)


def _program(word: str) -> str:
    return re.sub(r"\.(exe|bat|cmd|m?js|cjs)$", "", PurePath(word).name)


def _interpreter(name: str) -> str | None:
    found = _INTERPRETER.fullmatch(name)
    return found[1] if found else None


def _only_asks(tool: TestTool, words: Sequence[str]) -> bool:
    """Return whether the tool is only asked for help, names or its version. Short flags may stand together: ``-qh``."""
    options = words[1:]
    for word, following in zip(words, options, strict=False):
        if following in _OTHER_COMMANDS.get(_program(word), ()):
            return True
    if tool.name == "pytest" and any(re.fullmatch(r"-[qvxsl]*[hV][qvxsl]*", word) for word in options):
        return True
    names = (word.partition("=")[0] if word.startswith(("--", "-list=")) else word for word in options)
    return any(name in tool.asks for name in names)


def _goes_on(name: str, word: str, position: int) -> bool:
    """Return whether a word may stand before the test tool: a wrapper, an interpreter, an option, VAR=value."""
    interprets = _interpreter(name) is not None
    interprets |= position == 0 and name in _SHELLS  # of a script
    return interprets or name in _WRAPPERS or word.startswith("-") or "=" in word or (position > 0 and name.isdigit())


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


def count(tool: str, output: str) -> Counts | None:
    """The counts of the last summary in the output; None where there is none (it crashed, or it was something else)."""
    return TOOLS[tool].count(_short_lines(output))


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


def interrupted(tool: str, output: str) -> bool:
    """Return whether a run says that it was ended before its end."""
    return tool == "pytest" and re.search(r"^!++ .*KeyboardInterrupt !++$", _short_lines(output), re.M) is not None


PYTEST_INTERRUPTED, PYTEST_NONE = 2, 5


def judge(tool: str, exit_code: int | None, counts: Counts | None, cut_short: bool) -> tuple[Verdict, str | None]:
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


def _judge_status(tool: str, exit_code: int, failed: bool, cut_short: bool) -> tuple[Verdict, str | None]:
    if failed:
        return "failed", None
    if cut_short or exit_code > 128 or (tool == "pytest" and exit_code == PYTEST_INTERRUPTED):
        return "unknown", "it was interrupted"
    if tool == "pytest" and exit_code == PYTEST_NONE:
        return "failed", "no test was collected"
    return "failed", f"exit code {exit_code}"


def watches(tool: str, command: Sequence[str], *, on_terminal: bool) -> bool:
    """Return whether a run goes on after its result and runs again when files change."""
    rounds, words = TOOLS[tool].rounds, set(command)
    if rounds is None:
        return False
    if words & rounds.words:
        return True
    vitest = any(_program(word) == "vitest" for word in command)
    return vitest and on_terminal and not words & {"run", "--run", "--no-watch", "--watch=false", "related"}


def split_round(tool: str, text: str) -> tuple[str, str] | None:
    """(the text up to the end of the first round, the text after it); None while the round goes on."""
    text, rounds = visible(text), TOOLS[tool].rounds
    found = rounds.end.search(text) if rounds is not None else None
    return (text[: found.end()], text[found.end() :]) if found else None


def after_round_begins(tool: str, text: str) -> str | None:
    """The text from where another round begins; None where none does."""
    text, rounds = visible(text), TOOLS[tool].rounds
    found = rounds.begin.search(text) if rounds is not None else None
    return text[found.end() :] if found else None


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
