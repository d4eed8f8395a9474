"""What a program asks its terminal where no local one answers: colours that it set, reports, capabilities."""

import pytest
import trio
import trio.testing

from townwatch.actors.rendering.terminal import ANSWERS
from townwatch.runner.session.answers import Answers
from townwatch.runner.session.colours import parsed

ST = "\x1b\\"
ASKED = {
    # colours: what was set is what is answered
    "background as set": (f"\x1b]11;#102030\x07\x1b]11;?{ST}", f"\x1b]11;rgb:1010/2020/3030{ST}"),
    "three in one": (
        f"\x1b]10;rgb:1/2/3;red;#ABCDEF{ST}\x1b]10;?;?;?\x07",
        f"\x1b]10;rgb:1111/2222/3333{ST}\x1b]11;rgb:ffff/0000/0000{ST}\x1b]12;rgb:abab/cdcd/efef{ST}",
    ),
    "set and asked in one": (f"\x1b]4;1;rgb:12/34/56;1;?{ST}", f"\x1b]4;1;rgb:1212/3434/5656{ST}"),
    "what is no colour changes nothing": (f"\x1b]11;nonsense{ST}\x1b]11;?{ST}", f"\x1b]11;rgb:0b0b/0e0e/1111{ST}"),
    "reset of the background": (f"\x1b]11;red{ST}\x1b]111{ST}\x1b]11;?{ST}", f"\x1b]11;rgb:0b0b/0e0e/1111{ST}"),
    "reset of the foreground": (f"\x1b]10;red{ST}\x1b]110\x07\x1b]10;?{ST}", f"\x1b]10;rgb:d8d8/d9d9/d4d4{ST}"),
    "reset of the cursor": (f"\x1b]12;red{ST}\x1b]112\x07\x1b]12;?{ST}", f"\x1b]12;rgb:ffff/b2b2/2424{ST}"),
    "reset of one of the palette": (
        f"\x1b]4;1;blue;2;blue{ST}\x1b]104;1{ST}\x1b]4;1;?;2;?{ST}",
        f"\x1b]4;1;rgb:ffff/7a7a/6b6b{ST}\x1b]4;2;rgb:0000/0000/ffff{ST}",
    ),
    "reset of the palette": (f"\x1b]4;1;blue{ST}\x1b]104{ST}\x1b]4;1;?{ST}", f"\x1b]4;1;rgb:ffff/7a7a/6b6b{ST}"),
    "a full reset takes the palette, and no other": (
        f"\x1b]4;1;blue{ST}\x1b]11;blue{ST}\x1bc\x1b]4;1;?{ST}\x1b]11;?{ST}",
        f"\x1b]4;1;rgb:ffff/7a7a/6b6b{ST}\x1b]11;rgb:0000/0000/ffff{ST}",
    ),
    "no such colour": (f"\x1b]4;256;?;x;?;-1;?{ST}\x1b]18;?{ST}", ""),
    # reports
    "terminal parameters": ("\x1b[x\x1b[1x\x1b[2x", "\x1b[2;1;1;128;128;1;0x\x1b[3;1;1;128;128;1;0x"),
    "cursor in origin mode": ("\x1b[5;9r\x1b[?6h\x1b[2;3H\x1b[6n\x1b[?6n", "\x1b[2;3R\x1b[?2;3R"),
    "cursor behind the last column": ("\x1b[2;120Hx\x1b[6n", "\x1b[2;120R"),
    "sizes": ("\x1b[14t\x1b[16t\x1b[18t\x1b[19t", "\x1b[4;512;960t\x1b[6;16;8t\x1b[8;32;120t\x1b[9;32;120t"),
    "printer, keys, keyboard": ("\x1b[?15n\x1b[?25n\x1b[?26n", "\x1b[?13n\x1b[?21n\x1b[?27;1;0;0n"),
    "identity": ("\x1b[c\x1bZ\x1b[>c\x1b[=c", f"\x1b[?62;22c\x1b[?62;22c\x1b[>0;276;0c\x1bP!|00000000{ST}"),
    # settings
    "modes": (
        "\x1b[?1049h\x1b[?1000h\x1b[?1049$p\x1b[?1000$p\x1b[?25$p\x1b[?2027$p\x1b[?9999$p\x1b[4$p",
        "\x1b[?1049;1$y\x1b[?1000;1$y\x1b[?25;1$y\x1b[?2027;3$y\x1b[?9999;0$y\x1b[4;2$y",
    ),
    "pen": (f"\x1b[1;4:3;31m\x1bP$qm{ST}", f"\x1bP1$r0;1;4:3;31m{ST}"),
    "page": (f"\x1bP$qt{ST}\x1bP$q$|{ST}\x1bP$q*|{ST}", f"\x1bP1$r32t{ST}\x1bP1$r120$|{ST}\x1bP1$r32*|{ST}"),
    "no such setting": (f"\x1bP$qzz{ST}", f"\x1bP0$r{ST}"),
    "a flag, and what is not there": (f"\x1bP+q5463;4d73{ST}", f"\x1bP1+r5463{ST}\x1bP0+r4d73{ST}"),
    # not answered (docs/terminal.md says why)
    "clipboard, title, answerback": (f"\x1b]52;c;?{ST}\x1b[21t\x1b[20t\x05", ""),
}


async def answers(*pieces: str) -> str:
    asked, got = Answers(120, 32), bytearray()

    async def write(data: bytes) -> None:
        got.extend(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.run, write)
        for piece in pieces:
            await asked.heard(piece)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return got.decode()


@pytest.mark.parametrize("question", ASKED)
async def test_a_question_is_answered_as_the_pages_terminal_would(question: str) -> None:
    asked, answer = ASKED[question]
    assert await answers(asked) == answer
    assert await answers(*asked) == answer, "character by character"


async def test_what_was_set_before_a_flood_is_known_after_it() -> None:
    assert await answers("\x1b]11;#102030\x07", "line\r\n" * 200_000, "\x1b]11;?\x07") == ASKED["background as set"][1]


@pytest.mark.parametrize("question", [name for name, (_, answer) in ASKED.items() if answer])
def test_no_answer_of_a_viewers_terminal_is_typed_into_the_program(question: str) -> None:
    assert ANSWERS.fullmatch(ASKED[question][1])


def test_colours_are_read_as_x11_reads_them() -> None:
    read = {
        "#fff": 0xF0F0F0,
        "#123456": 0x123456,
        "#123456789": 0x124578,
        "#111122223333": 0x112233,
        "rgb:f/0/8": 0xFF0088,
    }
    read |= {"rgb:12/34/56": 0x123456, "rgb:FFFF/8000/0000": 0xFF8000, " Red ": 0xFF0000}
    assert {wish: parsed(wish) for wish in read} == read
    for wish in ("", "#12", "#12345", "rgb:1/2", "rgb:1/2/g", "rgb:12345/1/1", "rgbi:1/1/1", "redd"):
        assert parsed(wish) is None, wish
