"""Prices of models by their makers' lists, for where an agent names its tokens and no price of its own.

The table is made by `packaging/prices.py` and has a day: it is not right for ever, and what it says is shown with that
day. A model that it does not know has no price; nothing is guessed from a name that looks like another one.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

import attrs

TABLE = Path(__file__).with_name("prices.json")
MODEL_CHARS = 200
"""A longer name is no model's."""
_MILLION = 1_000_000
_MAKERS = {"codex": "openai", "gemini_cli": "google", "claude_code": "anthropic"}
"""Provider of ours → whose models it uses, where a name could be of several makers."""


@attrs.frozen
class ListPrice:
    """US dollars for a million tokens. `over`: (from so many tokens read in one request, the three figures then)."""

    read: float
    written: float
    cached: float | None = None
    over: tuple[tuple[int, float, float, float | None], ...] = ()

    def of(self, read: int, written: int, cached: int) -> float:
        """Return what these tokens cost. `cached`: how many of those read came from the model's cache."""
        for_read, for_written, for_cached = self.read, self.written, self.cached
        for start, *dearer in self.over:
            if read > start:
                for_read, for_written, for_cached = dearer
        cached = min(cached, read)
        from_cache = for_read if for_cached is None else for_cached
        return (
            (read - cached) * (for_read or 0) + cached * (from_cache or 0) + written * (for_written or 0)
        ) / _MILLION


@attrs.frozen
class PriceTable:
    """The table. `as_of`: the day of its figures, ``2026-11-10``."""

    source: str
    as_of: str
    models: tuple[tuple[str, list[Any], ListPrice], ...] = attrs.field(repr=False)

    def find(self, model: str, provider: str = "") -> ListPrice | None:
        """Return the price of a model by the name that an agent gives it, ``claude-sonnet-4-5`` or ``openai/gpt-5``;
        None where it is not known.
        """
        name = model.strip().lower()
        if not name or len(name) > MODEL_CHARS:
            return None
        makers = {maker for maker, _, _ in self.models}
        maker, slash, rest = name.partition("/")
        first = _MAKERS.get(provider)
        if slash and maker in makers:
            first, name = maker, rest
            makers = {maker}
        ordered = sorted((one for one in self.models if one[0] in makers), key=lambda one: one[0] != first)
        return next((price for _, clause, price in ordered if _matches(clause, name)), None)


def _matches(clause: list[Any], name: str) -> bool:
    kind, of = clause
    match kind:
        case "or":
            return any(_matches(one, name) for one in of)
        case "and":
            return all(_matches(one, name) for one in of)
        case "equals":
            return name == of
        case "starts":
            return name.startswith(of)
        case "ends":
            return name.endswith(of)
        case "contains":
            return of in name
        case _:
            return re.search(of, name) is not None


@cache
def table() -> PriceTable:
    """Return the table that came with this version. Reads a file of some kilobytes, once."""
    found = cast(dict[str, Any], json.loads(TABLE.read_text()))
    models = tuple(
        (
            one["maker"],
            one["match"],
            ListPrice(one["in"], one["out"], one.get("cache"), tuple(tuple(tier) for tier in one.get("over", ()))),
        )
        for one in found["models"]
    )
    return PriceTable(source=found["source"], as_of=found["asOf"], models=models)


def listed(
    model: str | None, read: int, written: int, cached: int = 0, provider: str = ""
) -> tuple[float | None, str | None]:
    """Return (US dollars, the day of the table), or None for both where the model has no price."""
    price = table().find(model, provider) if model else None
    return (None, None) if price is None else (price.of(read, written, cached), table().as_of)
