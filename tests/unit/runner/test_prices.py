"""The table of prices: what it knows, what it does not, and what that makes of a session's figures."""

import pytest

from townwatch.runner import prices
from townwatch.runner.observers.usage import UsageMeter


@pytest.mark.parametrize(
    ("model", "provider", "usd"),
    [
        ("claude-sonnet-4-5", "claude_code", 6.0),  # one request of a million: the dearer tier
        ("gpt-5-codex", "codex", 1.25),
        ("openai/gpt-5-codex", "opencode", 1.25),
        ("GPT-5-Codex", "", 1.25),
    ],
)
def test_a_known_model_has_its_list_price(model: str, provider: str, usd: float) -> None:
    cost, as_of = prices.listed(model, 1_000_000, 0, provider=provider)
    assert cost == pytest.approx(usd)
    assert as_of == prices.table().as_of


@pytest.mark.parametrize("model", [None, "", "gpt-5-codex-of-tomorrow", "x" * 300, "nobody/gpt-5-codex"])
def test_an_unknown_model_has_no_price(model: str | None) -> None:
    assert prices.listed(model, 1000, 1000) == (None, None)


def test_what_comes_from_the_cache_is_cheaper() -> None:
    price = prices.table().find("gpt-5-codex", "codex")
    assert price is not None
    assert price.of(1_000_000, 0, 1_000_000) == pytest.approx(0.125)
    assert price.of(100, 0, 1_000_000) == pytest.approx(100 * 0.125 / 1_000_000)  # never more than was read


def test_a_tick_says_whose_price_it_is_and_what_has_none() -> None:
    meter = UsageMeter()
    meter.tokens(10, 1, 0.5)
    meter.tokens(10, 1, 0.25, "2026-11-10")
    meter.tokens(7, 0, None)
    units, _ms = meter.take()
    assert (units.cost_usd, units.listed_usd, units.unpriced_tokens) == (0.75, 0.25, 7)
    assert (units.source, units.prices_as_of) == ("price_table", "2026-11-10")
    meter.tokens(1, 0, None)
    units, _ms = meter.take()
    assert (units.cost_usd, units.source, units.unpriced_tokens) == (None, "none", 1)
    assert meter.total.unpriced_tokens == 8


def test_time_in_which_it_is_paused_does_not_count() -> None:
    meter = UsageMeter()
    meter.pause()
    meter.pause()
    held = meter.seconds
    assert meter.seconds == held
    meter.resume()
    assert meter.seconds >= held
