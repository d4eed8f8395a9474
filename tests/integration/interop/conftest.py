"""A Redis server, and PostgreSQL for services that share it."""

from collections.abc import Iterator

import pytest

from tests.support.databases import postgres_server as postgres_server
from tests.support.redis import RedisServer, binary, running_redis


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    if binary() is None:
        pytest.skip("there is no redis-server (Debian: apt-get install redis-server)")
    with running_redis() as server:
        yield server
