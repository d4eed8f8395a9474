"""Test runs: recognised from command lines, counted from what the tools really print."""

import shlex

import pytest

from townwatch.runner.observers.testruns import (
    Counts,
    count,
    count_junit,
    junit_path,
    recognise,
    test_files as named_files,
)

# --- which command lines are test runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "tool"),
    [
        ("pytest", "pytest"),
        ("/usr/bin/py.test -q", "pytest"),
        ("python3.12 -m pytest -q tests", "pytest"),
        ("uv run pytest", "pytest"),
        ("poetry run python -m pytest", "pytest"),
        ("env A=1 timeout 10 pytest", "pytest"),
        ("A=1 pytest", "pytest"),
        ("coverage run -m pytest", "pytest"),
        ("python -m unittest discover", "unittest"),
        ("npx jest --ci", "jest"),
        ("node /app/node_modules/.bin/jest", "jest"),
        ("node /app/node_modules/vitest/vitest.mjs run", "jest"),
        ("pnpm exec vitest", "jest"),
        ("go test ./...", "go"),
        ("cargo test --all", "cargo"),
        ("cargo nextest run", "cargo"),
        ("go build ./...", None),
        ("cargo build", None),
        ("pip install pytest", None),
        ("uv add pytest", None),
        ("grep pytest README", None),
        ("vim pytest.ini", None),
        ("unittest", None),
        ("python pytest_helper.py", None),
        ("pytest --version", None),
        ("pytest --collect-only", None),
        ("", None),
    ],
)
def test_recognised(line: str, tool: str | None) -> None:
    assert recognise(shlex.split(line)) == tool


def test_no_words_are_no_test_run() -> None:
    assert recognise([]) is None
    assert recognise([""]) is None


# --- what they print --------------------------------------------------------------------------------------------------

PYTEST_COLOUR = (
    "\x1b[31mF\x1b[0m\x1b[32m.\x1b[0m\x1b[33ms\x1b[0m\x1b[31m                              [100%]\x1b[0m\r\n"
    "\x1b[36m\x1b[1m=========================== short test summary info ============================\x1b[0m\r\n"
    "\x1b[31mFAILED\x1b[0m test_a.py::\x1b[1mtest_no\x1b[0m - assert 1 == 2\r\n"
    "\x1b[31m\x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m1 passed\x1b[0m, \x1b[33m1 skipped\x1b[0m\x1b[31m in 0.05s\x1b[0m"
    "\x1b[0m\r\n"
)
PYTEST_LONG = (
    "============================= test session starts ==============================\n"
    "collected 9 items\n\ntest_a.py .F.                                       [100%]\n\n"
    "=== 1 failed, 4 passed, 1 skipped, 1 deselected, 1 xfailed, 1 xpassed, 1 error in 62.05s (0:01:02) ===\n"
)
UNITTEST = "..F.s\n" + "-" * 70 + "\nRan 5 tests in 0.002s\n\nFAILED (failures=1, errors=1, skipped=1)\n"
JEST = (
    "\x1b[0m\x1b[7m\x1b[1m\x1b[31m FAIL \x1b[39m\x1b[22m\x1b[27m\x1b[0m ./a.test.js\n"
    "\x1b[1mTest Suites: \x1b[22m\x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m, 1 total\n"
    "\x1b[1mTests:       \x1b[22m\x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m, \x1b[1m\x1b[33m1 skipped\x1b[39m\x1b[22m, "
    "\x1b[1m\x1b[32m2 passed\x1b[39m\x1b[22m, 4 total\n\x1b[1mSnapshots:   \x1b[22m0 total\n"
)
VITEST = (
    "\x1b[2m Test Files \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m\x1b[2m | \x1b[22m1 passed (2)\n"
    "\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m\x1b[2m | \x1b[22m\x1b[1m\x1b[32m3 passed"
    "\x1b[39m\x1b[22m\x1b[2m | \x1b[22m\x1b[33m1 skipped\x1b[39m\x1b[90m (5)\x1b[39m\n   Start at  10:00:00\n"
)
GO = "ok  \ta\t0.003s\n--- FAIL: TestB (0.00s)\n    b_test.go:5: no\nFAIL\nFAIL\texample.org/b\t0.002s\nFAIL\n"
GO_VERBOSE = (
    "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    a_test.go:9: later\n--- SKIP: TestB (0.00s)\n"
    "=== RUN   TestC\n--- FAIL: TestC (0.00s)\nFAIL\nFAIL\texample.org/a\t0.003s\n"
)
CARGO = (
    "running 2 tests\ntest tests::a ... \x1b[32mok\x1b[m\ntest tests::b ... \x1b[31mFAILED\x1b[m\n\n"
    "test result: \x1b[31mFAILED\x1b[m. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
    "\n   Doc-tests app\n\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0\n"
)
NEXTEST = "------------\n     Summary [   0.005s] 4 tests run: 2 passed, 2 failed, 1 skipped\n"


