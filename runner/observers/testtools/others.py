"""Test tools of the other languages."""

import re
from collections.abc import Sequence

from townwatch.runner.observers.testtools.tool import (
    Counts,
    TestTool,
    called,
    called_for,
    called_with,
    either,
    flags,
    last,
    numbers,
)


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
    return _sum(each or nextest)


def _sum(rows: Sequence[Sequence[str]]) -> Counts | None:
    """Add up (passed, failed, skipped) of several summaries."""
    if not rows:
        return None
    return Counts(*(sum(int(row[column] or 0) for row in rows) for column in range(3)))


def _of_all(rows: Sequence[Sequence[str]]) -> Counts | None:
    """Add up (tests, failed, skipped) of several summaries."""
    summed = _sum(rows)
    if summed is None:
        return None
    return Counts(max(0, summed.passed - summed.failed - summed.skipped), summed.failed, summed.skipped)


_RSPEC = re.compile(
    r"^(\d+) examples?, (\d+) failures?(?:, (\d+) pending)?(?:, (\d+) errors? occurred outside of examples)?$",
    re.MULTILINE,
)


def _rspec(text: str) -> Counts | None:
    found = last(_RSPEC, text)
    if found is None:
        return None
    ran, failed, pending, outside = (int(number or 0) for number in found.groups())
    return Counts(max(0, ran - failed - pending), failed + outside, pending)


_MINITEST = re.compile(
    r"^(\d+) (?:runs|tests), \d+ assertions, (\d+) failures, (\d+) errors,"
    r" (?:(\d+) skips|(\d+) pendings, (\d+) omissions)",
    re.MULTILINE,
)


def _minitest(text: str) -> Counts | None:
    found = last(_MINITEST, text)
    if found is None:
        return None
    ran, failed, errors, *skips = (int(number or 0) for number in found.groups())
    skipped = sum(skips)
    return Counts(max(0, ran - failed - errors - skipped), failed + errors, skipped)


_PHPUNIT_OK = re.compile(r"^OK \((\d+) tests?, \d+ assertions?\)$", re.MULTILINE)
_PHPUNIT = re.compile(r"^Tests: (\d+), Assertions: \d+((?:, [A-Z][A-Za-z ]{2,30}: \d+)*)\.$", re.MULTILINE)


def _phpunit(text: str) -> Counts | None:
    ok, told = last(_PHPUNIT_OK, text), last(_PHPUNIT, text)
    if told is None or (ok is not None and ok.start() > told.start()):
        return Counts(int(ok[1]), 0, 0) if ok is not None else None
    each = {word: int(number) for word, number in re.findall(r"([A-Z][a-z]+): (\d+)", told[2])}
    failed, skipped = (
        each.get("Failures", 0) + each.get("Errors", 0),
        each.get("Skipped", 0) + each.get("Incomplete", 0),
    )
    return Counts(max(0, int(told[1]) - failed - skipped), failed, skipped)


_EXUNIT = re.compile(
    r"^(?:\d+ (?:doctests?|property|properties), ){0,2}(?:\d+ tests?, )?\d+ failures?"
    r"(?:, \d+ (?:skipped|excluded|invalid))*$",
    re.MULTILINE,
)


def _exunit(text: str) -> Counts | None:
    """Count ExUnit's tests; each application of an umbrella has a summary of its own."""
    rows: list[Counts] = []
    for found in _EXUNIT.finditer(text):
        each = numbers(re.findall(r"(\d+) ([a-z]+)", found[0]))
        ran = sum(n for word, n in each.items() if word.startswith(("test", "doctest", "propert")))
        failed = each.get("failure", 0) + each.get("failures", 0) + each.get("invalid", 0)
        skipped = each.get("skipped", 0) + each.get("excluded", 0)
        rows.append(Counts(max(0, ran - failed - skipped), failed, skipped))
    if not rows:
        return None
    return Counts(sum(r.passed for r in rows), sum(r.failed for r in rows), sum(r.skipped for r in rows))


_PROVE = re.compile(r"^Files=\d+, Tests=(\d+),", re.MULTILINE)
_PROVE_FAILED = re.compile(r"^Failed (\d+)/\d+ subtests", re.MULTILINE)


def _prove(text: str) -> Counts | None:
    """Count the tests of TAP::Harness, for which a skipped test is one that is ok."""
    found = last(_PROVE, text)
    if found is None:
        return None
    failed = sum(int(number) for number in _PROVE_FAILED.findall(text))
    return Counts(max(0, int(found[1]) - failed), failed, 0)


_CTEST = re.compile(r"^\d+% tests passed, (\d+) tests? failed out of (\d+)$", re.MULTILINE)
_CTEST_SKIPPED = re.compile(r"^[ \t]{1,12}\d+ - \S.*\(Skipped\)$", re.MULTILINE)


def _ctest(text: str) -> Counts | None:
    """Count the tests of CTest, whose percentage holds a skipped test for one that passed."""
    found = last(_CTEST, text)
    if found is None:
        return None
    failed, total = int(found[1]), int(found[2])
    skipped = len(_CTEST_SKIPPED.findall(text, found.end()))
    return Counts(max(0, total - failed - skipped), failed, skipped)


_MAVEN = re.compile(r"^(?:\[[A-Z]+\] )?Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)$", re.MULTILINE)


def _maven(text: str) -> Counts | None:
    """Count the tests of Surefire and Failsafe: one summary a module; a line of one class says its time, too."""
    return _of_all([(ran, str(int(failed) + int(errors)), skip) for ran, failed, errors, skip in _MAVEN.findall(text)])


