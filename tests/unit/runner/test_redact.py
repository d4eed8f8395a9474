"""What a stream holds back: only the beginning of a secret, and not the echo of keys."""

import attrs
import pytest

from townwatch.contracts.events import DiffFile
from townwatch.contracts.secrets.scanner import BEGINNINGS
from townwatch.runner.session.redact import FEW, HOLD_SECONDS, MASK, SHORT_HOLD_SECONDS, SURE, Redactor

SECRET = "sk-ant-hunter2hunter2hunter2"


def test_a_key_that_begins_a_secret_passes_at_once() -> None:
    redactor = Redactor([SECRET])
    for key in SECRET[: SURE - 1]:
        assert redactor.feed(key, echo=True) == key
        assert not redactor.holds


def test_a_secret_that_is_typed_shows_its_first_characters_only() -> None:
    redactor = Redactor([SECRET])
    shown = "".join(redactor.feed(key, echo=True) for key in f"{SECRET} ") + redactor.flush()
    assert shown == f"{SECRET[: SURE - 1]}{MASK} "


def test_a_long_piece_is_no_echo() -> None:
    redactor = Redactor([SECRET])
    assert redactor.feed("a line of output, and then s", echo=True) == "a line of output, and then "


@pytest.mark.parametrize(
    ("text", "seconds"), [("prompt s", SHORT_HOLD_SECONDS), (SECRET[:FEW], HOLD_SECONDS), (SECRET[:-1], HOLD_SECONDS)]
)
def test_a_few_characters_are_held_for_a_moment_and_more_for_longer(text: str, seconds: float) -> None:
    redactor = Redactor([SECRET])
    redactor.feed(text)
    assert redactor.holds
    assert redactor.hold_seconds == seconds


def test_what_is_before_a_beginning_is_not_held() -> None:
    assert Redactor([SECRET]).feed("a prompt that ends in sk-an") == "a prompt that ends in "


@pytest.mark.parametrize("given", range(1, len(SECRET)))
def test_the_rest_of_a_secret_is_masked_when_its_beginning_was_given_out(given: int) -> None:
    redactor = Redactor([SECRET])
    shown = redactor.feed(f"it is {SECRET[:given]}") + redactor.flush()
    assert shown == f"it is {SECRET[:given]}" or MASK in shown
    shown += redactor.feed(f"{SECRET[given:]}.") + redactor.flush()
    assert shown == f"it is {SECRET[:given]}{MASK}." or shown == f"it is {MASK}."


def test_a_token_without_end_is_masked_as_it_comes_and_holds_nothing() -> None:
    redactor = Redactor()
    assert redactor.feed("ghp_" + "a" * 36) == MASK
    for _ in range(100):
        assert redactor.feed("a" * 1000) == ""
        assert not redactor.holds
    assert redactor.feed(" on") == " on"


def test_a_private_key_is_hidden_through_pauses() -> None:
    redactor = Redactor()
    shown = redactor.feed("key: -----BEGIN PRIVATE KEY-----\r\n") + redactor.flush()
    for _ in range(5):
        shown += redactor.feed("MIIEaB3+/" * 7 + "\r\n") + redactor.flush()
    shown += redactor.feed("-----END PRIVATE ") + redactor.flush() + redactor.feed("KEY-----\r\n$ ") + redactor.flush()
    assert shown == f"key: {MASK}\r\n$ "


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_work_and_what_is_held_are_bounded_for_each_piece(beginning: str, size: int) -> None:
    text = (f"-{beginning}" * 1500)[: 300 * size]
    redactor = Redactor()
    held = 0
    for at in range(0, len(text), size):
        before = redactor.visited
        redactor.feed(text[at : at + size])
        held = max(held, len(redactor.flush()) if size == 1000 else 0)
        assert redactor.visited - before <= 16 * (size + 20_000)
    assert held <= 9000


def test_data_is_masked_in_the_contracts_classes_too() -> None:
    file = DiffFile(path=f"{SECRET}.txt", status="modified", additions=1, deletions=2)
    assert Redactor([SECRET]).clean_data([file]) == [attrs.evolve(file, path=f"{MASK}.txt")]


def test_data_that_is_too_deep_to_be_searched_is_masked_whole() -> None:
    deep: list[object] = [SECRET]
    for _ in range(5000):
        deep = [deep]
    assert Redactor([SECRET]).clean_data(deep) == MASK
