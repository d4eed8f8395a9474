"""Our supervisor does what OTP's did, in every recorded scenario, word for word."""

import collections

import pytest

from tests.conformance.otp.record import CORPUS, recorded
from tests.conformance.otp.replay import Worker, run


@pytest.mark.parametrize(("hibernate", "step"), [(False, 1), (True, 4)], ids=["all", "asleep between: a quarter"])
def test_every_recorded_trace_of_otps_supervisor_is_ours_too(
    monkeypatch: pytest.MonkeyPatch, hibernate: bool, step: int
) -> None:
    monkeypatch.setattr(Worker, "hibernate", hibernate)
    different = []
    for number, (one, otp) in enumerate(recorded()):
        if number % step:
            continue
        ours = run(one)
        if ours != otp:
            different.append(f"scenario {number}: {one}\n  otp  {otp}\n  ours {ours}")
    assert not different, f"{len(different)} differ\n" + "\n".join(different[:3])


def test_the_corpus_is_big_and_has_seen_everything() -> None:
    words: collections.Counter[str] = collections.Counter()
    scenarios = 0
    for one, trace in recorded():
        scenarios += 1
        words.update(trace.split())
        words.update((one["strategy"], one["auto"]))
    assert scenarios >= 2000
    assert CORPUS.stat().st_size < 1_000_000
    answers = (
        "=ok",
        "=fail",
        "=running",
        "=not_found",
        "=already_started",
        "=already_present",
        "nostart",
        "dead",
        "end",
    )
    strategies = ("one_for_one", "one_for_all", "rest_for_one", "never", "any_significant", "all_significant")
    for word in (*answers, *strategies, "nostart", "dead", "end", "+a", "-a", "!a", "~a", "a^", "a_"):
        assert words[word] >= 20, word
