"""Patterns with stars, compared with a text in time that grows with both lengths and with nothing else. Pure.

Rules come from people and from files in repositories, texts from agents: a backtracking expression of a dozen stars
holds a whole process for hours. So all places that a pattern may be at are kept at once, as bits of a number.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import attrs

Kind = Literal["any", "star", "all", "folders"]
"""any: one character but ``/``. star: a run without a separator. all: any run. folders: nothing, or a run that ends
with ``/``.
"""


@attrs.frozen
class Wild:
    """A token of a pattern that is no character of its own."""

    kind: Kind


Token = str | Wild
Separator = Literal["slash", "blank"]
"""What a star does not go over."""


@attrs.frozen
class Glob:
    """A pattern, made ready. Bit i of each number is about its token i."""

    length: int
    chars: dict[str, int]
    any_of: int
    stars: int
    alls: int
    folders: int
    separator: Separator

    def matches(self, text: str) -> bool:
        """Return True where the whole text is of this pattern."""
        skip = self.stars | self.alls | self.folders
        at = self._reached(1, skip)
        for char in text:
            slash = char == "/"
            stops = slash if self.separator == "slash" else char.isspace()
            moving = self.chars.get(char, 0) | (self.folders if slash else self.any_of)
            staying = self.alls if stops else self.alls | self.stars
            at = self._reached(((at & moving) << 1) | (at & staying), skip) | (at & self.folders)
            if not at:
                return False
        return bool(at >> self.length & 1)

    @staticmethod
    def _reached(at: int, skip: int) -> int:
        """Add the places behind those that may stand for nothing."""
        new = at
        while new := ((new & skip) << 1) & ~at:
            at |= new
        return at


@lru_cache(maxsize=4096)
def compile_glob(tokens: tuple[Token, ...], separator: Separator = "slash") -> Glob:
    """Make a pattern ready."""
    chars: dict[str, int] = {}
    wild: dict[Kind, int] = {"any": 0, "star": 0, "all": 0, "folders": 0}
    kept = _without_repeats(tokens)
    for place, token in enumerate(kept):
        if isinstance(token, Wild):
            wild[token.kind] |= 1 << place
        else:
            chars[token] = chars.get(token, 0) | 1 << place
    return Glob(len(kept), chars, wild["any"], wild["star"], wild["all"], wild["folders"], separator)


def _without_repeats(tokens: Sequence[Token]) -> list[Token]:
    """The tokens without runs of the same star, which say no more than one of them."""
    kept: list[Token] = []
    for token in tokens:
        if not (kept and isinstance(token, Wild) and token.kind != "any" and kept[-1] == token):
            kept.append(token)
    return kept
