"""A database with people in it, and a clock that tests can set."""

import attrs
import pytest

from tests.support.databases import (
    database as database,
    database_url as database_url,
    postgres_server as postgres_server,
)
from townwatch.access.jwt import OwnTokens

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
def own(clock: Clock) -> OwnTokens:
    return OwnTokens(SECRET, clock.now_s)
