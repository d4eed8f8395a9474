"""The terminal that is right by definition (@xterm/headless), and the model's state in the same words."""

import json
import queue
import subprocess
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from tests.support.service import JS, node
from townwatch.contracts.vt.buffer import Buffer
from townwatch.contracts.vt.cells import TAIL, Line, Pen, width
from townwatch.contracts.vt.charsets import CHARSETS
from townwatch.contracts.vt.controls import GIVEN_LINK
from townwatch.contracts.vt.modes import ENCODINGS, MOUSE
from townwatch.contracts.vt.screen import VtScreen
from townwatch.contracts.vt.sgr import visible

Step = str | tuple[int, int]
"""Output, or a change of size to (columns, rows)."""


class Oracle:
    """One node process for many terminals."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [node(), str(JS / "terminal_oracle.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=JS, text=True
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)

    def states(self, programs: Iterable[tuple[Sequence[Step], tuple[int, int]]]) -> list[dict[str, Any]]:
        """The state after each program, in a terminal of the size beside it."""
        assert self._process.stdin is not None
        count = 0
        for steps, (cols, rows) in programs:
            asked = {"cols": cols, "rows": rows, "steps": [s if isinstance(s, str) else list(s) for s in steps]}
            self._process.stdin.write(json.dumps(asked) + "\n")
            count += 1
        self._process.stdin.flush()
        return [json.loads(self._answers.get(timeout=60)) for _ in range(count)]

    def state(self, steps: Sequence[Step], size: tuple[int, int] = (80, 24)) -> dict[str, Any]:
        return self.states([(steps, size)])[0]

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


# --- the model in the same words -----------------------------------------------------------------------


def model(steps: Sequence[Step], size: tuple[int, int] = (80, 24)) -> VtScreen:
    screen = VtScreen(*size)
    for step in steps:
        if isinstance(step, str):
            screen.write(step)
        else:
            screen.resize(*step)
    return screen


def described(screen: VtScreen) -> dict[str, Any]:
    """As terminal_oracle.mjs prints it."""
    modes = screen.modes
    private: dict[str, Any] = {str(number): on for number, on in modes.private.items()}
    return {
        "cols": screen.cols,
        "rows": screen.rows,
        "active": "alternate" if screen.buffer is screen.alternate else "normal",
        "x": screen.buffer.x,
        "y": screen.buffer.y,
        "normal": _buffer(screen, screen.normal),
        "alternate": _buffer(screen, screen.alternate) if screen.buffer is screen.alternate else None,
        "pen": _shown(screen.pen),
        "charset": _charset(screen.charset),
        "level": screen.level,
        "charsets": [_charset(name) for name in screen.charsets],
        "modes": private
        | {
            "insert": modes.insert,
            "newline": modes.newline,
            "mouse": MOUSE.get(modes.mouse, "NONE"),
            "encoding": ENCODINGS.get(modes.encoding, "DEFAULT"),
            "style": (None, "block", "underline", "bar")[modes.cursor_shape],
            "blink": modes.cursor_blinks,
        },
        "title": modes.title,
        "join": None if screen.join is None else list(screen.join),
    }


def _buffer(screen: VtScreen, buffer: Buffer) -> dict[str, Any]:
    lines = [packed.line(screen.cols) for packed in buffer.history] + buffer.lines
    saved_y = min(buffer.rows - 1, max(0, buffer.saved_y - buffer.base))
    return {
        "lines": [_line(line, screen.cols) for line in lines],
        "base": buffer.base,
        "top": buffer.top,
        "bottom": buffer.bottom,
        "tabs": sorted(x for x in buffer.tabs if x < screen.cols),
        "saved": [
            min(buffer.saved_x, screen.cols - 1),
            saved_y,
            buffer.saved_fg,
            buffer.saved_bg,
            _charset(buffer.saved_charset),
        ],
    }


def _line(line: Line, cols: int) -> dict[str, Any]:
    runs: list[list[Any]] = []
    for pen in line.pens[:cols]:
        shown = _shown(pen)
        if runs and runs[-1][1] == shown:
            runs[-1][0] += 1
        else:
            runs.append([1, shown])
    text = [["" if cell == TAIL else str(cell), width(cell)] for cell in line.text[:cols]]
    return {"text": text, "pens": runs, "wrapped": line.wrapped}


def _shown(pen: Pen) -> list[Any]:
    """What of it can be seen."""
    pen = visible(pen)
    if pen.link:  # a link is always underlined in its own way
        pen = pen._replace(extended=pen.extended & 0x3FFFFFF)
    if pen.link is None:
        return [pen.fg, pen.bg, pen.extended, None]
    name, address = pen.link
    return [pen.fg, pen.bg, pen.extended, ["" if name.startswith(GIVEN_LINK) else name, address]]


def _charset(name: str) -> str:
    return "" if not name else "".join(CHARSETS[name].get(code, chr(code)) for code in range(0x20, 0x7F))


def _each(runs: list[Any]) -> list[Any]:
    return [pen for count, pen in runs for _ in range(count)]


# --- differences ---------------------------------------------------------------------------------------


def difference(want: Any, got: Any, path: str = "") -> str | None:
    """The first difference, in words; what only the oracle has (its answers) is passed over."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in want:
            if key == "wrapped" and (path.startswith(".alternate") or path == ".normal.lines[0]"):
                continue  # where it has no effect
            if key == "pens":
                if found := difference(_each(want[key]), _each(got[key]), f"{path}.pens"):
                    return found
            elif key in got and (found := difference(want[key], got[key], f"{path}.{key}")):
                return found
        return None
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return f"{path}: want {len(want)} got {len(got)} items: {str(want)[:300]} / {str(got)[:300]}"
        for index, pair in enumerate(zip(want, got, strict=True)):
            if found := difference(*pair, f"{path}[{index}]"):
                return found
        return None
    return None if want == got or want == "gone" else f"{path}: want {want!r} got {got!r}"
