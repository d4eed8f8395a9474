"""Select Graphic Rendition: how parameters change the pen, and which parameters make a pen. Pure."""

from functools import lru_cache

from townwatch.contracts.vt.cells import (
    BLINK,
    BOLD,
    COLOR,
    COLOR_MODE,
    DEFAULT_PEN,
    DIM,
    EXTENDED,
    INVERSE,
    INVISIBLE,
    ITALIC,
    OVERLINE,
    P16,
    P256,
    PROTECTED,
    RGB,
    STRUCK,
    STYLE,
    STYLE_SHIFT,
    UNDERLINE,
    Pen,
)
from townwatch.contracts.vt.parser import with_subparameters

_SET_FG = {1: BOLD, 5: BLINK, 7: INVERSE, 8: INVISIBLE, 9: STRUCK}
_SET_BG = {2: DIM, 3: ITALIC, 53: OVERLINE}
_CLEAR_FG = {22: BOLD, 25: BLINK, 27: INVERSE, 28: INVISIBLE, 29: STRUCK}
_CLEAR_BG = {22: DIM, 23: ITALIC, 55: OVERLINE}
_COLOURS = ((30, 0), (90, 8), (40, 0), (100, 8))


class _Changing:
    """A pen while parameters are applied to it."""

    __slots__ = ("bg", "extended", "fg", "linked")

    def __init__(self, pen: Pen) -> None:
        self.fg, self.bg, self.extended, self.linked = pen.fg, pen.bg, pen.extended, pen.link is not None

    def update_extended(self) -> None:
        if self.linked or self.extended & STYLE:
            self.bg |= EXTENDED
        else:
            self.bg &= ~EXTENDED

    def underline(self, style: int) -> None:
        if style < 0 or style > 5:
            style = 1
        self.extended = self.extended & ~STYLE | style << STYLE_SHIFT
        self.fg = self.fg | UNDERLINE if style else self.fg & ~UNDERLINE
        self.update_extended()

    def reset(self) -> None:
        self.fg = self.bg = self.extended = 0
        self.update_extended()


@lru_cache(maxsize=4096)
def apply(pen: Pen, parameters: str) -> Pen:
    """The pen after SGR with these parameters."""
    changing, all_parameters, index = _Changing(pen), with_subparameters(parameters), 0
    while index < len(all_parameters):
        number, sub = all_parameters[index]
        if number in (38, 48, 58):
            index += _colour(changing, all_parameters, index)
        else:
            _change(changing, number, sub)
        index += 1
    return Pen(changing.fg, changing.bg, changing.extended, pen.link)


def _change(pen: _Changing, number: int, sub: list[int]) -> None:
    if number == 0:
        pen.reset()
    elif number == 4:
        pen.underline(sub[0] if sub else 1)
    elif number in (21, 24):
        pen.underline(2 if number == 21 else 0)
    elif number == 59:
        pen.extended |= COLOR
        pen.update_extended()
    elif number in (39, 49):
        if number == 39:
            pen.fg &= ~COLOR
        else:
            pen.bg &= ~COLOR
    else:
        for first, bright in _COLOURS:
            if first <= number <= first + 7:
                colour = P16 | (number - first) | bright
                if first in (30, 90):
                    pen.fg = pen.fg & ~COLOR | colour
                else:
                    pen.bg = pen.bg & ~COLOR | colour
                return
        pen.fg = (pen.fg | _SET_FG.get(number, 0)) & ~_CLEAR_FG.get(number, 0)
        pen.bg = (pen.bg | _SET_BG.get(number, 0)) & ~_CLEAR_BG.get(number, 0)


def _colour(pen: _Changing, parameters: list[tuple[int, list[int]]], at: int) -> int:
    """38, 48 and 58, by semicolons or colons; returns how many parameters more it took. xterm.js's own way."""
    found, space, advance = [0, 0, -1, 0, 0, 0], 0, 0
    while True:
        number, sub = parameters[at + advance]
        found[advance + space] = number
        if sub:
            index = 0
            while True:
                if found[1] == 5:
                    space = 1
                found[advance + index + 1 + space] = sub[index]
                index += 1
                if not (index < len(sub) and index + advance + 1 + space < len(found)):
                    break
            break
        if (found[1] == 5 and advance + space >= 2) or (found[1] == 2 and advance + space >= 5):
            break
        if found[1]:
            space = 1
        advance += 1
        if not (advance + at < len(parameters) and advance + space < len(found)):
            break
    values = [0 if value == -1 and index >= 2 else value for index, value in enumerate(found)]
    match values[0]:
        case 38:
            pen.fg = _updated(pen.fg, values)
        case 48:
            pen.bg = _updated(pen.bg, values)
        case _:
            pen.extended = pen.extended & ~COLOR | _updated(pen.extended & COLOR, values) & COLOR
    return advance


