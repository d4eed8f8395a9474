"""Secrets do not leave the machine: masked in events before they reach the spool.

Two kinds are known: the values of environment variables that are secret (secret_values.py), in all the forms in which a
program may print them, and the shapes of well-known tokens (contracts/secrets/scanner.py).

**What is held back.** Terminal output comes in pieces, and a piece may end in the middle of a secret. Held is only what
is the beginning of one so far; everything before it passes. It goes on with the next piece, or after `hold_seconds`
without one: 20 ms for fewer than `FEW` characters, 300 ms for more. What was given out that way is remembered, and when
the secret goes on nevertheless, the rest of it is masked.

**What that costs.** The echo of keys passes at once until it is `SURE` characters of a secret: a person who types a
secret by hand shows its first 7 characters, and one whose keys begin a secret waits for nothing. A program that prints
a secret in pieces with pauses longer than the above shows the pieces before the pause. A secret with other text between
its characters (colours, line breaks of a full-screen program) is not found.

**What one piece costs.** Its own length and at most `_KEEP` + the longest secret's, whatever was said before.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import attrs

from townwatch.contracts.secrets.literal_search import LiteralSearch
from townwatch.contracts.secrets.scanner import (
    LITERALS,
    LOOK_BACK,
    OpenKey,
    SecretSearch,
    find_secrets,
    go_on,
    merged,
)
from townwatch.contracts.secrets.shapes import MASK, cut_out
from townwatch.runner.session.secret_values import MIN_SECRET, forms_of, secrets_of

__all__ = ["MASK", "MIN_SECRET", "Redactor", "secrets_of"]

SURE = 8
"""So many characters of a secret are hardly anything else, even where a person types them."""
FEW = 4
"""Fewer characters of a secret than this are most often the beginning of another word."""
SHORT_HOLD_SECONDS = 0.02
HOLD_SECONDS = 0.3
ECHO_CHARS = 16
"""A longer piece is not the echo of a key."""
_KEEP = 256
"""Characters that were given out, and may be the beginning of a secret that was not waited for."""
_HEAD = 64
"""Beginnings up to this length are looked up; longer ones are compared."""


class Redactor:
    """Masks in one stream of text. `feed` may hold back the beginning of what may be a secret; `flush` gives it out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= MIN_SECRET for form in forms_of(secret)}
        self._values = LiteralSearch(forms)
        self._heads = frozenset(form[:length] for form in forms for length in range(1, min(len(form), _HEAD + 1)))
        self._firsts = frozenset(form[0] for form in forms)
        self._long = sorted(form for form in forms if len(form) > _HEAD + 1)
        self._seen = ""
        self._held = ""
        self._trimmed = False
        self._masking = False
        """Whether the last character given out was masked: one secret is one mask, in however many pieces it came."""
        self._sure: list[tuple[int, int]] = []
        """What is known to be secret in what is held, counted from its beginning."""
        self._runs: dict[re.Pattern[str], int] = {}
        """Runs of a secret that go on, and how many characters before the end of what is held they were walked to."""
        self._key: OpenKey | None = None
        self._key_until = 0
        """In characters from the beginning of `_seen`."""
        self._progress = 0
        self.visited = 0
        """Characters that were walked so far (see contracts/secrets/scanner.py)."""

    # --- whole texts ------------------------------------------------------------------------------

    def clean(self, text: str) -> str:
        """A whole text, masked."""
        spans = self._values_in(text)
        if LITERALS.is_in(text):
            spans += find_secrets(text).spans
        return cut_out(text, spans)

    def clean_lines(self, lines: Sequence[str]) -> list[str]:
        """The lines of one text, each masked where a secret, which may go on over many of them, is in it."""
        text = "\n".join(lines)
        spans = list(merged(self._values_in(text) + (find_secrets(text).spans if LITERALS.is_in(text) else [])))
        if not spans:
            return list(lines)
        shown: list[str] = []
        begin, at = 0, 0
        for line in lines:
            end = begin + len(line)
            within: list[tuple[int, int]] = []
            while at < len(spans) and spans[at][0] < end:
                low, high = max(spans[at][0], begin) - begin, min(spans[at][1], end) - begin
                if low < high:
                    within.append((low, high))
                if spans[at][1] > end:  # it goes on in the next line
                    break
                at += 1
            shown.append(cut_out(line, within))
            begin = end + 1
        return shown

    def clean_data(self, value: Any) -> Any:
        """JSON data, masked in every text it holds; what is too deep to be searched is masked whole."""
        try:
            return self._clean_data(value)
        except RecursionError:
            return MASK

    def _clean_data(self, value: Any) -> Any:
        match value:
            case str():
                return self.clean(value)
            case dict():
                return {self._clean_data(n): self._clean_data(v) for n, v in cast(dict[str, Any], value).items()}
            case list():
                return [self._clean_data(inner) for inner in cast(list[Any], value)]
            case tuple():
                return [self._clean_data(inner) for inner in cast(tuple[Any, ...], value)]
            case _ if attrs.has(type(value)):  # pyright: ignore[reportUnknownArgumentType]
                return self._clean_fields(value)
            case _:
                return value

    def _clean_fields(self, value: Any) -> Any:
        names = [field.name for field in attrs.fields(type(value))]  # pyright: ignore[reportUnknownArgumentType]
        return attrs.evolve(value, **{name: self._clean_data(getattr(value, name)) for name in names})

    # --- a stream ---------------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        return bool(self._held)

    @property
    def hold_seconds(self) -> float:
        """Return how long (s) to wait for another piece before `flush`."""
        return HOLD_SECONDS if self._progress >= FEW else SHORT_HOLD_SECONDS

    def feed(self, text: str, *, echo: bool = False) -> str:
        """The next piece of a stream, masked as far as it can be decided. `echo`: it answers a key that was typed."""
        if not text:
            return ""
        start = len(self._seen)
        whole = self._seen + self._held + text
        found = self._find(whole, start, len(whole) - len(text))
        undecided = min(found.undecided, self._unfinished_value(whole))
        self._progress = len(whole) - undecided
        cut = max(start, undecided)
        if echo and len(text) <= ECHO_CHARS and self._progress < SURE:
            cut = len(whole)
        self.visited += found.visited
        self._runs = {run: len(whole) - at for run, at in found.open_runs.items()}
        return self._give(whole, start, cut, found.spans)

    def flush(self) -> str:
        """Return what was held back."""
        start = len(self._seen)
        whole = self._seen + self._held
        return self._give(whole, start, len(whole), [(start + begin, start + end) for begin, end in self._sure])

    def _find(self, whole: str, start: int, fresh: int) -> SecretSearch:
        """Search `whole`: `start` is where what was not given out begins, `fresh` where the new piece does."""
        key, until = self._key, self._key_until
        if key is not None:
            until = key.take(whole, fresh)
        found = find_secrets(whole, LOOK_BACK if self._trimmed else 0, until)
        if key is not None:
            found.spans.append((start, until))
        self._key = found.open_key if key is None or key.over else key
        self._key_until = found.key_until
        for run, behind in self._runs.items():
            go_on(whole, fresh - behind, run, found)
        found.spans += [(start + begin, start + end) for begin, end in self._sure]
        found.spans += self._values_in(whole)
        return found

    def _give(self, whole: str, start: int, cut: int, spans: list[tuple[int, int]]) -> str:
        """Give out `whole` from `start` to `cut`, masked, and remember what the next piece needs."""
        given: list[str] = []
        at = start
        self._sure = []
        for begin, end in merged(spans):
            if end > cut:
                self._sure.append((max(begin, cut) - cut, end - cut))
            begin, end = max(begin, at), min(end, cut)
            if begin >= end:
                continue
            if begin > at:
                given.append(whole[at:begin])
                self._masking = False
            if not self._masking:
                given.append(MASK)
                self._masking = True
            at = end
        if at < cut:
            given.append(whole[at:cut])
            self._masking = False
        self._held = whole[cut:]
        gone = max(0, cut - _KEEP)
        self._trimmed = self._trimmed or gone > 0
        self._seen = whole[gone:cut]
        self._key_until = max(0, self._key_until - gone)
        return "".join(given)

    def _values_in(self, text: str) -> list[tuple[int, int]]:
        return [(at, at + len(form)) for at, form in self._values.places(text)]

    def _unfinished_value(self, text: str) -> int:
        """Find where the longest beginning of a value starts that the text ends with."""
        length = len(text)
        if long := [at for form in self._long if (at := _unfinished(form, text)) < length]:
            return min(long)
        for at in range(max(0, length - _HEAD), length):
            if text[at] in self._firsts and text[at:] in self._heads:
                return at
        return length


def _unfinished(form: str, text: str) -> int:
    """Find where the longest beginning of a long form starts that ends the text, of more than `_HEAD` characters."""
    at = text.find(form[:_HEAD], max(0, len(text) - len(form) + 1))
    while at >= 0:
        if form.startswith(text[at:]):
            return at
        at = text.find(form[:_HEAD], at + 1)
    return len(text)
