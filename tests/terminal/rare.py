"""What few programs print, for the generator: each function is a kind, and a random case of it."""

# ruff: noqa: E501

import random
from collections.abc import Callable

_WIDE = ["漢", "漢字", "😀", "👨\u200d👩\u200d👧", "👍🏽", "❤️", "🇩🇪", "한", "e\u0301", "ａ", "✅", "a漢b"]
_REPEATED = [*_WIDE, "x", " "]
_STOPS = ["\x1bH", "\x1b[g", "\x88", ""]
_ENDS = ["\x1b\\", "\x07"]
_SGR = [
    "38:2:1:2:3", "38:2::1:2:3", "38:2:7:1:2:3:4:5", "48:5:3", "38:5:300", "38:2", "38:5", "58:5:9", "58:2::9:8:7", "58:2:9:8:7", "58;5;9",
    "58;2;1;2;3", "4:1", "4:2", "4:3", "4:4", "4:5", "4:0", "4:9", "4:", "4", "21", "24", "59", "0:1", "1:2", "38;2:1:2:3", "48;5:3", "7:1", "22",
    "1;2", "2", "58;5;9;4:3", "4:3;58:5:2", "53;4:2", "27;28;29", "39;49", "0;4:5;58:2::1:1:1;59", "38;5;1;48;5;2;58;5;3", ":4", "4;;1", "",
]  # fmt: skip


def _columns(rnd: random.Random, cols: int, rows: int) -> str:
    """DECIC, DECDC, SL, SR; often in the middle of a wide character. Never behind the last column: that is a place
    which no output brings back once the character there is gone.
    """
    text = f"\x1b[{rnd.randint(1, rows)};{rnd.randint(1, cols)}H"
    if rnd.random() < 0.6:
        text += rnd.choice(_WIDE) + "\b" * rnd.choice([1, 1, 2])
    return f"{text}\x1b[{rnd.choice(['', '1', '2', '3', str(cols)])}{rnd.choice([chr(39) + '}', chr(39) + '~', ' @', ' A'])}"


def _protected(rnd: random.Random, cols: int, rows: int) -> str:
    """DECSCA and selective erase."""
    return rnd.choice(
        [
            f'\x1b[1"q{rnd.choice(_WIDE)}\x1b[{rnd.choice("02")}"q',
            '\x1b[1"q',
            '\x1b["q',
            '\x1b[2"q',
            f"\x1b[?{rnd.choice(['', '0', '1', '2', '3'])}{rnd.choice('JK')}",
            f"\x1b[{rnd.randint(1, cols)}G\x1b[?{rnd.randint(0, 2)}K",
            f"\x1b[{rnd.randint(1, cols)}G\x1b[{rnd.randint(1, 4)}X",
        ]
    )


def _repeated(rnd: random.Random, cols: int, rows: int) -> str:
    return f"{rnd.choice(_REPEATED)}\x1b[{rnd.choice(['', '1', '2', '5', str(cols), str(2 * cols)])}b"


def _inserted(rnd: random.Random, cols: int, rows: int) -> str:
    """Insert mode, with wide characters and in the middle of them."""
    text = f"\x1b[4h{rnd.choice([*_WIDE, 'x', 'xy'])}{rnd.choice(['', chr(27) + '[4l'])}"
    return f"\x1b[{rnd.choice([1, 2, 3, cols - 1, cols])}G{text}" if rnd.random() < 0.6 else text


def _margins(rnd: random.Random, cols: int, rows: int) -> str:
    top = rnd.randint(0, rows)
    region = f"\x1b[{top};{rnd.randint(top, rows + 1)}r"
    placed = f"\x1b[{rnd.randint(0, rows + 2)};{rnd.randint(0, cols + 2)}H"
    moved = f"\x1b[{rnd.randint(1, rows + 2)}{rnd.choice('ABEFde')}"
    lines = rnd.choice(["\n", "\x1bM", "\x1bD", "\x1b[2S", "\x1b[2T", "\x1b[L", "\x1b[2M", "\r\n\r\n"])
    parts = [rnd.choice(["", region]), rnd.choice(["", "\x1b[?6h", "\x1b[?6l"]), rnd.choice([placed, moved, ""]), lines]
    return "".join(parts)


