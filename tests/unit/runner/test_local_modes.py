"""A program that was killed leaves the local terminal as it found it."""

import pytest

from townwatch.runner.local_modes import LocalModes

CASES = {
    "nothing": (b"text\r\n\x1b[31mred\x1b[m", b""),
    "put back by itself": (b"\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l", b""),
    "alternate screen": (b"\x1b[?1049h", b"\x1b[m\x0f\x1b[?1049l"),
    "mouse and paste": (b"\x1b[?1000;1006h\x1b[?2004h", b"\x1b[m\x0f\x1b[?1000l\x1b[?1006l\x1b[?2004l"),
    "hidden cursor": (b"\x1b[?25l", b"\x1b[m\x0f\x1b[?25h"),
    "kitty keys": (b"\x1b[>1u\x1b[>5u\x1b[<u", b"\x1b[m\x0f\x1b[<1u"),
    "keypad and region": (b"\x1b=\x1b[2;9r", b"\x1b[m\x0f\x1b>\x1b7\x1b[r\x1b8"),
    "cursor style": (b"\x1b[5 q", b"\x1b[m\x0f\x1b[0 q"),
    "reset by itself": (b"\x1b[?1049h\x1b[?25l\x1bc", b""),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_still_changed_is_undone_wherever_the_output_is_cut(name: str) -> None:
    output, undo = CASES[name]
    whole, bytewise = LocalModes(), LocalModes()
    whole.feed(output)
    for at in range(len(output)):
        bytewise.feed(output[at : at + 1])
    assert whole.undo() == bytewise.undo() == undo
