"""Every test tool, by what it really printed: the same tests, with and without a failure, on a terminal and not."""

import re
from pathlib import Path

import pytest

from townwatch.runner.observers import testruns
from townwatch.runner.observers.failures import printed_failures
from townwatch.runner.observers.testtools.tool import Counts

RECORDED = Path(__file__).parents[2] / "fixtures" / "testruns"

FAILED = {
    "mocha": Counts(1, 1, 2),
    "node": Counts(1, 1, 2),
    "ava": Counts(1, 1, 2),
    "bun": Counts(1, 1, 2),
    "deno": Counts(1, 1, 1),
    "jasmine": Counts(1, 1, 1),
    "playwright": Counts(1, 1, 1),
    "tap": Counts(1, 1, 1),
    "rspec": Counts(1, 1, 1),
    "minitest": Counts(1, 1, 1),
    "phpunit": Counts(1, 1, 1),
    "exunit": Counts(1, 1, 1),
    "prove": Counts(3, 1, 0),  # for TAP::Harness a skipped test is one that is ok
    "ctest": Counts(1, 1, 1),
    "maven": Counts(1, 1, 1),
    "gradle": Counts(1, 1, 1),
}
NAMES_NO_COUNTS = {"gradle"}
"""Whose runs that pass do not say how many tests there were."""


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_bytes().decode()


@pytest.mark.parametrize("where", ["pipe", "terminal"])
@pytest.mark.parametrize("tool", FAILED)
def test_a_run_is_counted(tool: str, where: str) -> None:
    failed = FAILED[tool]
    passed = Counts(failed.passed + failed.failed, 0, failed.skipped)
    assert testruns.count(tool, recorded(f"{tool}-failed-{where}")) == failed
    expected = None if tool in NAMES_NO_COUNTS else passed
    assert testruns.count(tool, recorded(f"{tool}-passed-{where}")) == expected


@pytest.mark.parametrize("where", ["pipe", "terminal"])
@pytest.mark.parametrize("tool", FAILED)
def test_the_text_of_a_failure_is_what_the_tool_printed_about_it(tool: str, where: str) -> None:
    told = printed_failures(tool, recorded(f"{tool}-failed-{where}"), list, all_its_own=False)
    assert told is not None
    assert re.search("wrong", told.text, re.IGNORECASE)
    assert "\x1b" not in told.text
    assert not told.text.startswith(("Started", "Run options", "t/other.t", "PHPUnit", "Compiling", "bun test"))


@pytest.mark.parametrize("tool", sorted(FAILED.keys() - {"gradle", "maven"}))
def test_what_another_tool_prints_is_no_summary(tool: str) -> None:
    """One that is called through another (npm, make) may have printed before it."""
    for other in FAILED.keys() - {tool}:
        if {tool, other} == {"node", "tap"}:
            continue  # both speak TAP
        assert testruns.count(tool, recorded(f"{other}-failed-pipe")) is None, other


@pytest.mark.parametrize("tool", ["ava", "bun", "deno", "mocha", "node"])
def test_in_watch_mode_each_round_has_a_result(tool: str) -> None:
    rest: str | None = recorded(f"watch-{tool}")
    rounds = []
    while rest is not None and (ended := testruns.split_round(tool, rest)) is not None:
        rounds.append(testruns.count(tool, ended[0]))
        rest = testruns.after_round_begins(tool, ended[1])
    failed = FAILED[tool]
    passed = Counts(failed.passed + failed.failed, 0, failed.skipped)
    assert rounds == [passed, passed]


