"""A test tool: its calls, its summary, its failures, its rounds in watch mode."""

import re
from collections.abc import Callable, Sequence

import attrs

NOTHING = frozenset[str]()


@attrs.frozen
class Counts:
    """Tests of a run, by what became of them."""

    passed: int
    failed: int
    skipped: int


@attrs.frozen
class Rounds:
    """Watch mode: a run that has a result whenever files change. `words`: of a command line that asks for it. `end`:
    what is printed at the end of a round; `begin`: at the beginning of the next.
    """

    words: frozenset[str]
    end: re.Pattern[str]
    begin: re.Pattern[str]


Matches = Callable[[str, Sequence[str], Sequence[str]], bool]
"""(program's name, words behind it, words before it): whether these call the tool."""
Count = Callable[[str], Counts | None]
"""Counts of a text without control sequences; None where it has no summary."""


def no_counts(text: str) -> None:
    """Return None: what the tool prints about its tests was never recorded, only its exit status is believed."""
    del text


@attrs.frozen
class TestTool:
    """One tool, or several that are called and print alike.

    `asks`: options with which it says something and runs no test. `begins`, `ends`: where a failed run's output about
    its failures begins, and the last line of it; None: nothing marks it, the last lines are told.
    """

    __test__ = False

    name: str
    matches: Matches
    count: Count = no_counts
    asks: frozenset[str] = frozenset({"--help", "-h", "--version"})
    begins: re.Pattern[str] | None = None
    ends: re.Pattern[str] | None = None
    rounds: Rounds | None = None


def called(*names: str) -> Matches:
    """Programs that do nothing but test."""
    return lambda name, after, before: name in names


def called_with(program: str, *commands: str) -> Matches:
    """A program whose first word is one of these (``+nightly``, a toolchain, is none)."""
    return lambda name, after, before: (
        name == program and next((word for word in after if not word.startswith("+")), None) in commands
    )


def called_for(programs: str, tasks: str) -> Matches:
    """A program that is given tasks, options between them: ``gradle -q clean :app:test``."""
    names = frozenset(programs.split())
    wanted = re.compile(tasks)
    return lambda name, after, before: name in names and any(wanted.fullmatch(word) for word in after)


def either(*ways: Matches) -> Matches:
    """Any of several ways to call it."""
    return lambda name, after, before: any(way(name, after, before) for way in ways)


def flags(words: str) -> frozenset[str]:
    """A set of words, written in one line."""
    return frozenset(words.split())


def last(pattern: re.Pattern[str], text: str, start: int = 0) -> re.Match[str] | None:
    """Return the last place of a text where a pattern is found."""
    return max(pattern.finditer(text, start), key=lambda found: found.start(), default=None)


def numbers(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return counts by their word, from (number, word) as they are printed."""
    return {word: int(number) for number, word in pairs}