@pytest.mark.parametrize(
    ("tool", "output", "counts"),
    [
        ("pytest", PYTEST_COLOUR, (1, 1, 1)),
        ("pytest", PYTEST_LONG, (5, 2, 3)),
        ("pytest", "3 passed, 4 subtests passed in 0.01s\n", (3, 0, 0)),
        ("pytest", "no tests ran in 0.00s\n", (0, 0, 0)),
        ("pytest", "ImportError: no module\n", None),
        ("unittest", UNITTEST, (2, 2, 1)),
        ("unittest", "Ran 1 test in 0.000s\n\nOK\n", (1, 0, 0)),
        ("unittest", "OK\n", None),
        ("jest", JEST, (2, 1, 1)),
        ("jest", VITEST, (3, 1, 1)),
        ("jest", "npm ERR!\n", None),
        ("go", GO, (1, 1, 0)),
        ("go", GO_VERBOSE, (1, 1, 1)),
        ("go", "ok  \ta\t(cached)\n?   \tb\t[no test files]\n", (1, 0, 1)),
        ("go", "a.go:1: syntax error\n", None),
        ("cargo", CARGO, (4, 1, 1)),
        ("cargo", NEXTEST, (2, 2, 1)),
        ("cargo", "error: could not compile\n", None),
    ],
)
def test_counted(tool: str, output: str, counts: tuple[int, int, int] | None) -> None:
    assert count(tool, output) == (None if counts is None else Counts(*counts))  # type: ignore[arg-type]


def test_the_last_summary_is_the_one_that_counts() -> None:
    assert count("pytest", "1 failed in 0.1s\n" + "x" * 100 + "\n2 passed in 0.1s\n") == Counts(2, 0, 0)


# --- JUnit and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xml", "counts"),
    [
        ('<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1"/></testsuites>', Counts(2, 2, 1)),
        (b'<?xml version="1.0" encoding="utf-8"?><testsuite tests="2" failures="0"/>', Counts(2, 0, 0)),
        ('<testsuites><testsuite tests="1"/><testsuite tests="2" skipped="1"/></testsuites>', Counts(2, 0, 1)),
        ('<testsuite tests="many"/>', None),
        ("<html/>", None),
        ("not xml", None),
        (b"\xff\xfe\x00", None),
    ],
)
def test_junit(xml: str | bytes, counts: Counts | None) -> None:
    assert count_junit(xml) == counts


def test_what_a_command_line_names() -> None:
    assert junit_path(["pytest", "--junitxml=out.xml"]) == "out.xml"
    assert junit_path(["pytest", "--junit-xml", "out.xml"]) == "out.xml"
    assert junit_path(["pytest", "--junit-xml"]) is None
    assert named_files(["pytest", "tests/test_a.py::test_x", "-k", "b", "conf.py"]) == ["tests/test_a.py::test_x"]
    assert named_files(["jest", "a.spec.ts"]) == ["a.spec.ts"]
    assert named_files(["pytest"]) is None


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        ("vitest list", None),
        ("vitest run list", "jest"),
        ("jest list", "jest"),
        ("cargo nextest list", None),
        ("cargo test list", "cargo"),
        ("cargo nextest run", "cargo"),
        ("cargo +nightly test", "cargo"),
        ("uv run --with pytest mypy", None),
        ("uv run --with pytest-cov pytest -q", "pytest"),
        ("timeout -s INT 3 pytest", "pytest"),
        ("python -u run.py pytest", None),
        ("python -u -m pytest", "pytest"),
        ("python -W error -X dev -m pytest", "pytest"),
        ("python -W error run.py -m pytest", None),
        ("python -m coverage run --source src --omit x -m pytest -q", "pytest"),
        ("python /usr/bin/coverage run --source src -m unittest", "unittest"),
        ("python -m cProfile -o out.prof -m pytest", "pytest"),
        ("coverage run --source src -m pytest --co", None),
        ("coverage report -m", None),
        ("pytest --setup-only", None),
        ("sh node_modules/.bin/jest", "jest"),
        ("go test -list .", None),
        ("pytest -xh", None),
        ("pytest -k help", "pytest"),
        ("pip install pytest", None),
        ("grep pytest setup.cfg", None),
        ("which pytest", None),
    ],
)
def test_what_is_a_run_and_what_is_not(command: str, tool: str | None) -> None:
    assert recognise(shlex.split(command)) == tool


@pytest.mark.parametrize(
    "green",
    [
        "\x1b[32mok\x1b(B\x1b[m. 1 passed; 0 failed; 1 ignored",
        "\x1b]8;;https://x\x07ok\x1b]8;;\x07. 1 passed; 0 failed; 1 ignored",
        "\x1bPq#0\x1b\\ok. 1 passed; 0 failed; 1 ignored",
        "\x1b7\x1b8\x1b=\x1b>ok. 1 passed; 0 failed; 1 ignored",
        "FAILED\rtest result: \x1b[Kok. 1 passed; 0 failed; 1 ignored",
        "\x0e\x0fok. 1 passed; 0 failed; 1 ignored",
        "\x9b32mok. 1 passed; 0 failed; 1 ignored",
        "\x1b[?2026h\x1b[38:2::1:2:3mok\x1b[0m. 1 passed; 0 failed; 1 ignored",
    ],
)
def test_a_terminals_sequences_are_no_text(green: str) -> None:
    assert count("cargo", f"test result: {green}; 0 measured\r\n") == Counts(1, 0, 1)
