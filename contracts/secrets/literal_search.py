"""Search for many fixed strings at once, in linear time and at the speed of `memchr`.

Why not one alternation of all of them: `re` then tries every string at every character (measured 5 to 50 MB/s). Here
the strings are grouped by one character each, the rarest that it holds; `re` finds a pattern's single leading character
with `memchr`, and looks around itself only there.
"""

import re
from collections.abc import Iterable, Iterator

_RARE = "QZXJVKYzWqjUHGFBxONRMLDPCTSIAvkE98765432%+/=wgybf10_-phcdumlrniosate"
"""Characters from rare to frequent in what terminals show; any other is rarer still."""
_RANK = {char: number for number, char in enumerate(_RARE, 1)}
_AROUND = 4
"""How many characters around the rare one are compared by the expression itself."""


class LiteralSearch:
    """Finds all places of all `words`, overlapping ones too.

    Linear: each of the groups (at most one a word) looks at each character once, and where its rare character and the
    neighbours fit, compares each of its words once. Nothing is tried again from another place, so a text costs at most
    its length times the length of all words, and in practice little more than one `memchr` a group. `compared` counts.
    """

    def __init__(self, words: Iterable[str], anchors: str = "") -> None:
        """`anchors`: characters to prefer for the groups, the first one first."""
        groups: dict[str, list[tuple[int, str]]] = {}
        for word in dict.fromkeys(words):
            char = next((char for char in anchors if char in word), None) or min(word, key=_rank)
            groups.setdefault(char, []).append((word.index(char), word))
        self._groups = [(_expression(char, group), _table(group)) for char, group in groups.items()]
        self.compared = 0

    def __bool__(self) -> bool:
        return bool(self._groups)

    def is_in(self, text: str) -> bool:
        """Return False if none of the words is in `text`; True means that one may be."""
        return any(expression.search(text) is not None for expression, _ in self._groups)

    def places(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield (offset, word) for each word that is found, in no particular order."""
        for expression, table in self._groups:
            for match in expression.finditer(text):
                at = match.start()
                pair = text[max(0, at - 1) : at + 1]
                for key in {pair, pair[-1]}:
                    for offset, word in table.get(key, ()):
                        self.compared += len(word)
                        if at >= offset and text.startswith(word, at - offset):
                            yield at - offset, word


def _table(group: list[tuple[int, str]]) -> dict[str, list[tuple[int, str]]]:
    """The words of a group by their rare character and the one before it, where there is one."""
    table: dict[str, list[tuple[int, str]]] = {}
    for offset, word in group:
        table.setdefault(word[max(0, offset - 1) : offset + 1], []).append((offset, word))
    return table


def _rank(char: str) -> int:
    return _RANK.get(char, 0)


def _expression(char: str, group: list[tuple[int, str]]) -> re.Pattern[str]:
    """`char` where its neighbours are those of a word. All parts have a fixed width: nothing in it backtracks."""
    alternatives = {
        f"(?<={re.escape(word[max(0, at + 1 - _AROUND) : at + 1])})(?={re.escape(word[at + 1 : at + 1 + _AROUND])})"
        for at, word in group
    }
    before = "" if any(at == 0 for at, _ in group) else _class(word[at - 1] for at, word in group)
    guard = f"(?<={before}{re.escape(char)})" if before else ""
    return re.compile(re.escape(char) + guard + "(?:" + "|".join(sorted(alternatives)) + ")")


def _class(chars: Iterable[str]) -> str:
    return "[" + "".join(re.escape(char) for char in sorted(set(chars))) + "]"
