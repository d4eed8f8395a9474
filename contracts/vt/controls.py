"""Effects of controls, escape sequences and operating system commands on a screen, as in xterm.js."""

from __future__ import annotations

from townwatch.contracts.vt.cells import Line, Pen, has_content, width
from townwatch.contracts.vt.surface import Surface

GIVEN_LINK = "id=tw."
"""Begins the id of a link that its program gave none."""

# --- C0 and C1 -----------------------------------------------------------------------------------------


def execute(screen: Surface, control: str) -> None:
    buffer = screen.buffer
    match control:
        case "\n" | "\x0b" | "\x0c":
            line_feed(screen)
        case "\r":
            buffer.x = 0
        case "\b":
            backspace(screen)
        case "\t":
            if buffer.x < screen.cols:
                buffer.x = buffer.next_tab()
        case "\x0e" | "\x0f":
            screen.use_charset(1 if control == "\x0e" else 0)
        case "\x84":
            index(screen)
        case "\x85":
            next_line(screen)
        case "\x88":
            buffer.tabs.add(buffer.x)
        case _:
            pass


def line_feed(screen: Surface) -> None:
    buffer = screen.buffer
    if screen.modes.newline:
        buffer.x = 0
    buffer.y += 1
    if buffer.y == buffer.bottom + 1:
        buffer.y -= 1
        buffer.scroll(screen.erased)
    elif buffer.y >= screen.rows:
        buffer.y = screen.rows - 1
    else:
        buffer.line.wrapped = False
    if buffer.x >= screen.cols:
        buffer.x -= 1


def backspace(screen: Surface) -> None:
    buffer = screen.buffer
    if not screen.modes.private[45]:
        screen.restrict()
        buffer.x = max(buffer.x - 1, 0)
        return
    screen.restrict(screen.cols)
    if buffer.x > 0:
        buffer.x -= 1
    elif buffer.top < buffer.y <= buffer.bottom and buffer.line.wrapped:
        buffer.line.wrapped = False
        buffer.y -= 1
        buffer.x = screen.cols - 1
        cell = buffer.line.text[buffer.x]
        if width(cell) and not has_content(cell):
            buffer.x -= 1
    screen.restrict()


def index(screen: Surface) -> None:
    buffer = screen.buffer
    screen.restrict()
    buffer.y += 1
    if buffer.y == buffer.bottom + 1:
        buffer.y -= 1
        buffer.scroll(screen.erased)
    elif buffer.y >= screen.rows:
        buffer.y = screen.rows - 1
    screen.restrict()


def next_line(screen: Surface) -> None:
    screen.buffer.x = 0
    index(screen)


def reverse_index(screen: Surface) -> None:
    buffer = screen.buffer
    screen.restrict()
    if buffer.y == buffer.top:
        del buffer.lines[buffer.bottom]
        buffer.lines.insert(buffer.top, Line(screen.cols, screen.erased))
    else:
        buffer.y -= 1
        screen.restrict()


# --- escapes and commands ------------------------------------------------------------------------------


def escape(screen: Surface, intermediates: str, final: str) -> None:
    if intermediates:
        if intermediates == "#" and final == "8":
            _alignment(screen)
        elif intermediates == "%" and final in "@G":
            screen.use_charset(0)
            screen.set_charset(0, "")
        else:
            screen.choose_charset(intermediates, final)
        return
    match final:
        case "7":
            screen.save_cursor()
        case "8":
            screen.restore_cursor()
        case "D":
            index(screen)
        case "E":
            next_line(screen)
        case "H":
            screen.buffer.tabs.add(screen.buffer.x)
        case "M":
            reverse_index(screen)
        case "=" | ">":
            screen.modes.private[66] = final == "="
        case "c":
            screen.full_reset()
        case "n" | "}":
            screen.use_charset(2)
        case "o" | "|":
            screen.use_charset(3)
        case "~":
            screen.use_charset(1)
        case _:
            pass


def _alignment(screen: Surface) -> None:
    screen.place(0, 0)
    buffer, pen = screen.buffer, screen.pen
    # In origin mode xterm.js begins at the region's top; without a scrollback it comes round to the first rows.
    for line in buffer.lines[buffer.y if buffer.scrollback else 0 :]:
        line.fill("E", Pen(pen.fg, pen.bg))
        line.wrapped = False
    screen.place(0, 0)


def command(screen: Surface, body: str) -> None:
    """Obey an operating system command: 0, 1 and 2 are titles; 8 hyperlinks."""
    number, separator, rest = body.partition(";")
    if not number.isdecimal() or not number.isascii():
        return
    match int(number[:9]):
        case 0:
            screen.modes.title = screen.modes.icon = rest
        case 1:
            screen.modes.icon = rest
        case 2:
            screen.modes.title = rest
        case 8 if separator:
            _hyperlink(screen, rest)
        case _:
            pass


def _hyperlink(screen: Surface, rest: str) -> None:
    parameters, separator, address = rest.partition(";")
    if not separator or (not address and parameters.strip()):
        return
    pen = screen.pen
    bg = pen.bg | 0x10000000 if address or pen.extended & 0x1C000000 else pen.bg & ~0x10000000
    screen.pen = Pen(pen.fg, bg, pen.extended, (_link_id(screen, parameters), address) if address else None)


def _link_id(screen: Surface, parameters: str) -> str:
    """Return the link's own `id=`, or one that is given to it here: its pieces are one link after a snapshot, too."""
    found = next((one for one in parameters.strip().split(":") if one.startswith("id=")), "id=")
    if found.startswith(GIVEN_LINK) and found[len(GIVEN_LINK) :].isdecimal():  # from a snapshot
        screen.links = max(screen.links, int(found[len(GIVEN_LINK) :][:9]))
    elif found == "id=":
        screen.links += 1
        return f"{GIVEN_LINK}{screen.links}"
    return found
