"""The doctor's look into a PostgreSQL that has the event log: who leads, what is there, what the server promises."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from townwatch.app.doctor.findings import Finding
from townwatch.store.engine import driver, postgres
from townwatch.store.pg_log.schema import has_tables

NAME = "journal"


def shared_log(url: str) -> Iterator[Finding]:
    """Yield findings; nothing is changed."""
    target = postgres.parse(url)
    place = postgres.place_of(target)
    try:
        connection = postgres.connect(target, "townwatch doctor")
    except (driver.Error, ValueError) as error:
        yield Finding(NAME, "fail", f"{place}: {str(error).splitlines()[0]}", "the service waits for it at its start")
        return
    with closing(connection):
        if not has_tables(connection):
            yield Finding(NAME, "ok", f"is not in {place} yet")
            return
        yield from _findings(connection, place)
        for line in postgres.weaknesses(connection):
            yield Finding("postgresql", "warn", line)


def _findings(connection: Any, place: str) -> Iterator[Finding]:
    (events,) = connection.execute("SELECT coalesce(sum(events), 0)::bigint FROM log_village").fetchone()
    (aside,) = connection.execute("SELECT count(*) FROM log_quarantine").fetchone()
    (missing,) = connection.execute("SELECT count(*) FROM log_loss").fetchone()
    if aside:
        yield Finding(NAME, "warn", f"{aside} unreadable rows are set aside", "see the table log_quarantine")
    if missing:
        yield Finding(NAME, "warn", f"acknowledged events are missing in {missing} ranges", "see the table log_loss")
    yield Finding(NAME, "ok", f"is in {place}, {events} events")
    row = connection.execute("SELECT name, epoch, expires > clock_timestamp() FROM lease WHERE id = 1").fetchone()
    name, epoch, leads = row or (None, 0, False)
    yield Finding("leader", "ok", f"{name} leads, epoch {epoch}" if leads else f"no process leads, epoch {epoch}")
