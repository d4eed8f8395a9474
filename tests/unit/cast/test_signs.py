"""The last line of a terminal, and signs of work a minute."""

import pytest

from townwatch.actors.session.signs import LINE_CHARS, MINUTES, Signs, activity, after_work, last_line, readable

MINUTE = 60_000


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("one\r\ntwo\r\n", "two"),
        ("one\r\n\r\n   \r\n", "one"),
        ("50 %\r60 %", "60 %"),
        ("\x1b[1;32mok\x1b[0m\n", "ok"),
        ("\x1b]0;a title\x07$ ", "$"),
        ("left\x1b[5;1Hright", "right"),
        ("\x1b(Bplain\x1b)0", "plain"),
        ("\x1b[38:2::1:2:3mcolour\x1b[m", "colour"),
        ("a\tb", "a b"),
        ("", ""),
    ],
)
def test_the_last_line_is_what_a_person_reads(output: str, line: str) -> None:
    assert last_line("", "", output)[0] == line


@pytest.mark.parametrize("cut", range(1, 24))
def test_where_output_is_cut_makes_no_difference(cut: int) -> None:
    output = "x\r\n\x1b[1;32mtests\x1b[0m pass"
    line, tail = last_line("", "", output[:cut])
    assert last_line(line, tail, output[cut:])[0] == "tests pass"


def test_a_long_line_is_shortened() -> None:
    shown = readable("y" * 5000)
    assert len(shown) == LINE_CHARS
    assert shown.endswith("…")


def test_nothing_readable_leaves_the_line_as_it_was() -> None:
    assert last_line("before", "", "\x1b[2J\x1b[H\r\n")[0] == "before"


def test_signs_are_counted_by_the_minute_and_grow_old() -> None:
    signs = Signs()
    assert activity(signs, 5 * MINUTE) == [0] * MINUTES
    for at in (100 * MINUTE, 100 * MINUTE + 1, 102 * MINUTE):
        signs = after_work(signs, at)
    assert activity(signs, 102 * MINUTE)[-3:] == [2, 0, 1]
    assert activity(signs, 103 * MINUTE)[-4:] == [2, 0, 1, 0]
    assert activity(signs, 200 * MINUTE) == [0] * MINUTES


def test_a_clock_that_is_set_back_makes_nothing_younger_or_older() -> None:
    signs = after_work(after_work(Signs(), 100 * MINUTE), 90 * MINUTE)
    assert signs.active_at == 100 * MINUTE
    assert activity(signs, 100 * MINUTE)[-1] == 2
