"""Fixtures that run a test on SQLite and on PostgreSQL. Import `postgres_server`, `database_url` and `database`."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from townwatch.store.database import Database

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.running_server() as socket_directory:
        yield socket_directory


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "townwatch.db")
    return postgres.fresh_schema(request.getfixturevalue("postgres_server"), f"t{next(_numbers)}")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()
