"""The text of what failed, from what test tools print and from JUnit files."""

from collections.abc import Sequence

import pytest

from townwatch.runner.observers.failures import FAILURE_CHARS, LAST_LINES, junit_failures, printed_failures

PYTEST = """\
\x1b[1m=== test session starts ===\x1b[0m
collected 3 items

test_a.py ..F                                [100%]

=================================== FAILURES ===================================
____________________________________ test_c ____________________________________

    def test_c():
>       assert 1 == 2
\x1b[31mE       assert 1 == 2\x1b[0m

test_a.py:5: AssertionError
=========================== short test summary info ============================
FAILED test_a.py::test_c - assert 1 == 2
========================= 1 failed, 2 passed in 0.71s ==========================
demo:shop $ """
UNITTEST = """\
.F
======================================================================
FAIL: test_a (test_cart.CartTest.test_a)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "test_cart.py", line 9, in test_a
AssertionError: -105 != 35

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
$ echo on
"""
JEST = """\
 PASS  b.test.js
 FAIL  a.test.js
  ● adds

    expect(received).toBe(expected)

Tests:       1 failed, 1 passed, 2 total
Time:        0.3 s
Ran all test suites.
more
"""
VITEST = """\
 ❯ a.test.js (1 test | 1 failed)
⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯
 FAIL  a.test.js > adds
AssertionError: expected 1 to be 2
 Test Files  1 failed (1)
   Duration  300ms
"""
GO = """\
ok  \texample.org/b\t0.003s
--- FAIL: TestAdd (0.00s)
    add_test.go:8: got 1, want 2
FAIL
FAIL\texample.org/a\t0.002s
FAIL
$ """
CARGO = """\
running 1 test
test tests::adds ... FAILED

failures:

---- tests::adds stdout ----
assertion `left == right` failed

failures:
    tests::adds

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
error: test failed, to rerun pass `--lib`
$ """


def as_it_is(lines: Sequence[str]) -> list[str]:
    return list(lines)


@pytest.mark.parametrize(
    ("tool", "output", "first", "within", "last"),
    [
        ("pytest", PYTEST, "FAILURES", "E       assert 1 == 2\n", "1 failed, 2 passed in 0.71s"),
        ("unittest", UNITTEST, "FAIL: test_a", "AssertionError: -105 != 35", "FAILED (failures=1)"),
        ("jest", JEST, "FAIL  a.test.js", "expect(received)", "Ran all test suites."),
        ("jest", VITEST, "Failed Tests 1", "expected 1 to be 2", "Duration  300ms"),
        ("go", GO, "--- FAIL: TestAdd", "got 1, want 2", "FAIL"),
        ("cargo", CARGO, "failures:", "left == right", "error: test failed, to rerun pass `--lib`"),
    ],
)
def test_what_failed_is_cut_out_of_what_was_printed(tool: str, output: str, first: str, within: str, last: str) -> None:
    found = printed_failures(tool, output, as_it_is, all_its_own=False)
    assert found is not None
    assert found.text.lstrip(" =⎯\n").startswith(first)
    assert within in found.text
    assert found.text.rstrip(" =").endswith(last)
    assert "\x1b" not in found.text
    assert not found.cut


def test_a_run_that_names_no_failure_has_its_last_lines_if_they_are_its_own() -> None:
    output = "".join(f"line {n}\n" for n in range(100)) + "Fatal Python error: Segmentation fault\n"
    assert printed_failures("pytest", output, as_it_is, all_its_own=False) is None
    found = printed_failures("pytest", output, as_it_is, all_its_own=True)
    assert found is not None
    assert (len(found.text.split("\n")), found.cut) == (LAST_LINES, True)
    assert found.text.endswith("Segmentation fault")
    assert printed_failures("pytest", "\n\n", as_it_is, all_its_own=True) is None


def test_a_long_text_says_that_it_is_cut_and_is_masked_before() -> None:
    secret = "s3cr3t"
    output = "=== FAILURES ===\n" + f"{secret} in a line that is long\n" * 2000

    def mask(lines: Sequence[str]) -> list[str]:
        return [line.replace(secret, "••••••") for line in lines]

    found = printed_failures("pytest", output, mask, all_its_own=True)
    assert found is not None
    assert FAILURE_CHARS - 100 < len(found.text) <= FAILURE_CHARS
    assert (found.cut, secret in found.text, found.text.endswith("is long")) == (True, False, True)


def test_a_junit_file_says_what_failed() -> None:
    xml = """<testsuites><testsuite tests="3" failures="1" errors="1">
    <testcase classname="test_a" name="test_c"><failure message="assert 1 == 2">def test_c():
E   assert 1 == 2</failure></testcase>
    <testcase classname="test_a" name="test_d"><error message="fixture &lt;x&gt; is not there"/></testcase>
    <testcase classname="test_a" name="test_e"/></testsuite></testsuites>"""
    found = junit_failures(xml, as_it_is)
    assert found is not None
    assert found.text == (
        "FAILURE: test_a.test_c\ndef test_c():\nE   assert 1 == 2\n\nERROR: test_a.test_d\nfixture <x> is not there"
    )
    assert junit_failures("<no", as_it_is) is None
    assert junit_failures("<testsuite/>", as_it_is) is None