def _updated(colour: int, values: list[int]) -> int:
    match values[1]:
        case 2:
            return colour & ~COLOR | RGB | (values[3] & 255) << 16 | (values[4] & 255) << 8 | values[5] & 255
        case 5:
            return colour & ~COLOR | P256 | values[3] & 255
        case _:
            return colour


# --- the way back ------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def sequence(pen: Pen) -> str:
    """The sequence that makes this pen (its hyperlink aside), whatever it was before."""
    if pen == DEFAULT_PEN:
        return "\x1b[m"
    parts = ["0"]
    parts += [str(number) for number, flag in _SET_FG.items() if pen.fg & flag]
    parts += [str(number) for number, flag in _SET_BG.items() if pen.bg & flag]
    style = pen.extended >> STYLE_SHIFT & 7
    if pen.fg & UNDERLINE and (style or pen.link or not pen.bg & EXTENDED):
        parts.append("4" if style in (0, 1) else f"4:{style}")
    parts += _foreground(pen.fg, 30, 90, 38) + _foreground(pen.bg, 40, 100, 48)
    if pen.extended & COLOR == COLOR:
        parts.append("59")
    elif pen.extended & COLOR_MODE:
        parts += _foreground(pen.extended, 0, 0, 58)
    text = f"\x1b[{';'.join(parts)}m"
    return text + ('\x1b[1"q' if pen.bg & PROTECTED else "")


def style_alone(pen: Pen) -> str:
    """The sequence behind which the style and colour of underlines are this pen's. Whether it underlines, and the rest
    of it, a restored cursor brings.
    """
    style, colour = pen.extended >> STYLE_SHIFT & 7, pen.extended & COLOR
    more = ["59"] if colour == COLOR else _foreground(colour, 0, 0, 58) if pen.extended & COLOR_MODE else []
    return f"\x1b[{';'.join(['0', f'4:{style}', *more])}m"


def is_settled(pen: Pen) -> bool:
    """Return True if SGR and links alone make this pen. A restored cursor leaves others: it brings colours, and whether
    there are underlines and links, but neither their style nor the link.
    """
    style = pen.extended & STYLE
    counts = bool(style) or pen.link is not None
    return counts == bool(pen.bg & EXTENDED) and bool(style) == bool(pen.fg & UNDERLINE)


def visible(pen: Pen) -> Pen:
    """The settled pen with which a cell looks the same."""
    if not pen.bg & EXTENDED:
        return Pen(pen.fg, pen.bg | EXTENDED, 1 << STYLE_SHIFT) if pen.fg & UNDERLINE else Pen(pen.fg, pen.bg)
    if pen.extended & STYLE:  # xterm.js draws these lines whether or not the attribute is there
        return pen._replace(fg=pen.fg | UNDERLINE)
    return pen if pen.link is not None else Pen(pen.fg & ~UNDERLINE, pen.bg & ~EXTENDED)


def turn(old: Pen, new: Pen) -> str:
    """The sequence from one pen to another, without underlines and links: those stay what they are."""
    gone_fg, gone_bg = old.fg & ~new.fg, old.bg & ~new.bg
    come_fg, come_bg = new.fg & ~old.fg, new.bg & ~old.bg
    if gone_fg & BOLD or gone_bg & DIM:  # 22 ends both
        gone_fg, gone_bg = gone_fg | BOLD, gone_bg & ~DIM
        come_fg, come_bg = come_fg | new.fg & BOLD, come_bg | new.bg & DIM
    parts = [str(number) for number, flag in _CLEAR_FG.items() if gone_fg & flag]
    parts += [str(number) for number, flag in _CLEAR_BG.items() if gone_bg & flag]
    parts += [str(number) for number, flag in _SET_FG.items() if come_fg & flag]
    parts += [str(number) for number, flag in _SET_BG.items() if come_bg & flag]
    if (old.fg ^ new.fg) & COLOR:
        parts += _foreground(new.fg, 30, 90, 38) or ["39"]
    if (old.bg ^ new.bg) & COLOR:
        parts += _foreground(new.bg, 40, 100, 48) or ["49"]
    text = f"\x1b[{';'.join(parts)}m" if parts else ""
    if (old.bg ^ new.bg) & PROTECTED:
        text += '\x1b[1"q' if new.bg & PROTECTED else '\x1b[0"q'
    return text


def _foreground(colour: int, normal: int, bright: int, extended: int) -> list[str]:
    index = colour & 0xFF
    match colour & COLOR_MODE:
        case mode if mode == P16 and extended != 58:
            return [str(bright + index - 8 if index & 8 else normal + index)]
        case mode if mode == P256:
            return [f"{extended}:5:{index}"] if extended == 58 else [f"{extended};5;{index}"]
        case mode if mode == RGB:
            red, green, blue = colour >> 16 & 255, colour >> 8 & 255, index
            if extended == 58:
                return [f"58:2::{red}:{green}:{blue}"]
            return [f"{extended};2;{red};{green};{blue}"]
        case _:
            return []
