"""The doctor's look into the databases: can they be read, are they whole, what was set aside, what is missing."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from townwatch.app.doctor.findings import Finding
from townwatch.config.settings import Settings
from townwatch.contracts.faults import FilesDamaged, TablesRefused, TablesUnavailable
from townwatch.store.database import Database
from townwatch.store.engine import quarantine as tables_quarantine
from townwatch.store.log import quarantine as log_quarantine
from townwatch.store.log.guard import BY_HEADS, known_losses
from townwatch.store.log.head_rows import load_heads
from townwatch.store.log.heads import HeadsFile, losses
from townwatch.store.log.schema import VERSION, WAL_LIMIT_BYTES
from townwatch.store.migrations import LATEST

REPAIR = "stop the service and run `townwatch doctor --repair`"
SHOWN = 20


def lenient_text(value: bytes) -> str:
    """Stored text, also where it is not UTF-8."""
    return value.decode("utf-8", "surrogateescape")


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """A connection that changes nothing."""
    quoted = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, isolation_level=None, timeout=5)
    connection.text_factory = lenient_text
    try:
        yield connection
    finally:
        connection.close()


def damage_of(path: Path) -> str | None:
    """Return the first finding of SQLite's own check of the whole file, or None for a sound file."""
    try:
        with reading(path) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == ["ok"] else found[0].splitlines()[0][:200]


def journal(path: Path) -> Iterator[Finding]:
    """Check journal.db, its WAL, and what lies beside it."""
    name = "journal"
    known = HeadsFile(path).read()
    if not path.exists():
        if known is not None and known.heads:
            text_ = f"{path} is gone, with {len(known.heads)} sessions"
            yield Finding(name, "fail", text_, "put the file back; a start without it begins an empty log")
        else:
            yield Finding(name, "ok", "is not there yet")
        return
    damage = damage_of(path)
    if damage is not None:
        yield Finding(name, "fail", f"{path.name} is damaged: {damage}", REPAIR)
        return
    with reading(path) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            yield Finding(name, "fail", f"has version {version}, this townwatch knows {VERSION}", "upgrade townwatch")
            return
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if "event" not in tables:
            yield Finding(name, "ok", "is empty")
            return
        bad = log_quarantine.bad_events(connection) + log_quarantine.bad_small_rows(connection)
        if bad:
            yield Finding(name, "fail", f"{len(bad)} rows cannot be read (first: {bad[0][1]})", REPAIR)
        aside = log_quarantine.quarantined(connection) if "quarantine" in tables else 0
        if aside:
            yield Finding(
                name, "warn", f"{aside} unreadable rows are set aside", "see the table quarantine in journal.db"
            )
        missing = known_losses(connection) if "loss" in tables else []
        if known is not None and not bad:
            heads = {head.session_id: head for head in load_heads(connection, "")}
            missing += [loss for loss in losses(known, heads, BY_HEADS) if loss not in missing]
        for loss in missing[:SHOWN]:
            yield Finding(name, "warn", f"acknowledged events are missing: {loss}", "restore a backup, or let it be")
        if len(missing) > SHOWN:
            yield Finding(name, "warn", f"and {len(missing) - SHOWN} more ranges are missing")
        (events,) = connection.execute("SELECT coalesce(sum(events), 0) FROM village").fetchone()
    yield Finding(name, "ok", f"{path.name} is sound, {events} events")
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size > 2 * WAL_LIMIT_BYTES:
        yield Finding(name, "warn", f"its WAL has {wal.stat().st_size / 1e6:.0f} MB", "end the program that reads it")


def tables(settings: Settings) -> Iterator[Finding]:
    """Check townwatch.db, or the PostgreSQL database."""
    url, path = settings.database.url, settings.state / "townwatch.db"
    if url and not url.startswith("sqlite"):
        yield from _postgres(url)
        return
    if not path.exists():
        yield Finding("tables", "ok", "are not there yet")
        return
    damage = damage_of(path)
    if damage is not None:
        yield Finding("tables", "fail", f"{path.name} is damaged: {damage}", REPAIR)
        return
    with reading(path) as connection:
        there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        version = 0
        if "schema_version" in there:
            version = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0]
        if version > LATEST:
            told = f"have version {version}, this townwatch knows {LATEST}"
            if breaks_with(connection):
                yield Finding("tables", "fail", told, "upgrade townwatch")
                return
            yield Finding("tables", "warn", f"{told}: a later release only added to them", "upgrade townwatch")
        bad = tables_quarantine.unreadable(connection)
        aside = tables_quarantine.quarantined(connection)
    if bad:
        table, row, why = bad[0]
        yield Finding("tables", "fail", f"{len(bad)} rows cannot be read (first: {table} {row}, {why})", REPAIR)
    if aside:
        yield Finding("tables", "warn", f"{aside} unreadable rows are set aside", "see the table quarantine")
    if not bad:
        yield Finding("tables", "ok", f"{path.name} is sound, schema version {version} of {LATEST}")


def breaks_with(connection: sqlite3.Connection) -> bool:
    """Return whether a later release changed the tables so that this one cannot use them."""
    names = {row[1] for row in connection.execute("PRAGMA table_info(schema_version)")}
    additive = "additive" if "additive" in names else "NULL"
    sql = f"SELECT count(*) FROM schema_version WHERE version > ? AND {additive} IS NOT 1"
    return bool(connection.execute(sql, (LATEST,)).fetchone()[0])


def _postgres(url: str) -> Iterator[Finding]:
    try:
        database = Database.open(url)
    except (TablesUnavailable, TablesRefused, FilesDamaged, ValueError) as error:
        yield Finding("tables", "fail", str(error), "the service waits for it at its start")
        return
    try:
        database.run(lambda connection: connection.execute(text("SELECT 1")).scalar())
        yield Finding("tables", "ok", f"{database.name} answers, schema version {LATEST}")
    finally:
        database.close()


def spools(state: Path) -> Iterator[Finding]:
    """Yield findings about the spools: events that runners of this machine have not delivered yet."""
    found = sorted(state.glob("**/spool.db")) if state.is_dir() else []
    if not found:
        yield Finding("spool", "ok", "there is none")
    for path in found:
        yield from _spool(path)


def _spool(path: Path) -> Iterator[Finding]:
    damage = damage_of(path)
    if damage is not None:
        advice = f"stop the runner and move {path} away: what it had not delivered is lost with it"
        yield Finding("spool", "fail", f"{path.name} is damaged: {damage}", advice)
        return
    with reading(path) as connection:
        there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'event'").fetchone()
        waiting = connection.execute("SELECT count(*) FROM event").fetchone()[0] if there else 0
    yield Finding("spool", "ok", f"{path} is sound, {waiting} events kept")


def newest_stored_ms(path: Path) -> float | None:
    """Return the time at which the newest event was stored (epoch ms), or None if it cannot be read."""
    if not path.exists():
        return None
    try:
        with reading(path) as connection:
            row = connection.execute("SELECT stored_at FROM event ORDER BY position DESC LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        return None
    return float(row[0]) if row and type(row[0]) is int else None
