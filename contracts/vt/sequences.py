"""Effect of each control sequence on a screen; one function for each row of xterm.js's handler table."""

from __future__ import annotations

from collections.abc import Callable

from townwatch.contracts.vt.cells import DEFAULT_PEN, PROTECTED, Line, has_content
from townwatch.contracts.vt.effort import MAX_REPEATS
from townwatch.contracts.vt.modes import ALTERNATE
from townwatch.contracts.vt.parser import numbers
from townwatch.contracts.vt.surface import Surface

Parameters = list[int]


def control_sequence(screen: Surface, name: str, parameters: str) -> None:
    """`name`: prefix, intermediates and final character."""
    handler = _HANDLERS.get(name)
    if handler is not None:
        handler(screen, numbers(parameters))


def _up(screen: Surface, p: Parameters) -> None:
    buffer, count = screen.buffer, p[0] or 1
    room = buffer.y - buffer.top
    screen.move(0, -(min(room, count) if room >= 0 else count))


def _down(screen: Surface, p: Parameters) -> None:
    buffer, count = screen.buffer, p[0] or 1
    room = buffer.bottom - buffer.y
    screen.move(0, min(room, count) if room >= 0 else count)


def _next_lines(screen: Surface, p: Parameters) -> None:
    _down(screen, p)
    screen.buffer.x = 0


def _previous_lines(screen: Surface, p: Parameters) -> None:
    _up(screen, p)
    screen.buffer.x = 0


def _column(screen: Surface, p: Parameters) -> None:
    screen.place((p[0] or 1) - 1, screen.buffer.y)


def _row(screen: Surface, p: Parameters) -> None:
    screen.place(screen.buffer.x, (p[0] or 1) - 1)


def _position(screen: Surface, p: Parameters) -> None:
    screen.place((p[1] or 1) - 1 if len(p) >= 2 else 0, (p[0] or 1) - 1)


def _tab(screen: Surface, p: Parameters) -> None:
    buffer = screen.buffer
    if buffer.x < screen.cols:
        for _ in range(min(p[0] or 1, screen.cols)):
            if buffer.x == screen.cols - 1:
                break
            buffer.x = buffer.next_tab()


def _back_tab(screen: Surface, p: Parameters) -> None:
    buffer = screen.buffer
    if buffer.x < screen.cols:
        for _ in range(min(p[0] or 1, screen.cols)):
            if buffer.x == 0:
                break
            buffer.x = buffer.previous_tab(buffer.x, screen.cols)


def _clear_tabs(screen: Surface, p: Parameters) -> None:
    if p[0] == 0:
        screen.buffer.tabs.discard(screen.buffer.x)
    elif p[0] == 3:
        screen.buffer.tabs.clear()


def _erase_display(screen: Surface, p: Parameters, *, selective: bool = False) -> None:
    screen.restrict(screen.cols)
    buffer, pen = screen.buffer, screen.erased
    match p[0]:
        case 0:
            _erase(screen, buffer.x, screen.cols, unwrap=buffer.x == 0, selective=selective)
            rest = buffer.lines[buffer.y + 1 :]
        case 1:
            _erase(screen, 0, buffer.x + 1, unwrap=True, selective=selective)
            if buffer.x + 1 >= screen.cols:
                _unwrap_absolute(screen, buffer.y + 1)
            rest = buffer.lines[: buffer.y]
        case 2:
            rest = buffer.lines
        case 3:
            buffer.history.clear()
            return
        case _:
            return
    for line in rest:
        if selective:
            line.replace(0, len(line.text), pen, selective=True)
        else:
            line.fill("", pen)
        line.wrapped = False


def _unwrap_absolute(screen: Surface, index: int) -> None:
    """xterm.js counts this one from the oldest line of the scrollback, where the line below the cursor is meant."""
    buffer = screen.buffer
    if index < buffer.base:
        buffer.history[index].wrapped = False
    elif index - buffer.base < len(buffer.lines):
        buffer.lines[index - buffer.base].wrapped = False


def _erase_line(screen: Surface, p: Parameters, *, selective: bool = False) -> None:
    screen.restrict(screen.cols)
    x = screen.buffer.x
    match p[0]:
        case 0:
            _erase(screen, x, screen.cols, unwrap=x == 0, selective=selective)
        case 1:
            _erase(screen, 0, x + 1, unwrap=False, selective=selective)
        case 2:
            _erase(screen, 0, screen.cols, unwrap=True, selective=selective)
        case _:
            pass


def _erase(screen: Surface, start: int, end: int, *, unwrap: bool, selective: bool) -> None:
    line = screen.buffer.line
    line.replace(start, end, screen.erased, selective=selective)
    if unwrap:
        line.wrapped = False


def _insert_lines(screen: Surface, p: Parameters) -> None:
    screen.restrict()
    buffer = screen.buffer
    if buffer.top <= buffer.y <= buffer.bottom:
        for _ in range(min(p[0] or 1, screen.rows)):
            del buffer.lines[buffer.bottom]
            buffer.lines.insert(buffer.y, Line(screen.cols, screen.erased))
        buffer.x = 0


def _delete_lines(screen: Surface, p: Parameters) -> None:
    screen.restrict()
    buffer = screen.buffer
    if buffer.top <= buffer.y <= buffer.bottom:
        for _ in range(min(p[0] or 1, screen.rows)):
            del buffer.lines[buffer.y]
            buffer.lines.insert(buffer.bottom, Line(screen.cols, screen.erased))
        buffer.x = 0


