"""A database with people in it, and a clock that tests can set."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from access.jwt import OwnTokens
from store.database import Database

SECRET = bytes(range(32))


@attrs.define
class Clock:
    """Epoch milliseconds, moved by hand."""

    ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def now_s(self) -> float:
        return self.ms / 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "townwatch.db")
    yield opened
    opened.close()


@pytest.fixture
def own(clock: Clock) -> OwnTokens:
    return OwnTokens(SECRET, clock.now_s)
