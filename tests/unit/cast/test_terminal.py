"""What viewers may get of a terminal: everything that draws, nothing that acts on them, wherever the pieces are cut."""

import pytest

from actors.terminal import MAX_UNFINISHED, Screen, ViewerFilter

DRAWS = {
    "colour": "\x1b[1;31mred\x1b[0m",
    "true colour": "\x1b[38;2;1;2;3mx",
    "cursor": "\x1b[3;4H\x1b[2A\x1b[K\x1b[2J",
    "modes": "\x1b[?25l\x1b[?1049h\x1b[?2004h",
    "scroll region": "\x1b[2;20r\x1bM\x1bD",
    "save and restore": "\x1b7x\x1b8",
    "charset": "\x1b(0lqk\x1b(B",
    "cursor shape": "\x1b[5 q",
    "text": "naïve 漢字 🙂\r\n\tx\b",
    "reset": "\x1bc",
}
ACTS = {
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "clipboard, ST": "\x1b]52;c;cm0gLXJmIH4=\x1b\\",
    "device attributes": "\x1b[c",
    "secondary attributes": "\x1b[>c",
    "status report": "\x1b[6n",
    "private report": "\x1b[?6n",
    "window report": "\x1b[14t",
    "window title report": "\x1b[21t",
    "request mode": "\x1b[?2004$p",
    "XTVERSION": "\x1b[>q",
    "DECRQSS": "\x1bP$qm\x1b\\",
    "sixel": "\x1bPq#0;2;0;0;0#0~~\x1b\\",
    "APC": "\x1b_Gf=100;AAAA\x1b\\",
    "PM": "\x1b^x\x1b\\",
    "SOS": "\x1bXx\x1b\\",
    "palette": "\x1b]4;1;?\x07",
    "working directory": "\x1b]7;file:///etc\x07",
    "notification": "\x1b]9;hello\x07",
    "iTerm file": "\x1b]1337;File=inline=1:AAAA\x07",
    "script link": "\x1b]8;;javascript:alert(1)\x07",
    "file link": "\x1b]8;;file:///etc/passwd\x07",
    "8-bit OSC": "\x9d52;c;cm0=\x9c",
    "8-bit report": "\x9b6n",
    "media copy": "\x1b[5i",
    "DECID": "\x1bZ",
    "enquiry": "\x05",
    "unknown mode": "\x1b[?9999h",
}


def whole(text: str) -> str:
    viewer = ViewerFilter()
    return viewer.feed(text)


@pytest.mark.parametrize("sequence", DRAWS.values(), ids=DRAWS.keys())
def test_what_draws_passes_unchanged(sequence: str) -> None:
    assert whole(f"a{sequence}b") == f"a{sequence}b"


@pytest.mark.parametrize("sequence", ACTS.values(), ids=ACTS.keys())
def test_what_acts_is_gone_and_the_text_around_it_stays(sequence: str) -> None:
    assert whole(f"before{sequence}after") == "beforeafter"


@pytest.mark.parametrize("sequence", [*ACTS.values(), *DRAWS.values()], ids=[*ACTS, *DRAWS])
def test_where_the_pieces_are_cut_changes_nothing(sequence: str) -> None:
    text = f"before{sequence}after"
    for cut in range(len(text) + 1):
        viewer = ViewerFilter()
        assert viewer.feed(text[:cut]) + viewer.feed(text[cut:]) == whole(text)
    viewer = ViewerFilter()
    assert "".join(viewer.feed(character) for character in text) == whole(text)


def test_a_title_is_cleaned_and_a_web_link_passes() -> None:
    assert whole("\x1b]0;my title\x07") == "\x1b]0;my title\x07"
    link = "\x1b]8;;https://example.org/a\x1b\\here\x1b]8;;\x1b\\"
    assert whole(link) == link


def test_a_sequence_that_never_ends_is_given_up() -> None:
    viewer = ViewerFilter()
    assert viewer.feed("\x1b]0;" + "x" * MAX_UNFINISHED) == ""
    assert viewer.feed("shown again") == "shown again"


def test_an_aborted_sequence_does_not_swallow_what_follows() -> None:
    assert "visible" in whole("\x1b]52;c;abc\x18visible")


def test_a_late_viewer_gets_what_came_since_the_last_full_clear() -> None:
    screen = Screen()
    screen.write("old\r\n")
    screen.write("more\x1b[2Jnew")
    screen.write(" text")
    assert screen.text() == "\x1b[2Jnew text"


def test_a_long_screen_is_cut_at_the_start_of_a_line() -> None:
    screen = Screen(limit=100)
    for number in range(100):
        screen.write(f"line {number}\r\n")
    assert len(screen.text()) <= 100
    assert screen.text().startswith("line ")
    assert screen.text().endswith("line 99\r\n")


def test_a_full_screen_program_stays_on_the_alternate_screen_however_much_it_drew() -> None:
    screen = Screen(limit=100)
    screen.write("$ vim\r\n\x1b[?1049h\x1b[2J")
    for number in range(100):
        screen.write(f"\x1b[{number % 24 + 1};1Hrow {number}")
    assert screen.text().startswith("\x1b[?1049h\x1b[2J\x1b[H\x1b[")
    assert screen.text().endswith("row 99")
    screen.write("\x1b[?1049l$ \r\n" + "and more\r\n" * 20)
    assert not screen.text().startswith("\x1b[?1049h")
