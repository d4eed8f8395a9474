"""Cell width of characters, and joining with the one before: Unicode 15 with grapheme clusters.

The same rules as @xterm/addon-unicode-graphemes, which the page loads: runner, service and page agree on every width.
"""

import re
from bisect import bisect_right
from functools import cache, lru_cache

from townwatch.contracts.vt.widths_table import RANGES

EXTEND, REGIONAL, SPACING, HANGUL_L, HANGUL_V, HANGUL_T, HANGUL_LV, HANGUL_LVT, ZWJ, PICTOGRAPH = range(2, 12)
PREPEND = 1

Join = tuple[int, int]
"""Class and width of the cluster before: what decides whether the next character joins it."""
PLAIN: Join = (0, 1)
_HANGUL = {
    HANGUL_L: (HANGUL_L, HANGUL_V, HANGUL_LV, HANGUL_LVT),
    HANGUL_LV: (HANGUL_V, HANGUL_T),
    HANGUL_V: (HANGUL_V, HANGUL_T),
    HANGUL_LVT: (HANGUL_T,),
    HANGUL_T: (HANGUL_T,),
}
PLAIN_TEXT = re.compile(r"[ -~\xa0-\xa8\xaa-\xad\xaf-\u02ff\u0370-\u0482\u2500-\u25a9]+")
"""Characters that are one cell wide and never join: nearly all that programs print."""


@cache
def _table() -> tuple[list[int], list[Join]]:
    starts: list[int] = []
    kinds: list[Join] = []
    at = 0
    for delta, kind in re.findall(r"([0-9a-f]+)([A-Lg-r])", RANGES):
        at += int(delta, 16)
        starts.append(at)
        wide = kind < "a"
        kinds.append((ord(kind) - ord("A" if wide else "g"), 2 if wide else 1))
    return starts, kinds


@lru_cache(maxsize=8192)
def kind(char: str) -> Join:
    """Class and width of one character."""
    starts, kinds = _table()
    return kinds[bisect_right(starts, ord(char)) - 1]


def follow(before: Join | None, char: str) -> tuple[Join, bool]:
    """Return the join state after `char`, and True if it joins the cluster before. `before` None: nothing to join."""
    code, width = kind(char)
    if before is None or not _joins(before[0], code):
        return (code, width), False
    if before[1] > width:
        width = before[1]
    elif code == REGIONAL:
        width = 2
    return (0 if code == REGIONAL else code, width), True


def _joins(before: int, after: int) -> bool:
    return (
        after in (EXTEND, ZWJ, SPACING)
        or before == PREPEND
        or (before == ZWJ and after == PICTOGRAPH)
        or (before == after == REGIONAL)
        or after in _HANGUL.get(before, ())
    )
