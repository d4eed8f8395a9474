"""Find secrets of known shapes in a text, in linear time whatever the text is.

Why it is linear. (1) The fixed beginnings of the shapes are found by `LiteralSearch`, which visits each character a
bounded number of times. (2) What follows a beginning is a run of one character class. `_Runs` remembers the last run of
each class: any other beginning inside that run ends at the same place, so it is not walked again. Five classes, a
token's second part and its tail: each character is walked at most once for each of them. (3) A private key's body is
walked line by line, once, and the walk of a later header starts where the last one ended. No expression here can
backtrack: each is one possessive run, or of bounded length. `SecretSearch.visited` counts the characters walked; a
test holds it against the length of the text for repetitions of every beginning.

Everything that is decided about a beginning depends on the text from there on and on `LOOK_BACK` characters before it,
so that a stream can be searched piece by piece (runner/session/redact.py) with the same result as the whole.
"""

import re
from collections.abc import Iterator

import attrs

from townwatch.contracts.secrets.literal_search import LiteralSearch

LOOK_BACK = 24
"""Characters before a beginning that say whether a word begins there."""
JWT_HEAD = 8192
"""Longest first part of a JWT. A longer run of its characters is no JWT, and a stream must not wait for its end."""
KEY_CHARS = 32 * 1024
"""Longest private key; a header with no end hides no more than this."""

_ALNUM = re.compile(r"[A-Za-z0-9]*+")
_WORD = re.compile(r"[A-Za-z0-9_]*+")
_WORD_DASH = re.compile(r"[A-Za-z0-9_-]*+")
_ALNUM_DASH = re.compile(r"[A-Za-z0-9-]*+")
_UPPER = re.compile(r"[A-Z0-9]*+")
_PART = re.compile(r"[A-Za-z0-9_-]*+(?#second part of a JWT)")
_TAIL = re.compile(r"[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]++)*+")
KEY_NAME_CHARS = 64
_KEY_NAME = re.compile(rf"[A-Z ]{{0,{KEY_NAME_CHARS}}}+")

RUNS: dict[str, tuple[re.Pattern[str], int]] = {
    **{f"gh{kind}_": (_ALNUM, 36) for kind in "pousr"},
    "github_pat_": (_WORD, 40),
    "glpat-": (_WORD_DASH, 20),
    "sk-": (_WORD_DASH, 20),
    **{f"xox{kind}-": (_ALNUM_DASH, 10) for kind in "abposr"},
    "AKIA": (_UPPER, 16),
    "ASIA": (_UPPER, 16),
    "AIza": (_WORD_DASH, 35),
    **{f"tw{kind}_": (_WORD_DASH, 20) for kind in ("", "r", "c", "e")},
}
"""A beginning, the characters that follow it, and how many of them at least."""
JWT, KEY = "eyJ", "-----BEGIN "
_KEY_TITLES, _DASHES = ("PRIVATE KEY", "PRIVATE KEY BLOCK"), "-----"
BEGINNINGS = (*RUNS, JWT, KEY)
LITERALS = LiteralSearch(BEGINNINGS, anchors="B_xJA-")
_PARTS_OF_BEGINNINGS = frozenset(word[:length] for word in BEGINNINGS for length in range(1, len(word)))
_FIRSTS = frozenset(word[0] for word in BEGINNINGS)
_LONGEST_PART = max(map(len, _PARTS_OF_BEGINNINGS))

_WORD_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_NO_WORD = re.compile(
    r"(?:\x1b\[[0-?]{0,16}[ -/]?[@-~]|\x1b[()][0-9A-Za-z]"
    r"|\\[abefnrtv0]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2})\Z"
)
"""What ends in a letter and is no word: a terminal's sequence, an escape of JSON, of a shell or of a URL."""

_KEY_END = re.compile(r"-----END [A-Z ]{0,64}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END_LENGTH = 112
_KEY_LINE = re.compile(
    r"[A-Za-z0-9+/=]{16}|\A[\s>|+#*\"',-]{0,32}[A-Za-z0-9+/=]{0,16}[\s\\\"',]{0,32}\Z|\A[A-Za-z-]{1,32}: "
)
_KEY_OTHER_LINES = 2
"""So many lines in a row that no key holds end a key that has no END."""


@attrs.define
class OpenKey:
    """A private key's body, fed piece by piece. A later piece goes on where the last one ended."""

    taken: int = 0
    over: bool = False
    _line: str = ""
    _others: int = 0

    def take(self, text: str, at: int) -> int:
        """Return the offset in `text`, from `at` on, where the key's part ends; sets `over` if the key ends there."""
        while at < len(text) and not self.over:
            room = KEY_CHARS - self.taken
            newline = text.find("\n", at, at + room)
            stop = newline + 1 if newline >= 0 else min(len(text), at + room)
            searched = len(self._line)
            self._line += text[at:stop]
            ended = _KEY_END.search(self._line, max(0, searched - _KEY_END_LENGTH))
            if ended is not None:
                stop = at + ended.end() - searched
                self.over = True
            elif newline >= 0:
                self._others = 0 if _KEY_LINE.search(self._line) else self._others + 1
                self.over = self._others >= _KEY_OTHER_LINES
                self._line = ""
            self.taken += stop - at
            self.over = self.over or self.taken >= KEY_CHARS
            at = stop
        return at


@attrs.define
class SecretSearch:
    """The result of one search. `spans` may overlap."""

    undecided: int
    """From here on it may still become a secret; the length of the text where nothing is open."""
    spans: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])
    open_runs: dict[re.Pattern[str], int] = attrs.field(factory=dict[re.Pattern[str], int])
    """Runs of a secret that may go on after the end of the text, and from where."""
    open_key: OpenKey | None = None
    key_until: int = 0
    """Before this, the header of another private key is a part of the last one."""
    visited: int = 0


