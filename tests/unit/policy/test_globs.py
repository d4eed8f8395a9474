"""Patterns with stars: the same as the expressions that they stand for, and never slow."""

import random
import re

import pytest

from townwatch.policy.commands.matching import same_word
from townwatch.policy.commands.paths import Place, matches
from townwatch.policy.globs import Token, Wild, compile_glob
from townwatch.policy.shell.expansion import STAR, Argument
from townwatch.policy.urls import _IN_TEXT
from townwatch.runner.observers.failures import printed_failures
from townwatch.runner.observers.testruns import (
    after_round_begins,
    count,
    interrupted,
    split_round,
    test_files as named_files,
)
from townwatch.runner.observers.testtools import TOOLS

AS_EXPRESSION = {"any": "[^/]", "star": "[^/]*", "all": ".*", "folders": "(?:.*/)?"}
WILD: list[Token] = [Wild("any"), Wild("star"), Wild("all"), Wild("folders")]


@pytest.mark.parametrize("seed", range(8))
def test_a_pattern_matches_what_its_expression_does(seed: int) -> None:
    rnd = random.Random(seed)
    found = 0
    for _ in range(1500):
        tokens = tuple(rnd.choice([*WILD, "a", "b", "/", "a", "/"]) for _ in range(rnd.randrange(6)))
        expression = "".join(AS_EXPRESSION[t.kind] if isinstance(t, Wild) else re.escape(t) for t in tokens)
        text = "".join(rnd.choice("aab//\n") for _ in range(rnd.randrange(7)))
        expected = re.fullmatch(expression, text, re.S) is not None
        assert compile_glob(tokens).matches(text) is expected, (tokens, text)
        found += expected
    assert found > 100


@pytest.mark.parametrize("seed", range(4))
def test_a_word_s_star_does_not_go_over_blanks(seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(1500):
        tokens = tuple(rnd.choice([Wild("star"), "a", "b", " "]) for _ in range(rnd.randrange(6)))
        expression = "".join(r"[^\s]*" if isinstance(t, Wild) else re.escape(t) for t in tokens)
        text = "".join(rnd.choice("aab /\t") for _ in range(rnd.randrange(7)))
        assert compile_glob(tokens, "blank").matches(text) is (re.fullmatch(expression, text) is not None)


def test_no_pattern_is_slow() -> None:
    """With expressions each of these took hours: a repository's file of rules stopped a runner."""
    assert not matches("**/" * 300 + "x", "/a" * 1000 + "/b")
    assert not matches("*a" * 400 + "x", "a" * 3000)
    assert not matches("**a*b?**" * 100 + "x", "ab" * 1500)
    assert matches("**/" + "*a" * 300, "/src/" + "a" * 3000)
    place = Place(root="/w", directory="/w")
    assert not same_word(Argument("*a".replace("*", STAR) * 400 + "x"), Argument("a" * 3000), place, "/w")


HOSTILE = [
    "  1 passing\n",
    "1 tests, ",
    "Tests run: 1, ",
    ", pass: 1",
    "Tests: 1, Assertions: 1, A",
    "  1) ",
    " | 1 passed (",
    "1 test ",
    "\n",
    " ",
    "a",
    "failed ",
    "Summary ",
    "1 a",
    "1",
    "Tests:\n",
    "Tests: ",
    "=",
    "! ",
    "Duration ",
    "ok ",
    "\r",
]


@pytest.mark.parametrize("part", HOSTILE)
def test_no_output_of_a_test_run_is_slow_to_read(part: str) -> None:
    """64 KiB of newlines held a runner for minutes."""
    output = part * (65_536 // len(part)) + "\nx"
    for tool in TOOLS:
        count(tool, output)
        interrupted(tool, output)
        printed_failures(tool, "=== FAILURES ===\nfailures:\nFAIL\n  1) a\n" + output, list, all_its_own=True)
        split_round(tool, output)
        after_round_begins(tool, output)
    named_files(["pytest", output, ".py::" * 20_000 + "\nx"])
    assert not list(_IN_TEXT.finditer("a" * 65_536))
