"""Python's test tools."""

import re
from collections.abc import Sequence

from townwatch.runner.observers.testtools.tool import Counts, TestTool, called, called_with, either, flags

_PYTEST = re.compile(
    r"^=*+[ \t]*+((?:\d+ [a-z]+(?: [a-z]+)?(?:, )?)+|no tests ran)(?: in [\d.]+s)?(?: \([\d:]+\))?[ \t]*+=*+$",
    re.MULTILINE,
)


def _pytest(text: str) -> Counts | None:
    found = [m for m in _PYTEST.finditer(text) if " in " in m[0]]
    if not found:
        return None
    each = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", found[-1][1])}
    failed = sum(each.get(word, 0) for word in ("failed", "error", "errors"))
    passed = each.get("passed", 0) + each.get("xpassed", 0)
    return Counts(passed, failed, sum(each.get(word, 0) for word in ("skipped", "xfailed", "deselected")))


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


def _unittest_module(name: str, after: Sequence[str], before: Sequence[str]) -> bool:
    return name == "unittest" and "-m" in before


PYTHON = (
    TestTool(
        name="pytest",
        matches=called("pytest", "py.test"),
        count=_pytest,
        asks=flags(
            "--help -h --version -V --collect-only --collectonly --co --fixtures --funcargs --fixtures-per-test"
            " --markers --cache-show --setup-plan --setup-only --trace-config"
        ),
        begins=re.compile(r"^=+ (?:FAILURES|ERRORS) =+$|^ERROR: |^ImportError while loading conftest", re.MULTILINE),
        ends=re.compile(r"^(?=[^\n]{0,400}$).*\b(?:failed|errors?)\b.* in \d+\.\d+s.*$", re.MULTILINE),
    ),
    TestTool(  # nose2 and Django print as it does
        name="unittest",
        matches=either(
            _unittest_module,
            called("nose2"),
            called_with("manage.py", "test"),
            called_with("django-admin", "test"),
        ),
        count=_unittest,
        asks=flags("--help -h --version"),
        begins=re.compile(r"^={20,}\n(?:FAIL|ERROR): ", re.MULTILINE),
        ends=re.compile(r"^FAILED\b.*$", re.MULTILINE),
    ),
)