class _Runs:
    """Ends of runs in one text; a run is walked once, wherever in it one asks."""

    def __init__(self, text: str, found: SecretSearch) -> None:
        self._text = text
        self._found = found
        self._last: dict[re.Pattern[str], tuple[int, int]] = {}

    def end(self, run: re.Pattern[str], at: int) -> int:
        begin, end = self._last.get(run, (0, -1))
        if not begin <= at <= end:
            match = run.match(self._text, at)
            end = at if match is None else match.end()
            self._last[run] = (at, end)
            self._found.visited += end - at + 1
        return end


def find_secrets(text: str, floor: int = 0, key_until: int = 0) -> SecretSearch:
    """Find all secrets that begin at `floor` or later, private keys at `key_until` or later."""
    found = SecretSearch(len(text), key_until=key_until)
    runs = _Runs(text, found)
    begins = sorted(place for place in LITERALS.places(text) if place[0] >= floor and begins_word(text, place[0]))
    for at, word in begins:
        if word == KEY:
            if at >= found.key_until:
                _key(text, at, found)
        elif word == JWT:
            _jwt(text, at, runs, found)
        else:
            run, least = RUNS[word]
            end = runs.end(run, at + len(word))
            if end - at - len(word) >= least:
                found.spans.append((at, end))
                if end == len(text):
                    found.open_runs[run] = end
            elif end == len(text):
                found.undecided = min(found.undecided, at)
    found.undecided = min(found.undecided, _part_of_beginning(text, floor))
    return found


def go_on(text: str, start: int, run: re.Pattern[str], found: SecretSearch) -> None:
    """Continue a run of a secret that reached the end of the piece before `start`."""
    match = run.match(text, start)
    end = start if match is None else match.end()
    found.visited += end - start + 1
    if end > start:
        found.spans.append((start, end))
    if end == len(text):
        found.open_runs[run] = end
    elif run is _TAIL and end == len(text) - 1 and text[end] == ".":
        found.open_runs[run] = end
        found.undecided = min(found.undecided, end)


def begins_word(text: str, at: int) -> bool:
    """Return True if a word begins at `at`: not `sk-` in `desk-`, but yes after a colour sequence or a JSON `\\n`."""
    if at == 0 or text[at - 1] not in _WORD_CHARS:
        return True
    return _NO_WORD.search(text[max(0, at - LOOK_BACK) : at]) is not None


def _jwt(text: str, at: int, runs: _Runs, found: SecretSearch) -> None:
    """Two parts of 10 characters are enough: one may be unsigned, or encrypted and have five."""
    start, length = at + len(JWT), len(text)
    first = runs.end(_WORD_DASH, start)
    if first - at > JWT_HEAD:
        return
    if first == length:
        found.undecided = min(found.undecided, at)
        return
    if first - start < 10 or text[first] != ".":
        return
    second = runs.end(_PART, first + 1)
    if second - first - 1 < 10:
        if second == length:
            found.undecided = min(found.undecided, at)
        return
    end = runs.end(_TAIL, second)
    found.spans.append((at, end))
    if end == length:
        found.open_runs[_TAIL] = end
    elif end == length - 1 and text[end] == ".":
        found.open_runs[_TAIL] = end
        found.undecided = min(found.undecided, end)


def _key(text: str, at: int, found: SecretSearch) -> None:
    """A private key, from its header on."""
    start, length = at + len(KEY), len(text)
    match = _KEY_NAME.match(text, start)
    end = start if match is None else match.end()
    found.visited += end - start + 1
    titled = text[start:end].endswith(_KEY_TITLES)
    if titled and text.startswith(_DASHES, end):
        key = OpenKey()
        body = end + len(_DASHES)
        until = key.take(text, body)
        found.visited += until - body
        found.spans.append((at, until))
        if not key.over:
            found.open_key = key
        found.key_until = until
        return
    rest = text[end : end + len(_DASHES)]
    may_go_on = titled or (not rest and end - start < KEY_NAME_CHARS)
    if end + len(rest) == length and _DASHES.startswith(rest) and may_go_on:
        found.undecided = min(found.undecided, at)


def _part_of_beginning(text: str, floor: int) -> int:
    """Return the offset of the longest prefix of a secret's beginning at the text's end, or the text's length."""
    length = len(text)
    for at in range(max(floor, length - _LONGEST_PART), length):
        if text[at] in _FIRSTS and text[at:] in _PARTS_OF_BEGINNINGS and begins_word(text, at):
            return at
    return length


def merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans in order; those that overlap or touch become one."""
    begin = end = -1
    for low, high in sorted(spans):
        if low > end:
            if end > begin:
                yield begin, end
            begin, end = low, high
        else:
            end = max(end, high)
    if end > begin:
        yield begin, end
