"""The test tools of Node.js, Bun and Deno."""

import re
from collections.abc import Sequence

from townwatch.runner.observers.testtools.tool import (
    Counts,
    Rounds,
    TestTool,
    called,
    called_with,
    flags,
    last,
    numbers,
)

NODE_VALUES = flags("-r --require --import --loader -C --conditions --env-file")
"""Options of Node.js whose value is the next word."""
_WATCH = frozenset({"--watch", "-w"})
_NEXT_WORD = re.compile(r"(?=\S)")


def _jest(text: str) -> Counts | None:
    lines = re.findall(r"^[ \t]*+Tests:?[ \t]++(.*(?:total|passed|failed|skipped|\(\d+\)).*)$", text, re.MULTILINE)
    if not lines:
        return None
    each = numbers(re.findall(r"(\d+) ([a-z]+)", lines[-1]))
    skipped = sum(each.get(word, 0) for word in ("skipped", "todo", "pending"))
    return Counts(each.get("passed", 0), each.get("failed", 0), skipped)


_MOCHA = re.compile(
    r"^[ \t]{1,8}(\d+) passing \([^)\n]{1,20}\)$(?:\n[ \t]{1,8}(\d+) pending$)?(?:\n[ \t]{1,8}(\d+) failing$)?",
    re.MULTILINE,
)


def _mocha(text: str) -> Counts | None:
    found = last(_MOCHA, text)
    return Counts(int(found[1]), int(found[3] or 0), int(found[2] or 0)) if found else None


_NODE = re.compile(r"^(?:#|ℹ) (tests|pass|fail|cancelled|skipped|todo) (\d+)$", re.MULTILINE)


def _node(text: str) -> Counts | None:
    each = {word: int(number) for word, number in _NODE.findall(text)}
    if not {"tests", "pass", "fail"} <= each.keys():
        return None
    return Counts(each["pass"], each["fail"] + each.get("cancelled", 0), each.get("skipped", 0) + each.get("todo", 0))


def _node_test(name: str, after: Sequence[str], before: Sequence[str]) -> bool:
    """``node --test``: its own option, so before any script."""
    if name != "node":
        return False
    value = False
    for word in after:
        if word == "--test" or word.startswith("--test-"):
            return True
        if not (word.startswith("-") or value):
            return False
        value = word in NODE_VALUES
    return False


_AVA = re.compile(
    r"^  (\d+) (tests? (?:passed|failed|skipped|todo)|known failures?|uncaught exceptions?|unhandled rejections?)\b",
    re.MULTILINE,
)


_AVA_PASSED = re.compile(r"^  ✔ ", re.MULTILINE)
_WHOLE = 60_000
"""A text that is shorter was not cut off at its beginning."""


def _ava(text: str) -> Counts | None:
    """Count ava's tests. Where one failed, its summary leaves out those that passed: they are counted by their lines,
    as far as all of these are there.
    """
    end = text.rfind("  ─\n")  # above it stand the tests, below it the summary
    each: dict[str, int] = {}
    for number, what in _AVA.findall(text[end:] if end >= 0 else text):
        each[what.split()[-1].rstrip("s")] = int(number)
    if not each:
        return None
    failed = each.get("failed", 0) + each.get("exception", 0) + each.get("rejection", 0)
    passed = each.get("passed", 0)
    if failed and "passed" not in each:
        if len(text) >= _WHOLE:
            return None
        passed = len(_AVA_PASSED.findall(text))
    return Counts(passed + each.get("failure", 0), failed, each.get("skipped", 0) + each.get("todo", 0))


_BUN = re.compile(r"^[ \t]{0,4}(\d+) (pass|fail|skip|todo|error)s?$", re.MULTILINE)
_BUN_END = re.compile(r"^Ran \d+ tests? across \d+ files?\.", re.MULTILINE)


def _bun(text: str) -> Counts | None:
    end = last(_BUN_END, text)
    if end is None:
        return None
    before = text[: end.start()]
    block = before[before.rstrip("\n").rfind("\n\n") + 1 :]
    each = numbers(_BUN.findall(block))
    if not each:
        return None
    return Counts(
        each.get("pass", 0), each.get("fail", 0) + each.get("error", 0), each.get("skip", 0) + each.get("todo", 0)
    )


_DENO = re.compile(
    r"^(?:ok|FAILED) \| (\d+) passed(?: \([^)\n]{1,40}\))? \| (\d+) failed(?: \([^)\n]{1,40}\))?(?: \| (\d+) ignored)?",
    re.MULTILINE,
)