_GRADLE = re.compile(r"^(\d+) tests? completed(?:, (\d+) failed)?(?:, (\d+) skipped)?$", re.MULTILINE)


def _gradle(text: str) -> Counts | None:
    """Count Gradle's tests, which it does of a module with a failure only."""
    return _of_all(_GRADLE.findall(text))


_JAVA_TASKS = r"(?::?[\w.-]+:)*(?:test|[a-z]\w*(?:Test|UnitTest|AndroidTest)s?)"

OTHERS = (
    TestTool(
        name="go",
        matches=called_with("go", "test"),
        count=_go,
        asks=flags("-h -help --help -list -c -n"),
        begins=re.compile(r"^ *--- FAIL: |^# \S+|^panic: ", re.MULTILINE),
        ends=re.compile(r"^FAIL\b.*$", re.MULTILINE),
    ),
    TestTool(
        name="cargo",
        matches=called_with("cargo", "test", "t", "nextest"),
        count=_cargo,
        asks=flags("--help -h --no-run --list --version -V"),
        begins=re.compile(r"^failures:$|^error(?:\[|:)", re.MULTILINE),
        ends=re.compile(r"^(?:test result: FAILED|error: ).*$", re.MULTILINE),
    ),
    TestTool(
        name="rspec",
        matches=called("rspec"),
        count=_rspec,
        asks=flags("--help -h --version -v --init --dry-run"),
        begins=re.compile(r"^Failures:$|^An error occurred while loading ", re.MULTILINE),
        ends=re.compile(r"^\d+ examples?, .*$", re.MULTILINE),
    ),
    TestTool(  # rake and Rails run test-unit, too
        name="minitest",
        matches=either(
            called("rake_test_loader.rb", "minitest"),
            called_for("rake", r"test(:[\w:]+)?"),
            called_for("rails", r"test(:[\w:]+)?"),
        ),
        count=_minitest,
        asks=flags("--help -h --version --tasks --dry-run"),
        begins=re.compile(r"^ {2}1\) |^(?:Failure|Error): ", re.MULTILINE),
        ends=re.compile(r"^\d+ (?:runs|tests), .*$", re.MULTILINE),
    ),
    TestTool(
        name="phpunit",
        matches=called("phpunit"),
        count=_phpunit,
        asks=flags(
            "--help -h --version --list-tests --list-tests-xml --list-suites --list-groups --generate-configuration"
            " --check-version"
        ),
        begins=re.compile(r"^There (?:was|were) \d+ (?:failures?|errors?)", re.MULTILINE),
        ends=re.compile(r"^Tests: \d+, .*$", re.MULTILINE),
    ),
    TestTool(
        name="exunit",
        matches=called_with("mix", "test"),
        count=_exunit,
        asks=flags("--help"),
        begins=re.compile(r"^ {2}1\) |^== Compilation error ", re.MULTILINE),
        ends=re.compile(r"^(?:\d+ [a-z]+, ){1,3}\d+ failures?.*$", re.MULTILINE),
    ),
    TestTool(
        name="prove",
        matches=called("prove"),
        count=_prove,
        asks=flags("--help -h -? --version -V --man -H --dry -D"),
        begins=re.compile(r"^# {3}Failed test|^Test Summary Report$", re.MULTILINE),
        ends=re.compile(r"^Result: .*$", re.MULTILINE),
    ),
    TestTool(
        name="ctest",
        matches=called("ctest"),
        count=_ctest,
        asks=flags("--help -h -H --version --show-only -N --print-labels --help-full"),
        begins=re.compile(r"^\d+% tests passed, [1-9]", re.MULTILINE),
    ),
    TestTool(
        name="maven",
        matches=called_for(
            "mvn mvnw mvnd org.codehaus.plexus.classworlds.launcher.Launcher",
            r"test|integration-test|verify|surefire:test|failsafe:\S+",
        ),
        count=_maven,
        asks=flags("--help -h --version -v -DskipTests -Dmaven.test.skip -DskipTests=true -Dmaven.test.skip=true"),
        begins=re.compile(r"^\[ERROR\] (?:Failures:|Errors:|Tests run: |COMPILATION ERROR)", re.MULTILINE),
        ends=re.compile(r"^\[ERROR\] Tests run: .*$", re.MULTILINE),
    ),
    TestTool(
        name="gradle",
        matches=called_for(
            "gradle gradlew org.gradle.launcher.GradleMain org.gradle.wrapper.GradleWrapperMain", _JAVA_TASKS
        ),
        count=_gradle,
        asks=flags("--help -h -? --version -v --dry-run -m"),
        begins=re.compile(r"^\S.* > .* FAILED$", re.MULTILINE),
        ends=re.compile(r"^\d+ tests? completed.*$|^BUILD FAILED.*$", re.MULTILINE),
    ),
    TestTool(
        name="others",
        matches=either(
            called_with("dotnet", "test"),
            called_with("swift", "test"),
            called_with("bazel", "test"),
            called_with("bazelisk", "test"),
            called_with("dart", "test"),
            called_with("flutter", "test"),
            called_with("cabal", "test"),
            called_with("stack", "test"),
            called_with("dune", "test", "runtest"),
            called_with("zig", "test"),
            called("ginkgo"),
        ),
        asks=flags("--help -h -? --version --list-tests -t list"),
    ),
)
