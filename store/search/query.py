"""Words of a text, the query language, and which part of a text to show for a query. Pure, the same on every database.

The query language: words that must all be there; "words in this order"; ``prefix*``; ``!word`` that must not be there.
Everything else (operators, quotes, brackets of any database's own syntax) is text to look for or is passed over: no
query is a syntax error. A word of punctuation, such as ``src/shop/cart.py``, is looked for as its parts in this order.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import attrs

MAX_TERMS = 16
WORD_CHARS = 64
"""Characters of a word that count; what is longer (keys, encoded data) is found by its beginning."""
SNIPPET_CHARS = 200
_BEFORE_CHARS = 60
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}_])\w[\u0300-\u036f]*)+")
"""One word; in writing without spaces, one character."""
_PART = re.compile(r'(!?)(?:"([^"]*)"?|([^\s"]+))(\*?)')


class QueryError(ValueError):
    """The query names nothing to look for; the message is for the person who asked."""


@attrs.frozen
class Phrase:
    """Words that stand one behind another. `prefix`: the last one may go on. `negated`: they must not be there."""

    words: tuple[str, ...]
    prefix: bool = False
    negated: bool = False


@attrs.frozen
class Query:
    """Terms that must be there, all of them, and terms that must not."""

    wanted: tuple[Phrase, ...]
    unwanted: tuple[Phrase, ...] = ()


Span = tuple[int, int]
"""From and to before, in characters (code points)."""


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: without case, accents and punctuation."""
    return [word for word, _ in _words(text)]


def parse(text: str) -> Query:
    """Return what a person's query asks for. Raises `QueryError`."""
    wanted: list[Phrase] = []
    unwanted: list[Phrase] = []
    for found in _PART.finditer(text):
        mark, phrase, plain, star = found.groups()
        said = phrase if phrase is not None else plain.rstrip("*")
        prefix = bool(star) or (plain is not None and plain != said)
        words = tuple(words_of(said))
        if not words:
            continue
        negated = mark == "!"
        (unwanted if negated else wanted).append(Phrase(words, prefix, negated))
    if not wanted:
        what = "only says what must not be there" if unwanted else "has no letter or digit"
        raise QueryError(f"q: {what}; name a word to look for")
    if len(wanted) + len(unwanted) > MAX_TERMS:
        raise QueryError(f"q: has more than {MAX_TERMS} words and phrases; use fewer")
    return Query(tuple(wanted), tuple(unwanted))


def to_fts5(query: Query) -> str:
    """The query in SQLite's words. Every term is quoted, so nothing of it is an operator."""
    found = " AND ".join(_fts5(term) for term in query.wanted)
    for term in query.unwanted:
        found = f"({found}) NOT {_fts5(term)}"
    return found


def to_tsquery(query: Query) -> str:
    """The query in PostgreSQL's words, for a cast to tsquery."""
    terms = [_tsquery(term) for term in query.wanted] + [f"!{_tsquery(term)}" for term in query.unwanted]
    return " & ".join(terms)


def to_tsvector(words: Sequence[str]) -> str:
    """Words with their places in PostgreSQL's notation, for a cast to tsvector."""
    return " ".join(f"'{word}':{place}" for place, word in enumerate(words, 1))


def excerpt(text: str, query: Query) -> tuple[str, list[Span]]:
    """The part of a text around the first match, and the spans of all matches in it. Costs one look at each word."""
    spans = _matches(text, query)
    first = spans[0][0] if spans else 0
    start = max(0, first - _BEFORE_CHARS)
    if start:
        line = text.rfind("\n", start, first)
        space = text.find(" ", start, first)
        start = line + 1 if line >= 0 else space + 1 if space >= 0 else start
    end = min(len(text), start + SNIPPET_CHARS)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    shift = len(before) - start
    inside = [(a + shift, min(b, end) + shift) for a, b in spans if a >= start and a < end]
    return before + text[start:end] + after, inside


def _words(text: str) -> Iterator[tuple[str, Span]]:
    for found in _WORD.finditer(text):
        word = _folded(found[0])
        if word:
            yield word, found.span()


def _folded(word: str) -> str:
    if word.isascii():
        return word[:WORD_CHARS].lower()
    plain = unicodedata.normalize("NFKD", word).casefold()
    return "".join(char for char in plain if char.isalnum())[:WORD_CHARS]


def _fts5(term: Phrase) -> str:
    return f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'


def _tsquery(term: Phrase) -> str:
    last = len(term.words) - 1
    parts = [f"'{word}'{':*' if term.prefix and place == last else ''}" for place, word in enumerate(term.words)]
    return f"({' <-> '.join(parts)})"


def _matches(text: str, query: Query) -> list[Span]:
    """The spans of what is wanted, in order, each character in one at most; as far as a snippet around the first one
    goes.
    """
    terms = _TermsByLastWord(query.wanted)
    words: list[tuple[str, Span]] = []
    found: list[Span] = []
    end = len(text)
    for word, span in _words(text):
        if span[0] >= end:
            break
        words.append((word, span))
        for term in terms.ending_with(word):
            if _stands_before(words, term):
                if not found:
                    end = span[1] + SNIPPET_CHARS
                found.append((words[-len(term.words)][1][0], span[1]))
    return _merged(sorted(found))


class _TermsByLastWord:
    """Finds the terms that a word may be the end of, without trying each of them."""

    def __init__(self, terms: Sequence[Phrase]) -> None:
        self._whole: dict[str, list[Phrase]] = {}
        self._beginnings: list[Phrase] = []
        for term in dict.fromkeys(terms):
            if term.prefix:
                self._beginnings.append(term)
            else:
                self._whole.setdefault(term.words[-1], []).append(term)
        self._any = tuple(term.words[-1] for term in self._beginnings)

    def ending_with(self, word: str) -> Sequence[Phrase]:
        whole = self._whole.get(word, ())
        if not word.startswith(self._any):
            return whole
        return [*whole, *(term for term in self._beginnings if word.startswith(term.words[-1]))]


def _stands_before(words: Sequence[tuple[str, Span]], term: Phrase) -> bool:
    """Return whether the words before the last of `words` are those of a term that it ends."""
    count = len(term.words)
    if count == 1:
        return True
    return len(words) >= count and all(
        seen == word for (seen, _), word in zip(words[-count:-1], term.words[:-1], strict=True)
    )


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