@pytest.mark.parametrize(
    ("command", "tool"),
    [
        # as the processes call themselves, recorded from /proc
        ("node /home/dev/node_modules/.bin/mocha test.js", "mocha"),
        ("npm exec mocha test.js", "mocha"),
        ("node --test", "node"),
        ("node --test-reporter spec --test", "node"),
        ("node --import tsx --test src/a.test.ts", "node"),
        ("/usr/bin/env node /home/dev/node_modules/.bin/ava", "ava"),
        ("bun test", "bun"),
        ("node /home/dev/node_modules/.bin/deno test --allow-env", "deno"),
        ("node /home/dev/node_modules/.bin/jasmine", "jasmine"),
        ("node /home/dev/node_modules/.bin/playwright test", "playwright"),
        ("npx playwright test --headed", "playwright"),
        ("ruby /usr/bin/rspec", "rspec"),
        ("bundle exec rspec spec/a_spec.rb", "rspec"),
        ("/usr/bin/ruby /usr/bin/rake test", "minitest"),
        ("/usr/bin/ruby3.1 -w -Ilib /usr/lib/ruby/rake/rake_test_loader.rb test/test_sum.rb", "minitest"),
        ("ruby bin/rails test test/models", "minitest"),
        ("/usr/bin/php /usr/bin/phpunit SumTest.php", "phpunit"),
        ("php -d memory_limit=-1 vendor/bin/phpunit", "phpunit"),
        ("/bin/sh /usr/bin/elixir /usr/bin/mix test", "exunit"),
        (
            "/usr/lib/erlang/erts-13.1.5/bin/beam.smp -- -root /usr/lib/erlang -bindir /usr/lib/erlang/erts-13.1.5/bin"
            " -progname erl -- -home /home/dev -- -noshell -s elixir start_cli -- -extra /usr/bin/mix test",
            "exunit",
        ),
        ("/usr/bin/perl -w /usr/bin/prove t", "prove"),
        ("ctest --output-on-failure", "ctest"),
        ("sh ./gradlew clean :app:testDebugUnitTest", "gradle"),
        (
            "java --add-opens java.base/java.lang=ALL-UNNAMED -Dorg.gradle.appname=gradle -classpath"
            " /usr/share/gradle/lib/gradle-launcher-4.4.1.jar org.gradle.launcher.GradleMain test --offline",
            "gradle",
        ),
        (
            "/usr/bin/java -classpath /usr/share/maven/boot/plexus-classworlds-2.x.jar -Dmaven.home=/usr/share/maven"
            " org.codehaus.plexus.classworlds.launcher.Launcher -o -q test",
            "maven",
        ),
        ("mvn -q -Dtest=SumTest verify", "maven"),
        ("python manage.py test shop", "unittest"),
        ("uv run python -X dev -m pytest", "pytest"),
        ("dotnet test Shop.sln", "others"),
        ("sh bin/rspec", "rspec"),
        # not to be taken for one
        ("bash -c ls;/usr/bin/pytest", None),
        ("sh -ec /usr/bin/pytest", None),
        ("sh -c 'mocha' test.js", None),
        ("npm install mocha", None),
        ("node mocha-helper.js", None),
        ("node script.js --test", None),
        ("bun run test", None),
        ("bun install", None),
        ("deno run test", None),
        ("deno test --no-run", None),
        ("npx playwright install", None),
        ("playwright test --list", None),
        ("rspec --init", None),
        ("rspec -v", None),
        ("rails server", None),
        ("phpunit --list-tests", None),
        ("mix compile", None),
        ("ctest -N", None),
        ("gradle build", None),
        ("gradle test --dry-run", None),
        ("mvn package -DskipTests", None),
        ("mvn verify -DskipTests", None),
        ("mvn verify -DskipTests=false", "maven"),
        ("java -jar app.jar test", None),
        ("jasmine init", None),
        ("tap list", None),
        ("dotnet build", None),
        ("python manage.py migrate", None),
        ("beam.smp -- -root /usr/lib/erlang", None),
    ],
)
def test_what_is_a_run_of_it(command: str, tool: str | None) -> None:
    assert testruns.recognise(command.split()) == tool


def test_a_tool_whose_output_is_not_known_has_its_exit_status_only() -> None:
    assert testruns.count("others", "Passed!  - Failed: 0, Passed: 3\n") is None
    assert testruns.judge("others", 0, None, cut_short=False) == ("passed", None)
    assert testruns.judge("others", 1, None, cut_short=False) == ("failed", "exit code 1")