def _deno(text: str) -> Counts | None:
    found = last(_DENO, text)
    return Counts(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


_JASMINE = re.compile(r"^(\d+) specs?, (\d+) failures?(?:, (\d+) pending specs?)?$", re.MULTILINE)


def _jasmine(text: str) -> Counts | None:
    found = last(_JASMINE, text)
    if found is None:
        return None
    ran, failed, pending = int(found[1]), int(found[2]), int(found[3] or 0)
    return Counts(max(0, ran - failed - pending), failed, pending)


_PLAYWRIGHT = re.compile(
    r"^  (\d+) (passed|failed|skipped|flaky|interrupted|did not run|errors? (?:was|were) not a part of any test)"
    r"(?:, see above for details)?(?: \([\d.]+m?[sh]\))?$",
    re.MULTILINE,
)


def _playwright(text: str) -> Counts | None:
    each = numbers(_PLAYWRIGHT.findall(text))
    if not each:
        return None
    errors = sum(count for word, count in each.items() if word.startswith("error"))
    return Counts(
        each.get("passed", 0) + each.get("flaky", 0),
        each.get("failed", 0) + each.get("interrupted", 0) + errors,
        each.get("skipped", 0) + each.get("did not run", 0),
    )


_TAP = re.compile(
    r"^# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?(?:, skip: (\d+))?(?:, todo: (\d+))? \}$", re.M
)


def _tap(text: str) -> Counts | None:
    found = last(_TAP, text)
    if found is None:
        return None
    passed, failed, skipped, todo = (int(number or 0) for number in found.groups()[1:])
    return Counts(passed, failed, skipped + todo)


JAVASCRIPT = (
    TestTool(  # vitest, too: their summaries are alike
        name="jest",
        matches=called("jest", "vitest"),
        count=_jest,
        asks=flags("--help -h --version -v --listTests --showConfig --clearCache --init"),
        begins=re.compile(r"^ *(?:FAIL\b|●|⎯+ *Failed)", re.MULTILINE),
        ends=re.compile(r"^ *(?:Ran all test suites|Duration |Time: ).*$", re.MULTILINE),
        rounds=Rounds(
            words=frozenset({"--watch", "--watchAll", "-w", "watch", "dev"}),
            end=re.compile(
                r"Ran all test suites[^\n]{0,400}\n|Waiting for file changes[^\n]{0,400}"
                r"|Duration[ \t]{1,20}[\d.]{1,20}[ \t]{0,20}m?s[^\n]{0,400}\n"
            ),
            begin=re.compile(r"RERUN|^[ \t]*+RUNS |Determining test suites", re.MULTILINE),
        ),
    ),
    TestTool(
        name="mocha",
        matches=called("mocha", "_mocha"),
        count=_mocha,
        asks=flags("--help -h --version -V --list-files --list-reporters --list-interfaces"),
        begins=re.compile(r"^ {2}1\) |^\S*Error: ", re.MULTILINE),
        rounds=Rounds(_WATCH, re.compile(r"\[mocha\] waiting for changes\.\.\.[^\n]{0,20}"), _NEXT_WORD),
    ),
    TestTool(
        name="node",
        matches=_node_test,
        count=_node,
        begins=re.compile(r"^✖ failing tests:$|^not ok ", re.MULTILINE),
        rounds=Rounds(frozenset({"--watch"}), re.compile(r"(?:#|ℹ) duration_ms [\d.]{1,30}[ \t]{0,4}\n"), _NEXT_WORD),
    ),
    TestTool(
        name="ava",
        matches=called("ava"),
        count=_ava,
        asks=flags("--help --version"),
        begins=re.compile(r"^ {2}─$", re.MULTILINE),
        rounds=Rounds(
            _WATCH, re.compile(r"Type `r` followed by enter to rerun tests"), re.compile(r"^─{8}", re.MULTILINE)
        ),
    ),
    TestTool(
        name="bun",
        matches=called_with("bun", "test"),
        count=_bun,
        begins=re.compile(r"^error: ", re.MULTILINE),
        ends=re.compile(r"^Ran \d+ tests? across .*$", re.MULTILINE),
        rounds=Rounds(
            frozenset({"--watch"}),
            re.compile(r"Ran \d{1,9} tests? across \d{1,9} files?\.[^\n]{0,100}\n"),
            re.compile(r"bun test v[^\n]{0,100}"),
        ),
    ),
    TestTool(
        name="deno",
        matches=called_with("deno", "test"),
        count=_deno,
        asks=flags("--help -h --no-run"),
        begins=re.compile(r"^ ?ERRORS ?$|^error: ", re.MULTILINE),
        ends=re.compile(r"^FAILED \| .*$", re.MULTILINE),
        rounds=Rounds(
            frozenset({"--watch"}),
            re.compile(r"Watcher Test (?:finished|failed)\.[^\n]{0,100}"),
            re.compile(r"Watcher Restarting![^\n]{0,400}"),
        ),
    ),
    TestTool(
        name="jasmine",
        matches=called("jasmine"),
        count=_jasmine,
        asks=flags("--help -h --version -v"),
        begins=re.compile(r"^Failures:", re.MULTILINE),
        ends=re.compile(r"^\d+ specs?, .*$", re.MULTILINE),
    ),
    TestTool(
        name="playwright",
        matches=called_with("playwright", "test"),
        count=_playwright,
        asks=flags("--help -h --version -V --list"),
        begins=re.compile(r"^ {2}1\) ", re.MULTILINE),
    ),
    TestTool(
        name="tap",
        matches=called("tap"),
        count=_tap,
        asks=flags("--help -h --version -v"),
        begins=re.compile(r"^[ \t]{0,12}not ok |^[ \t]{0,4}FAIL ", re.MULTILINE),
    ),
    TestTool(name="cypress", matches=called_with("cypress", "run")),
)
