"""The modes of a terminal that outlive a line of output: what keys send, what the mouse says, how text is set."""

import attrs

MOUSE = {9: "X10", 1000: "VT200", 1002: "DRAG", 1003: "ANY"}
ENCODINGS = {1006: "SGR", 1016: "SGR_PIXELS"}
ALTERNATE = (47, 1047, 1049)
MAX_KEYBOARDS = 16
"""Levels of the kitty keyboard protocol that are remembered."""


@attrs.define
class Modes:
    """A fresh terminal's. `private`: DEC private modes that are simply on or off, by number."""

    insert: bool = False
    newline: bool = False
    private: dict[int, bool] = attrs.Factory(
        lambda: {1: False, 6: False, 7: True, 12: False, 25: True, 45: False, 66: False, 1004: False, 2004: False,
                 2026: False}
    )  # fmt: skip
    mouse: int = 0
    encoding: int = 0
    cursor_shape: int = 0
    """Block, underline or bar; 0: as the viewer likes it."""
    cursor_blinks: bool | None = None
    keyboard: tuple[int, ...] = (0,)
    """The kitty keyboard protocol's stack of flags, the current ones last."""
    title: str = ""
    icon: str = ""

    @property
    def origin(self) -> bool:
        return self.private[6]

    @property
    def wraparound(self) -> bool:
        return self.private[7]

    def set(self, number: int, on: bool) -> None:
        """A DEC private mode that only has a value."""
        if number in self.private:
            self.private[number] = on
        elif number in MOUSE:
            self.mouse = number if on else 0
        elif number in ENCODINGS:
            self.encoding = number if on else 0

    def set_cursor(self, style: int) -> None:
        """Set the cursor's style (DECSCUSR)."""
        self.cursor_blinks = style % 2 == 1 if style else None
        if style <= 6:
            self.cursor_shape = (style + 1) // 2

    def soft_reset(self) -> None:
        """Reset the modes that DECSTR and RIS reset."""
        self.insert = False
        self.set_cursor(0)
        for number, on in Modes().private.items():
            if number not in (12, 25):
                self.private[number] = on
        self.private[25] = True

    def full_reset(self) -> None:
        """Reset everything (RIS), the mouse too. The title stays, and what xterm.js keeps as an option (12, 20)."""
        hidden = self.private[25]
        self.soft_reset()
        self.private[25] = hidden
        self.mouse = self.encoding = 0
        self.keyboard = (0,)

    def keyboard_change(self, prefix: str, first: int, second: int) -> None:
        """CSI > flags u, CSI < count u, CSI = flags ; mode u."""
        stack = list(self.keyboard)
        match prefix:
            case ">":
                stack.append(first)
                del stack[1 : len(stack) - MAX_KEYBOARDS + 1]
            case "<":
                del stack[max(0, len(stack) - max(1, first)) :]
            case _:
                now = stack[-1]
                stack[-1] = first if second in (0, 1) else now | first if second == 2 else now & ~first
        self.keyboard = tuple(stack or [0])
