"""What viewers may get of a terminal: everything that draws, nothing that acts on them, wherever the pieces are cut."""

import copy
import random

import attrs
import pytest
from hypothesis import given, strategies as st

from townwatch.actors.log_reading import whole_since
from townwatch.actors.rendering.terminal import ViewerFilter, filter_at
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.vt.parser import MAX_STRING

SESSION = SessionState(session_id="s", village_id="demo", agent_id="a", runner_id="r")
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


LONG = {
    "clipboard": ("\x1b]52;c;" + "QUJD" * 35_000, "\x07"),
    "sixel": ("\x1bPq" + "#0~~@@" * 25_000, "\x1b\\"),
    "image": ("\x1b]1337;File=inline=1:" + "A" * 1_000_000, "\x07"),
    "kitty graphics": ("\x1b_Gf=100;" + "A" * 20_000, "\x1b\\"),
    "application command that is no ASCII": ("\x1b_" + "é" * 20_000, "\x1b\\"),
    "link": ("\x1b]8;;https://a.example/" + "x" * (MAX_STRING + 1), "\x1b\\"),
}


@pytest.mark.parametrize("name", LONG)
def test_a_control_string_of_any_length_draws_nothing(name: str) -> None:
    body, end = LONG[name]
    viewer = ViewerFilter()
    pieces = [body[at : at + 4096] for at in range(0, len(body), 4096)]
    assert "".join(viewer.feed(piece) for piece in ["a", *pieces, end]) == "a"
    assert viewer.feed("b") == "b"
    assert viewer.ground


def test_a_string_that_never_ends_stays_one_until_an_escape() -> None:
    viewer = ViewerFilter()
    assert viewer.feed("\x1b]52;c;" + "x" * 200_000) == ""
    assert viewer.feed("still the clipboard") == ""
    assert viewer.feed("\x1b[31mred") == "\x1b[31mred"


ABORTED = {
    "cancelled": ("\x1b[3\x18b", "b"),
    "substituted": ("\x1b[3\x1ab", "b"),
    "cancelled title": ("\x1b]0;cut\x18b", "b"),
    "escape inside": ("\x1b[1\x1b[2Kb", "\x1b[2Kb"),
    "line end inside": ("\x1b[3\r\n1mb", "\r\n\x1b[31mb"),
    "null inside": ("\x1b[\x001mb", "\x1b[1mb"),
    "backspace inside": ("\x1b[1;\b5Hb", "\b\x1b[1;5Hb"),
    "parameters behind intermediates": ("\x1b[1 2mb", "b"),
    "prefix behind parameters": ("\x1b[1?2mb", "b"),
    "title cut by an escape": ("\x1b]2;cut\x1b[1mb", "\x1b]2;cut\x07\x1b[1mb"),
    "unknown mode among known ones": ("\x1b[?25;9999;7hb", "\x1b[?25;7hb"),
}


@pytest.mark.parametrize("name", ABORTED)
def test_what_is_aborted_or_interrupted_is_never_printed(name: str) -> None:
    text, shown = ABORTED[name]
    assert whole("a" + text) == "a" + shown
    viewer = ViewerFilter()
    assert "".join(viewer.feed(character) for character in "a" + text) == "a" + shown


PIECES = st.sampled_from(
    [
        *ACTS.values(),
        *DRAWS.values(),
        *(text for text, _ in ABORTED.values()),
        "text",
        "é",
        "\u0301",
        "\x1b",
        "\x9b",
        "[",
        "]",
        "\x07",
    ]
)


@given(st.lists(PIECES, max_size=12), st.integers(0, 2**32))
def test_cutting_anything_anywhere_changes_nothing(pieces: list[str], seed: int) -> None:
    text, rnd, viewer, shown = "".join(pieces), random.Random(seed), ViewerFilter(), ""
    at = 0
    while at < len(text):
        size = rnd.randint(1, 9)
        shown += viewer.feed(text[at : at + size])
        at += size
    assert shown == whole(text)


@given(st.text(alphabet=st.sampled_from("\x1b\x9b\x90\x9d\x07\x18;?[]P_\\cn0123456789abm q$p\x00é\r\n"), max_size=80))
def test_what_passes_passes_again_and_asks_nothing(text: str) -> None:
    shown = whole(text)
    assert whole(shown) == shown
    asks = ("\x1b[c", "\x1b[>c", "\x1b[6n", "\x1b[5n", "\x1bP", "\x1b_", "\x1b]52", "\x1b]4;", "\x90", "\x9d", "\x9b")
    assert not any(one in shown for one in asks)


def test_the_filter_in_the_middle_of_a_log_is_what_it_would_be_from_its_beginning() -> None:
    texts = ["plain\r\n", "\x1b]52;c;", "abc", "def", "\x07shown", "\x1b[3", "1mred", "\x1b", "[1mbold", "x" * 10, "y"]

    def read(after: int, limit: int) -> list[e.RunnerEvent]:
        return [chunk(seq, texts[seq - 1]) for seq in range(after + 1, min(after + limit, len(texts)) + 1)]

    for seq in range(len(texts) + 1):
        before = ViewerFilter()
        for text in texts[:seq]:
            before.feed(text)
        rest = "".join(texts[seq:])
        assert filter_at(seq, read).feed(rest) == before.feed(rest), seq


@given(st.lists(st.tuples(PIECES, st.booleans()), max_size=14), PIECES)
def test_behind_what_is_whole_a_new_filter_does_the_same(pieces: list[tuple[str, bool]], rest: str) -> None:
    """Events come in batches: `True` ends one. What a state says of its last batch holds for each later event."""
    state, viewer, cuts = SESSION, ViewerFilter(), 0
    befores: list[ViewerFilter] = [copy.deepcopy(viewer)]
    for seq, (text, ends) in enumerate(pieces, 1):
        viewer.feed(text)
        befores.append(copy.deepcopy(viewer))
        if ends or seq == len(pieces):
            known = whole_since(state, viewer, cuts, seq)
            state, cuts = attrs.evolve(state, seq=seq, whole_since=known), viewer.cuts
            if known is not None:
                for before in befores[known:]:
                    assert before.feed(rest) == ViewerFilter().feed(rest)
                befores[known:] = [ViewerFilter() for _ in befores[known:]]


def test_plain_output_is_whole_from_its_beginning() -> None:
    viewer = ViewerFilter()
    for line in range(3):
        viewer.feed(f"\x1b[3{line}mline {line}\x1b[0m\r\n")
    assert whole_since(SESSION, viewer, 0, 3) == 0
    viewer.feed("\x1b[3")
    assert whole_since(SESSION, viewer, 0, 4) is None
    viewer.feed("1m")
    assert whole_since(SESSION, viewer, 0, 5) == 5


def chunk(seq: int, text: str) -> e.TerminalChunk:
    return e.TerminalChunk(session_id="s", org_id="demo", ts=1, seq=seq, data=text, stream="stdout")


def test_an_aborted_sequence_does_not_swallow_what_follows() -> None:
    assert "visible" in whole("\x1b]52;c;abc\x18visible")
