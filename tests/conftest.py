"""Settings of all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine: on a busy one, tests failed that found nothing.
settings.register_profile("townwatch", deadline=None)
settings.load_profile("townwatch")

LONGEST_FIRST = (
    "integration/rights", "simulation", "chaos", "property/mutants", "browser", "integration/cluster", "terminal",
    "integration", "conformance",
)  # fmt: skip
"""Folders by how long one file of theirs may take. One that began last would keep all other processes waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; xdist keeps that order with --no-loadscope-reorder."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = f"{item.path.relative_to(here).as_posix()}/" if item.path.is_relative_to(here) else ""
        return next((n for n, folder in enumerate(LONGEST_FIRST) if path.startswith(f"{folder}/")), len(LONGEST_FIRST))

    items.sort(key=place)
