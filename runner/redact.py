"""Secrets do not leave the machine: masked in events before they reach the spool.

Two kinds are known: the exact values of environment variables whose names say that they are secret, and the shapes of
well-known tokens. Terminal output comes in pieces, so what might be the beginning of a secret is held back until the
next piece, or for a moment of silence (the session's pump flushes then).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from contracts.secret_shapes import MASK, PREFIXES, SHAPES

MIN_SECRET = 8
"""Shorter values are no secrets worth masking: "true" would vanish from every log."""
_NAME = re.compile(r"(?i)(secret|token|passw|api_?key|private_?key|credential|auth)")
_BEGINNING = re.compile(rf"(?:\b(?:{PREFIXES})[\w.-]{{0,4096}}|-----B[^\x00]{{0,16384}})\Z")
_CONTEXT = 16
"""Characters that were given out already and may begin a token: its prefix (ghp_ and the like) is public."""
_NO_SECRET = re.compile(r"(?i)(_SOCK|_FILE|_PATH|_DIR|_HOME)$")
KEEP_NAMES = frozenset({"TOWNWATCH_ASK", "TOWNWATCH_SESSION"})


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The values of variables that look secret, longest first."""
    found = {
        value
        for name, value in environment.items()
        if _NAME.search(name) and len(value) >= MIN_SECRET and name not in KEEP_NAMES and not _NO_SECRET.search(name)
    }
    return sorted(found, key=len, reverse=True)


class Redactor:
    """Masks in one stream of text. `feed` may hold back the beginning of what may be a secret; `flush` gives it out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if len(secret) >= MIN_SECRET}
        known |= {secret.replace("\n", "\r\n") for secret in known}  # as a terminal shows it
        self._secrets = sorted(known, key=len, reverse=True)
        self._before = ""
        self._exact = re.compile("|".join(map(re.escape, self._secrets))) if self._secrets else None
        self._held = ""

    def clean(self, text: str) -> str:
        """A whole text, masked."""
        if self._exact is not None:
            text = self._exact.sub(MASK, text)
        return SHAPES.sub(MASK, text)

    def clean_data(self, value: Any) -> Any:
        """JSON data, masked in every text it holds."""
        match value:
            case str():
                return self.clean(value)
            case dict():
                return {self.clean_data(n): self.clean_data(v) for n, v in cast(dict[str, Any], value).items()}
            case list():
                return [self.clean_data(inner) for inner in cast(list[Any], value)]
            case _:
                return value

    def feed(self, text: str) -> str:
        """The next piece of a stream, masked as far as it can be decided."""
        text = self._held + text
        cut = self._undecided(text)
        self._held = text[cut:]
        return self._give(text[:cut])

    def flush(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return self._give(held)

    def _give(self, text: str) -> str:
        """Masked as the continuation of what was given before."""
        start = len(self._before)
        whole = self._before + text
        self._before = whole[-_CONTEXT:]
        given: list[str] = []
        at = start
        for begin, end in self._spans(whole):
            if end > at:
                given += [whole[at : max(at, begin)], MASK]
                at = end
        return "".join([*given, whole[at:]])

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets are."""
        patterns = [SHAPES] if self._exact is None else [self._exact, SHAPES]
        return sorted(match.span() for pattern in patterns for match in pattern.finditer(text))

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def _undecided(self, text: str) -> int:
        """Where the part begins that may still become a secret."""
        cut = len(text)
        if (match := _BEGINNING.search(text)) is not None:
            cut = match.start()
        for secret in self._secrets:
            for length in range(min(len(secret) - 1, len(text)), 0, -1):
                if text.endswith(secret[:length]):
                    cut = min(cut, len(text) - length)
                    break
        for begin, end in reversed(self._spans(text)):  # a secret whose end may be the beginning of the next
            if begin < cut < end:
                cut = begin
        return cut
