"""A screen that is read late shows what one shows that was read at once, wherever the output was cut into pieces."""

import random

import pytest

from townwatch.contracts.vt.lazy import SKIP_CHARS, LazyScreen

MOST = 2 * SKIP_CHARS
PROGRAM = "\x1b[?1049h\x1b[2;10r\x1b[5;5Hmenu\x1b[7m"
BACK = "\x1b[r\x1b[?1049l"


def _flood(seed: int, lines: int) -> str:
    chance = random.Random(seed)
    colours = ["\x1b[0m", "\x1b[32m", "\x1b[1;33m", "\x1b[38;5;208m", "\x1b[m", "\x1b[K"]
    words = ["building", "module", "ok", "é", "漢字", "\t", "\r"]
    return "".join(
        "".join(chance.choice(colours) + chance.choice(words) for _ in range(chance.randrange(1, 20))) + "\r\n"
        for _ in range(lines)
    )


def _kept_up(text: str, seed: int) -> tuple[LazyScreen, int]:
    """As an agent's actor does it; and how often it was not drawn."""
    chance, lazy, skipped, at = random.Random(seed), LazyScreen(), 0, 0
    while at < len(text):
        size = chance.randrange(1, 9000)
        lazy.write(text[at : at + size])
        at += size
        if lazy.behind > MOST and lazy.only_scrolls:
            lazy.skip()
            skipped += 1
        if lazy.behind > MOST or (lazy.behind > SKIP_CHARS // 2 and not lazy.only_scrolls):
            lazy.finish()
    lazy.finish()
    return lazy, skipped


def _at_once(text: str) -> LazyScreen:
    lazy = LazyScreen()
    for at in range(0, len(text), 4096):
        lazy.write(text[at : at + 4096])
        lazy.finish()
    return lazy


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_is_not_drawn_and_ends_as_if_it_had_been(seed: int) -> None:
    text = _flood(seed, 9000)
    lazy, skipped = _kept_up(text, seed)
    assert skipped > 1
    assert lazy.snapshot() == _at_once(text).snapshot()


def test_a_program_in_a_flood_is_drawn() -> None:
    for cut in (1, len(PROGRAM) // 2, len(PROGRAM) - 1):
        text = _flood(1, 4000) + PROGRAM[:cut]
        rest = PROGRAM[cut:] + _flood(2, 3000) + BACK + _flood(3, 3000)
        lazy, _ = _kept_up(text + rest, cut)
        assert lazy.snapshot() == _at_once(text + rest).snapshot()


def test_what_waits_only_scrolls_until_something_else_comes() -> None:
    lazy = LazyScreen()
    for piece in ("plain\r\n\x1b", "[3", "2mgreen", "\x1b[0m\r\n"):
        lazy.write(piece)
        assert lazy.only_scrolls, piece
    lazy.write("\x1b[3")
    lazy.write("A")
    assert not lazy.only_scrolls
    lazy.finish()
    assert lazy.only_scrolls
    lazy.write("\x1b[?1049h")
    lazy.finish()
    lazy.write("text in the other screen\r\n")
    assert not lazy.only_scrolls
    lazy.write("\x1b[?1049l")
    lazy.finish()
    assert lazy.only_scrolls
