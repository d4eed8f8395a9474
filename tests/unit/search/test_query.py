"""What people type is a query, whatever it is; it finds the same words on SQLite, on PostgreSQL and in the snippet."""

import sqlite3
import sys
from typing import Any

import pytest

from townwatch.store.search.query import Phrase, Query, QueryError, excerpt, parse, to_fts5, to_tsquery, words_of

ODD = [
    'a "b',
    'AND OR NOT NEAR(a b) "',
    "a* ^b c:d {e} (f",
    "';DROP TABLE piece;-- x",
    "a' | !b & <-> c:*",
    'said : "x" + y',
    "rm -rf / && echo \\' x",
    "x" * 200,
    "日本語 naïve ЖЖ ٣",
]


def test_words_are_wanted_all_phrases_in_order_and_a_bang_is_a_not() -> None:
    found = parse('cart "no such file" disc* !flaky !"not this"')
    assert found.wanted == (Phrase(("cart",)), Phrase(("no", "such", "file")), Phrase(("disc",), prefix=True))
    assert found.unwanted == (Phrase(("flaky",), negated=True), Phrase(("not", "this"), negated=True))


def test_a_flag_is_no_negation_and_a_path_is_its_parts_in_order() -> None:
    assert parse("rm -rf src/shop/cart.py").wanted == (
        Phrase(("rm",)),
        Phrase(("rf",)),
        Phrase(("src", "shop", "cart", "py")),
    )


def test_case_accents_and_punctuation_do_not_count_and_writing_without_spaces_is_cut_by_character() -> None:
    assert words_of("Café—NAÏVE max_bytes e\u0301té 日本") == ["cafe", "naive", "max", "bytes", "ete", "日", "本"]


@pytest.mark.parametrize("text", ODD)
def test_nothing_is_a_syntax_error_for_sqlite(text: str) -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(said, tokenize='unicode61 remove_diacritics 0')")
        db.execute("INSERT INTO words VALUES (?)", (" ".join(words_of(text)),))
        query = parse(text)
        without = Query(query.wanted)  # a text that has what it must not have does not find itself
        assert db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (to_fts5(without),)).fetchone() == (1,)
        db.execute("SELECT * FROM words WHERE words MATCH ?", (to_fts5(query),)).fetchall()
    db.close()


@pytest.mark.parametrize(("text", "why"), [("", "no letter"), (" *!? ", "no letter"), ("!only", "must not be there")])
def test_a_query_that_names_nothing_says_so(text: str, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        parse(text)


def test_too_many_words_are_refused_with_the_limit() -> None:
    with pytest.raises(QueryError, match="more than 16"):
        parse(" ".join("abcdefghijklmnopq"))


def test_the_query_in_each_database_s_words() -> None:
    query = parse('a "b c" d* !e')
    assert to_fts5(query) == '("a" AND "b c" AND "d" *) NOT "e"'
    assert to_tsquery(query) == "('a') & ('b' <-> 'c') & ('d':*) & !('e')"


def test_a_snippet_is_around_the_first_match_and_marks_all_matches_in_it() -> None:
    text = f"{'before ' * 40}the 🎉 Déploy failed, deploying again{' after' * 60}"
    snippet, spans = excerpt(text, parse("deploy* failed"))
    assert [snippet[a:b] for a, b in spans] == ["Déploy", "failed", "deploying"]
    assert snippet.startswith("…") and snippet.endswith("…") and len(snippet) < 250


def test_a_text_that_matches_nowhere_is_shown_from_its_beginning() -> None:
    assert excerpt("plain text", parse("other")) == ("plain text", [])


@pytest.mark.parametrize(
    "asked", ["a* b* c* a b c ab* abc* abcd*", '"a b c a" "b c a b" "c a b c" "a b c*" q', "zz a*"]
)
def test_a_snippet_costs_a_look_at_each_word_however_many_terms_there_are(asked: str) -> None:
    text = "a b c " * 500 + "zz" + " a b c" * 100
    calls = 0

    def count(_frame: Any, what: str, _argument: Any) -> None:
        nonlocal calls
        calls += what in ("call", "c_call")

    sys.setprofile(count)
    try:
        snippet, spans = excerpt(text, parse(asked))
    finally:
        sys.setprofile(None)
    assert spans and len(snippet) < 250
    assert calls <= 10 * len(words_of(text))
