"""The work that output makes a terminal's state do: bounded a slice, and linear in the output, whatever comes.

Work is counted twice: in the screen's own units, and as calls that the interpreter makes (`sys.setprofile`).
"""

import sys
from collections.abc import Callable

import pytest

from townwatch.contracts.vt import effort
from townwatch.contracts.vt.lazy import SLICE_WORK, LazyScreen
from townwatch.contracts.vt.screen import MAX_CELLS, MAX_CLUSTER, VtScreen, fitted
from townwatch.contracts.vt.snapshot import SLICE_CELLS

HOSTILE = (
    "\x1bc", "\x1b#8", "\x1b[2J", "\x1b[?2J", "\x1b[?J", "\x1b[9999L", "\x1b[9999M", "\x1b[9999S", "\x1b[9999T",
    "x\x1b[99999b", "漢\x1b[99999b", "e\u0301\x1b[99999b", "\x1b[9999@", "\x1b[9999P", "\x1b[9999X", "\x1b[9999I",
    "\x1b[9999Z", "\x1b[3g\r\t", "\x1b[3g\r\x1b[9999I", "\x1b[?1049h\x1b[?1049l", "\x1b[?47h\x1b[?47l",
    "\x1b[20;20'}", "\x1b[20'~", "\x1b[9 @", "\x1b[9 A", "\x1b[41m\n", "\x1b[H\x1bM", "\x1b[4hx", "\x1b[999A\x1b[1J",
    "e" + "\u0301" * 50, "\u0301", "\U0001f468\u200d", "\U0001f1e6",
)  # fmt: skip
"""What costs most for its length."""
SIZES = ((80, 24), (500, 300), (2000, 2000))


def _calls(step: Callable[[], object]) -> int:
    """Return how many calls of functions, Python's and C's, a piece of work made."""
    count = 0

    def on_event(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on_event)
    try:
        step()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("sequence", HOSTILE, ids=ascii)
def test_a_slice_is_bounded_whatever_the_output(sequence: str, size: tuple[int, int]) -> None:
    lazy = LazyScreen()
    lazy.resize(*size)
    lazy.write(sequence * (64 * 1024 // len(sequence)))
    cols, rows = fitted(*size)
    before = lazy.screen.effort.spent
    for _ in range(3):
        calls = _calls(lazy.advance)
        spent, before = lazy.screen.effort.spent - before, lazy.screen.effort.spent
        assert spent <= SLICE_WORK + max(cols * rows, 2 * 4096 + 4096 * (2 + cols // 8))
        assert calls < 40 * 4096


@pytest.mark.parametrize("sequence", HOSTILE, ids=ascii)
def test_a_megabyte_of_it_costs_a_burst_and_what_its_length_earns(sequence: str) -> None:
    screen = VtScreen(500, 300)
    screen.effort.credit = 0  # the burst is used up
    screen.write(sequence * (16 * 1024 // len(sequence)))
    earned = 16 * 1024 * (effort.PER_SEQUENCE + effort.PER_LINE)
    assert screen.effort.spent <= earned + 16 * 1024 * (2 + 500 // 8)


def test_what_programs_for_people_send_is_never_left_out() -> None:
    screen = VtScreen(200, 60)
    frame = "\x1b[?25l\x1b[H\x1b[2J" + "".join(
        f"\x1b[{row};1H\x1b[3{row % 8}m{'a line of a full-screen program ' * 5}\x1b[K" for row in range(1, 61)
    )
    for _ in range(60):
        screen.write(frame)
    screen.write("a line that scrolls\r\n" * 2000)
    assert screen.effort.left_out == 0
    assert screen.effort.credit > effort.MOST_CREDIT - 100_000


def test_where_it_is_cut_changes_nothing_about_what_is_left_out() -> None:
    whole, cut = VtScreen(80, 24), VtScreen(80, 24)
    whole.effort.credit = cut.effort.credit = 10_000
    text = "".join(f"line {n}\r\n\x1b[2J\x1b[9999S" for n in range(300))
    whole.write(text)
    for char in text:
        cut.write(char)
    assert whole.effort.left_out == cut.effort.left_out > 0
    assert [line.text for line in whole.normal.lines] == [line.text for line in cut.normal.lines]


def test_a_cell_holds_a_bounded_cluster() -> None:
    screen = VtScreen()
    screen.write("e" + "\u0301" * 100_000 + "x")
    assert len(screen.normal.lines[0].text[0]) == MAX_CLUSTER
    assert screen.normal.lines[0].text[1] == "x"


def test_sizes_are_cut() -> None:
    assert fitted(80, 24) == (80, 24)
    assert fitted(10**9, 10**9) == (1000, 200)
    assert fitted(0, -5) == (2, 1)
    lazy = LazyScreen()
    lazy.resize(2000, 2000)
    assert lazy.size == (1000, 200)
    assert lazy.screen.cols * lazy.screen.rows <= MAX_CELLS


def test_a_snapshot_is_made_in_slices() -> None:
    lazy = LazyScreen()
    lazy.resize(200, 60)
    lazy.write("".join(f"\x1b[3{n % 8}m{'ab' * 100}\r\n" for n in range(2000)))
    lazy.finish()
    pieces = lazy.snapshot_slices()
    made: list[str] = []
    most = 0
    more = True

    def step() -> None:
        nonlocal more
        piece = next(pieces, None)
        more = piece is not None
        made.append(piece or "")

    while more:
        most = max(most, _calls(step))
    assert most < 30 * (SLICE_CELLS + 200)
    assert len(made) > 90
    assert "".join(made) == lazy.snapshot()


def test_changes_of_size_cost_credit_and_the_last_one_counts() -> None:
    lazy = LazyScreen()
    lazy.resize(200, 60)
    lazy.write("word " * 100_000)
    for n in range(500):
        lazy.write("x")
        lazy.resize(190 + n % 10, 60)
    done = 0
    while lazy.advance():
        done += 1
    assert lazy.unsettled
    lazy.settle()
    assert (lazy.screen.cols, lazy.screen.rows) == (199, 60)
    assert lazy.screen.effort.spent < 2 * effort.MOST_CREDIT
