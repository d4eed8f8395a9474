"""Secrets are found in linear time, whatever the text is, and where they begin behind colours and escapes too."""

import random

import pytest

from townwatch.contracts.secrets.literal_search import LiteralSearch
from townwatch.contracts.secrets.scanner import BEGINNINGS, KEY_CHARS, LITERALS, find_secrets
from townwatch.contracts.secrets.shapes import MASK, masked_text

KEY_HEADER = "-----BEGIN RSA PRIVATE KEY-----"
PARTS = [
    *BEGINNINGS,
    KEY_HEADER,
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n~\n~\n",
    "-----END RSA PRIVATE KEY",
    "-----B",
    "-----BEGIN A",
    "eyJaaaaaaaaaa",
    "eyJaaaaaaaaaa.",
    "eyJaaaaaaaaaa.bbbbbbbbbb",
    "eyJaaaaaaaaaa.bbbbbbbbbb.",
    "eyJaaaaaaaaaa.eyJbbbbbbbbbb.c",
    "ghp_" + "a" * 35,
    "ghp_" + "a" * 36 + "_",
    "sk-ant-",
    "AIza" + "a" * 34,
    "github_pat",
]
SEPARATORS = ["", "-", ".", " ", "\n", "\x1b[31m", "\\n", "_"]


def work(text: str) -> int:
    """How many characters a search of the text visits and compares."""
    before = LITERALS.compared
    return find_secrets(text).visited + LITERALS.compared - before


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_the_work_grows_with_the_length_and_not_with_its_square(part: str, separator: str) -> None:
    unit = separator + part
    for length in (2_000, 32_000):
        text = unit * (length // len(unit))
        assert work(text) <= 16 * len(text) + 1000


@pytest.mark.parametrize("seed", range(20))
def test_nor_does_it_for_any_mixture(seed: int) -> None:
    choose = random.Random(seed).choice
    text = "".join(choose(PARTS) + choose(SEPARATORS) for _ in range(2000))
    assert work(text) <= 16 * len(text)


@pytest.mark.parametrize(
    ("before", "masked"),
    [
        ("", True), (" ", True), ("=", True), ("\x1b[31m", True), ("\x1b[1;38;5;9m", True), ("\x1b(B", True),
        ("\\n", True), ("\\u003d", True), ("%3D", True), ("x", False), ("de", False), ("_", False),
    ],
)  # fmt: skip
def test_a_token_begins_where_a_word_does(before: str, masked: bool) -> None:
    token = "sk-" + "a1" * 12
    assert masked_text(before + token) == before + (MASK if masked else token)


@pytest.mark.parametrize("title", ["", "RSA ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\\n", "\n+", "\n\x1b[32m"])
def test_a_private_key_is_masked_whole(title: str, newline: str) -> None:
    lines = [f"-----BEGIN {title}PRIVATE KEY-----", *(["aB3+/" * 12] * 20), "aB3=", f"-----END {title}PRIVATE KEY-----"]
    assert masked_text(f"<{newline.join(lines)}>") == f"<{MASK}>"


def test_a_header_alone_hides_no_more_than_a_key_would() -> None:
    prose = "this is a sentence, and $HOME is none of a key's lines.\n"
    assert masked_text(f"{KEY_HEADER} begins it\n" + prose * 9) == MASK + prose * 8
    assert len(masked_text(KEY_HEADER + "a" * (KEY_CHARS + 100))) == len(MASK) + 100


@pytest.mark.parametrize("seed", range(30))
def test_many_words_are_found_at_all_their_places(seed: int) -> None:
    rnd = random.Random(seed)
    words = {"".join(rnd.choices("abQ_-é", k=rnd.randint(1, 7))) for _ in range(8)}
    text = "".join(rnd.choices("abQ_-é", k=400))
    found = {(at, word) for word in words for at in range(len(text)) if text.startswith(word, at)}
    search = LiteralSearch(words, rnd.choice(["", "_-"]))
    assert set(search.places(text)) == found
    assert search.is_in(text) or not found
