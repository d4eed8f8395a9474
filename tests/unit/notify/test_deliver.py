"""What a receiver's answer means."""

import pytest

from townwatch.notify.deliver import LONGEST_RETRY_AFTER, outcome_of

NOW = 1_796_052_000.0  # Mon, 30 Nov 2026 15:20:00 GMT


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("Mon, 30 Nov 2026 15:22:00 GMT", 120),
        ("Mon, 30 Nov 2026 15:00:00 GMT", 0),
        ("9" * 5000, LONGEST_RETRY_AFTER),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_a_receiver_may_say_when_it_wants_to_be_asked_again(said: str | None, seconds: int | None) -> None:
    assert outcome_of(429, said, lambda: NOW).retry_after == seconds