def _tabs(rnd: random.Random, cols: int, rows: int) -> str:
    stop = f"\x1b[{rnd.randint(1, cols)}G{rnd.choice(_STOPS)}"
    return rnd.choice(
        [
            stop,
            "\x1b[3g",
            "\t",
            "\t\tx",
            f"\x1b[{rnd.randint(0, 4)}I",
            f"\x1b[{rnd.randint(0, 4)}Z",
            "\x1b[0g",
            "\x1b[5g",
        ]
    )


def _buffers(rnd: random.Random, cols: int, rows: int) -> str:
    """The alternate screen in all four ways, and saved cursors."""
    switch = f"\x1b[?{rnd.choice(['47', '1047', '1048', '1049', '1049;1048', '1047;1048'])}{rnd.choice('hhl')}"
    save = rnd.choice(["\x1b7", "\x1b8", "\x1b[s", "\x1b[u", "\x1b[1;5s", ""])
    return rnd.choice([switch, switch + save, save + switch, save])


def _kept_modes(rnd: random.Random, cols: int, rows: int) -> str:
    """XTSAVE, XTRESTORE, and what they keep."""
    mode = rnd.choice([1, 6, 7, 25, 45, 47, 66, 1000, 1006, 1049, 2004])
    return f"\x1b[?{mode}{rnd.choice(['s', 'r', 'h', 'l', '$p'])}"


def _resets(rnd: random.Random, cols: int, rows: int) -> str:
    return rnd.choice(
        ["\x1b[!p", "\x1b[!p", "\x1b#8", "\x1b#8", "\x1bc", "\x1b#3", "\x1b#6", "\x1b%G", "\x1b%@", "\x1b F", "\x1b G"]
    )


def _links(rnd: random.Random, cols: int, rows: int) -> str:
    name = rnd.choice(["", "", "id=1", "id=2", "id=", "id=a.b"])
    begin = f"\x1b]8;{name};https://{rnd.choice('ab')}.example/{rnd.choice(['', 'x', 'x;y'])}{rnd.choice(_ENDS)}"
    end = "\x1b]8;;\x1b\\"
    return rnd.choice(
        [
            begin,
            end,
            f"{begin}{rnd.choice(_WIDE)}{end}",
            f"{begin}link{end}",
            "\x1b]8;id=1;\x07",
        ]
    )


def _pens(rnd: random.Random, cols: int, rows: int) -> str:
    text = f"\x1b[{rnd.choice(_SGR)}m"
    return text + rnd.choice(["", "", "x", "\x1b7", "\x1b8", "\x1b[K", "漢"])


def _margin(rnd: random.Random, cols: int, rows: int) -> str:
    """Clusters and wide characters at the right margin."""
    text = rnd.choice([*_WIDE, "x\u0301", "\u0301", "\u200d", "👨\u200d", "🇩", "x" * cols, "ab", "\ufe0f"])
    after = rnd.choice(["", "", "\u0301", "\u200d👩", "🇪", "\r\n", "\b", "\x1b[K", "\x1b[P", "\x1b[@", "\t"])
    return f"\x1b[{rnd.choice([cols, cols, cols - 1, cols + 1])}G{text}{after}"


def _strings(rnd: random.Random, cols: int, rows: int) -> str:
    """Control strings of any length, ended in every way. xterm.js draws APC, PM and SOS from a letter beyond ASCII on:
    here they are dropped whole, and so they have none.
    """
    begin = rnd.choice(
        ["\x1b]52;c;", "\x1bPq", "\x1b_G", "\x1b^", "\x1bX", "\x1b]1337;", "\x1bP+q", "\x1b]9;", "\x1b]777;"]
    )
    bodies = ["QUJD", "#0~~", "\r\n", "x;y;", *(["漢", "é"] if begin[1] in "]P" else [])]
    body = rnd.choice(bodies) * rnd.choice([1, 3, 300, 1500, 20_000])
    return begin + body + rnd.choice(["\x07\x1b\\", "\x1b\\", "\x9c", "\x18", "\x1a", "\x1b[m"])


_KINDS: list[Callable[[random.Random, int, int], str]] = [
    _columns, _protected, _repeated, _inserted, _margins, _tabs, _buffers, _kept_modes, _resets, _links, _pens, _pens, _margin, _margin, _strings,
]  # fmt: skip


def rare_piece(rnd: random.Random, cols: int, rows: int) -> str:
    return rnd.choice(_KINDS)(rnd, cols, rows)
