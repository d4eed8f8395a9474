"""PostgreSQL for services that share it."""

from tests.support.databases import postgres_server as postgres_server
