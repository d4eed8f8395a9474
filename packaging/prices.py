"""Make `runner/prices/prices.json` of the data of `genai-prices`: what models cost by their makers' lists.

    uv run --with genai-prices==0.2.3 python packaging/prices.py 2026-11-10 > runner/prices/prices.json

The argument is the day of that release. The package itself is no dependency of ours: it brings pydantic and a second
HTTP client for a table of some kilobytes. Prices for batches, priority and other variants are left out; where a price
depends on the time of day the highest is taken.
"""

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from genai_prices import types  # pyright: ignore  # only where this is run
from genai_prices.data import providers  # pyright: ignore

MAKERS = (
    "anthropic",
    "openai",
    "google",
    "x-ai",
    "deepseek",
    "mistral",
    "moonshotai",
    "minimax",
    "zai",
    "meta",
    "cohere",
)
"""Those whose models coding agents use, at their own doors; of two that have a name, the first."""


def main(day: str) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    known = {one.id: one for one in providers}
    models = [
        {"maker": maker, "match": match_of(model.match), **price}
        for maker in MAKERS
        for model in known[maker].models
        if (price := price_of(model, at)) is not None
    ]
    source = f"genai-prices {version('genai-prices')}"
    head = json.dumps({"source": source, "asOf": day})[:-1]
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in models)
    sys.stdout.write(f'{head}, "models": [\n{lines}\n]}}\n')


def match_of(clause: Any) -> list[Any]:
    """Return a clause as [kind, text] or [or | and, [clauses]]."""
    match clause:
        case types.ClauseOr():
            return ["or", [match_of(one) for one in clause.or_]]
        case types.ClauseAnd():
            return ["and", [match_of(one) for one in clause.and_]]
        case types.ClauseEquals():
            return ["equals", clause.equals.lower()]
        case types.ClauseStartsWith():
            return ["starts", clause.starts_with.lower()]
        case types.ClauseEndsWith():
            return ["ends", clause.ends_with.lower()]
        case types.ClauseContains():
            return ["contains", clause.contains.lower()]
        case types.ClauseRegex():
            return ["regex", clause.regex]
        case _:
            raise SystemExit(f"a clause of another kind: {clause}")


def price_of(model: Any, at: datetime) -> dict[str, Any] | None:
    """Return US dollars for a million tokens, read, written and from the cache; None where it has none for text."""
    found = [price for price in (_figures(one) for one in _standard(model, at)) if price is not None]
    return max(found, key=lambda price: (price["in"], price["out"])) if found else None


def _standard(model: Any, at: datetime) -> list[Any]:
    """Return the prices of this day: one, or all those of a day that has several."""
    if isinstance(model.prices, types.ModelPrice):
        return [model.prices]
    timed = [one.prices for one in model.prices if isinstance(one.constraint, types.TimeOfDateConstraint)]
    return [model.get_prices(at), *timed]


def _figures(price: Any) -> dict[str, Any] | None:
    read, written = getattr(price, "input_mtok", None), getattr(price, "output_mtok", None)
    if read is None or written is None:
        return None
    cached = getattr(price, "cache_read_mtok", None)
    figures: dict[str, Any] = {"in": _base(read), "out": _base(written)}
    if cached is not None:
        figures["cache"] = _base(cached)
    tiered = [one for one in (read, written, cached) if isinstance(one, types.TieredPrices)]
    starts = sorted({tier.start for one in tiered for tier in one.tiers})
    if starts:
        figures["over"] = [
            [start, *(None if one is None else _above(one, start) for one in (read, written, cached))]
            for start in starts
        ]
    return figures


def _base(price: Any) -> float:
    return float(price.base if isinstance(price, types.TieredPrices) else price)


def _above(price: Any, start: int) -> float:
    if not isinstance(price, types.TieredPrices):
        return float(price)
    return float(
        ([price.base] + [tier.price for tier in sorted(price.tiers, key=lambda one: one.start) if tier.start <= start])[
            -1
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1])