def _insert_cells(screen: Surface, p: Parameters) -> None:
    screen.restrict()
    screen.buffer.line.insert(screen.buffer.x, p[0] or 1, screen.erased)


def _delete_cells(screen: Surface, p: Parameters) -> None:
    screen.restrict()
    screen.buffer.line.delete(screen.buffer.x, p[0] or 1, screen.erased)


def _erase_cells(screen: Surface, p: Parameters) -> None:
    screen.restrict()
    x = screen.buffer.x
    screen.buffer.line.replace(x, x + (p[0] or 1), screen.erased)


def _scroll_up(screen: Surface, p: Parameters) -> None:
    for _ in range(min(p[0] or 1, screen.rows)):
        screen.buffer.shift_up(screen.erased)


def _scroll_down(screen: Surface, p: Parameters) -> None:
    for _ in range(min(p[0] or 1, screen.rows)):
        screen.buffer.shift_down(DEFAULT_PEN)


def _columns(change: str, at_cursor: bool) -> Callable[[Surface, Parameters], None]:
    """SL, SR, DECIC and DECDC: cells go or come in every line of the region."""

    def handler(screen: Surface, p: Parameters) -> None:
        buffer = screen.buffer
        if buffer.top <= buffer.y <= buffer.bottom:
            for line in buffer.lines[buffer.top : buffer.bottom + 1]:
                (line.insert if change == "insert" else line.delete)(
                    buffer.x if at_cursor else 0, p[0] or 1, screen.erased
                )
                line.wrapped = False

    return handler


def _repeat(screen: Surface, p: Parameters) -> None:
    """REP: what stands before the cursor again, if it was printed just before."""
    if screen.join is None:
        return
    buffer = screen.buffer
    at = buffer.x - screen.join[1]
    text = buffer.line.text[at] if 0 <= at < len(buffer.line.text) else ""
    if has_content(text):
        screen.draw(text * max(1, min(p[0] or 1, MAX_REPEATS // len(text))))


def _protect(screen: Surface, p: Parameters) -> None:
    pen = screen.pen
    if p[0] == 1:
        screen.pen = pen._replace(bg=pen.bg | PROTECTED)
    elif p[0] in (0, 2):
        screen.pen = pen._replace(bg=pen.bg & ~PROTECTED)


def _region(screen: Surface, p: Parameters) -> None:
    top, bottom = p[0] or 1, p[1] if len(p) >= 2 else 0
    if bottom > screen.rows or bottom == 0:
        bottom = screen.rows
    if bottom > top:
        screen.buffer.top, screen.buffer.bottom = top - 1, bottom - 1
        screen.place(0, 0)


def _modes(screen: Surface, p: Parameters, on: bool) -> None:
    for number in p:
        if number == 4:
            screen.modes.insert = on
        elif number == 20:
            screen.modes.newline = on


def _private_modes(screen: Surface, p: Parameters, on: bool) -> None:
    for number in p:
        if number in ALTERNATE:
            _switch(screen, number, on)
        elif number == 1048:
            screen.save_cursor() if on else screen.restore_cursor()
        elif number == 2 and on:
            for level in range(4):
                screen.set_charset(level, "")
        else:
            screen.modes.set(number, on)
            if number == 6:
                screen.place(0, 0)


def _switch(screen: Surface, number: int, on: bool) -> None:
    if on:
        if number == 1049:
            screen.save_cursor()
        screen.to_alternate()
    else:
        screen.to_normal()
        if number == 1049:
            screen.restore_cursor()


def _keyboard(prefix: str) -> Callable[[Surface, Parameters], None]:
    return lambda screen, p: screen.modes.keyboard_change(prefix, p[0], p[1] if len(p) > 1 else 0)


_HANDLERS: dict[str, Callable[[Surface, Parameters], None]] = {
    "@": _insert_cells,
    " @": _columns("delete", at_cursor=False),
    "A": _up,
    " A": _columns("insert", at_cursor=False),
    "B": _down,
    "C": lambda screen, p: screen.move(p[0] or 1, 0),
    "D": lambda screen, p: screen.move(-(p[0] or 1), 0),
    "E": _next_lines,
    "F": _previous_lines,
    "G": _column,
    "H": _position,
    "I": _tab,
    "J": _erase_display,
    "?J": lambda screen, p: _erase_display(screen, p, selective=True),
    "K": _erase_line,
    "?K": lambda screen, p: _erase_line(screen, p, selective=True),
    "L": _insert_lines,
    "M": _delete_lines,
    "P": _delete_cells,
    "S": _scroll_up,
    "T": _scroll_down,
    "X": _erase_cells,
    "Z": _back_tab,
    "`": _column,
    "a": lambda screen, p: screen.move(p[0] or 1, 0),
    "b": _repeat,
    "d": _row,
    "e": lambda screen, p: screen.move(0, p[0] or 1),
    "f": _position,
    "g": _clear_tabs,
    "h": lambda screen, p: _modes(screen, p, True),
    "?h": lambda screen, p: _private_modes(screen, p, True),
    "l": lambda screen, p: _modes(screen, p, False),
    "?l": lambda screen, p: _private_modes(screen, p, False),
    "!p": lambda screen, p: screen.soft_reset(),
    " q": lambda screen, p: screen.modes.set_cursor(p[0]),
    "r": _region,
    "s": lambda screen, p: screen.save_cursor(),
    "u": lambda screen, p: screen.restore_cursor(),
    "'}": _columns("insert", at_cursor=True),
    "'~": _columns("delete", at_cursor=True),
    '"q': _protect,
    ">u": _keyboard(">"),
    "<u": _keyboard("<"),
    "=u": _keyboard("="),
}
