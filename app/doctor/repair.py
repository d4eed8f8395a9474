"""`townwatch doctor --repair`: a damaged database is set apart and what can be read of it goes into a new file.

Nothing is deleted: damaged files stay beside as ``NAME.damaged-TIME``, unreadable rows go to the quarantine, and events
that could not be saved are noted as missing, so that readiness and people hear of them.
"""

import json
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from townwatch.app.doctor import databases, salvage
from townwatch.app.doctor.examination import in_use
from townwatch.app.doctor.findings import Finding
from townwatch.app.doctor.pages import leaf_rows
from townwatch.config.settings import Settings
from townwatch.contracts.faults import FilesDamaged
from townwatch.contracts.files import sync_directory
from townwatch.store.database import Database
from townwatch.store.engine.quarantine import set_aside
from townwatch.store.log import quarantine as log_quarantine
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.guard import note_losses
from townwatch.store.log.head_rows import load_heads
from townwatch.store.log.heads import Loss
from townwatch.store.log.records import LogError
from townwatch.store.tables import metadata

_LOG_TABLES = (
    ("village", "rowid"), ("session_head", "rowid"), ("event", "rowid"), ("lost", "rowid"), ("snapshot", "key"),
    ("meta", "key"), ("quarantine", "rowid"), ("loss", "session_id"),
)  # fmt: skip
WHY = "could not be read when the journal was repaired"


class RepairRefused(Exception):
    """Nothing was repaired, and why."""


def repair(settings: Settings) -> list[Finding]:
    """Mend what can be mended. Raises `RepairRefused` while a service runs on the directory."""
    state = settings.state
    if not state.is_dir():
        return []
    if in_use(state):
        raise RepairRefused(f"a service is running on {state}: stop it first")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    found = [_private(state)]
    if (state / "journal.db").exists():
        found.append(_journal(state / "journal.db", stamp))
    if (state / "townwatch.db").exists() and not settings.database.url:
        found.append(_tables(state / "townwatch.db", stamp))
    return [finding for finding in found if finding is not None]


def _private(state: Path) -> Finding | None:
    opened = [file for file in (state, *state.iterdir()) if file.lstat().st_mode & 0o077 and not file.is_symlink()]
    opened = [file for file in opened if file == state or file.is_file()]
    for file in opened:
        file.chmod(0o700 if file == state else 0o600)
    return Finding("state directory", "ok", f"made {len(opened)} files private") if opened else None


# --- the journal -----------------------------------------------------------------------------------------------------


def _journal(path: Path, stamp: str) -> Finding | None:
    if databases.damage_of(path) is None:
        return _unreadable_events(path)
    if _reindexed(path):
        return Finding("journal", "ok", "its indexes were made anew; no row was lost")
    apart = salvage.set_apart(path, stamp)
    fresh = path.with_name(f"{path.name}.repaired")
    salvage.remove_copy(fresh)
    _made_empty(fresh)
    copy = salvage.working_copy(apart)
    salvage.mend_header(copy, fresh)
    done: list[salvage.Salvaged] = []
    with _connected(fresh) as target, _connected(copy) as source:
        target.execute("BEGIN")
        done = [salvage.transplant(source, target, table, key) for table, key in _LOG_TABLES]
        log_quarantine.clean_small_tables(target)
        if not all(one.whole for one in done if one.table == "event"):
            _from_leaf_pages(copy, target)
        _heads_from_events(target)
        missing = _note_missing(target)
        target.execute("COMMIT")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (events,) = target.execute("SELECT count(*) FROM event").fetchone()
    salvage.remove_copy(copy)
    _put(fresh, path)
    text = f"{events} events were saved, {missing} ranges are missing; the damaged file is {apart.name}"
    return Finding("journal", "warn" if missing else "ok", text, "start the service: runners send what they still have")


def _unreadable_events(path: Path) -> Finding | None:
    count = 0
    with _connected(path) as writer:
        tables = {row[0] for row in writer.execute("SELECT name FROM sqlite_master")}
        if not {"event", "quarantine"} <= tables:
            return None
        writer.execute("BEGIN IMMEDIATE")
        count = log_quarantine.clean_small_tables(writer)
        for position, why in log_quarantine.bad_events(writer):
            count += log_quarantine.set_event_aside(writer, position, why)
        writer.execute("COMMIT")
    return Finding("journal", "ok", f"{count} unreadable rows were set aside") if count else None


def _reindexed(path: Path) -> bool:
    """Rebuild the indexes; return True if the file is sound after that."""
    with suppress(sqlite3.DatabaseError), _connected(path) as writer:
        writer.execute("REINDEX")
        return databases.damage_of(path) is None
    return False


def _made_empty(fresh: Path) -> None:
    with EventLog.open(fresh, reserve_bytes=0):
        pass
    for beside in fresh.parent.glob(f"{fresh.stem}-heads.*"):
        if beside.name.startswith("journal.db"):
            beside.unlink()
    fresh.with_name(f"{fresh.name}.lock").unlink(missing_ok=True)


def _from_leaf_pages(copy: Path, target: sqlite3.Connection) -> None:
    """Restore events that no inner page leads to any more. What retention or a person deleted stays deleted."""
    heads = {head.key: head for head in load_heads(target, "")}
    for position, (_, session, seq, village, kind, ts, stored_at, body) in leaf_rows(copy, 8):
        sound = type(session) is int and type(seq) is int and type(village) is int and type(stored_at) is int
        row = (None, seq, None, kind, ts, body, position)
        if not sound or log_quarantine.event_fault(row) is not None:
            continue
        head = heads.get(session) if isinstance(session, int) else None
        if head is not None and (head.deleted or not isinstance(seq, int) or not head.first_seq <= seq <= head.max_seq):
            continue
        values = (position, session, seq, village, kind, ts, stored_at, body)
        target.execute("INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?,?,?)", values)


def _heads_from_events(target: sqlite3.Connection) -> None:
    """Restore heads that were lost from their events: each names its session and village."""
    keys = [
        row[0]
        for row in target.execute(
            "SELECT DISTINCT session FROM event WHERE session NOT IN (SELECT id FROM session_head)"
        )
    ]
    for key in keys:
        named = _named(target, key)
        if named is None:
            continue
        session_id, village_id = named
        if target.execute("SELECT 1 FROM session_head WHERE session_id = ?", (session_id,)).fetchone():
            continue
        target.execute("INSERT OR IGNORE INTO village (village_id, events, bytes) VALUES (?, 0, 0)", (village_id,))
        (village,) = target.execute("SELECT id FROM village WHERE village_id = ?", (village_id,)).fetchone()
        row = (key, session_id, village)
        target.execute("INSERT INTO session_head VALUES (?,?,?,0,0,0,0,0,0,NULL,0)", row)
        target.execute("UPDATE event SET village = ? WHERE session = ?", (village, key))


def _named(target: sqlite3.Connection, key: int) -> tuple[str, str] | None:
    for (body,) in target.execute("SELECT body FROM event WHERE session = ? ORDER BY seq", (key,)):
        with suppress(ValueError, KeyError, TypeError):
            event = json.loads(body)
            return str(event["sessionId"]), str(event["orgId"])
    return None


def _note_missing(target: sqlite3.Connection) -> int:
    """Set the counters by the events; numbers that ought to be there and are not become known losses."""
    target.execute(
        "UPDATE session_head SET max_seq = max(max_seq, coalesce((SELECT max(seq) FROM event WHERE session = id), 0)),"
        " first_seq = CASE WHEN first_seq = 0 THEN coalesce((SELECT min(seq) FROM event WHERE session = id), 0)"
        " ELSE first_seq END,"
        " events = (SELECT count(*) FROM event WHERE session = session_head.id),"
        " bytes = (SELECT coalesce(sum(length(body)), 0) FROM event WHERE session = session_head.id)"
    )
    target.execute(
        "UPDATE village SET events = (SELECT count(*) FROM event WHERE event.village = village.id),"
        " bytes = (SELECT coalesce(sum(length(body)), 0) FROM event WHERE event.village = village.id)"
    )
    found: list[Loss] = []
    for head in load_heads(target, ""):
        if head.deleted or not head.first_seq:
            continue
        declared = target.execute("SELECT from_seq, to_seq FROM lost WHERE session = ?", (head.key,)).fetchall()
        gone = [*head.holes, *declared]
        expected = head.first_seq
        seqs = [row[0] for row in target.execute("SELECT seq FROM event WHERE session = ? ORDER BY seq", (head.key,))]
        for seq in [*seqs, head.max_seq + 1]:
            if seq > expected and not any(low <= expected and seq - 1 <= high for low, high in gone):
                found.append(Loss(head.session_id, head.village_id, expected, seq - 1, WHY))
            expected = max(expected, seq + 1)
    return len(note_losses(target, found))


# --- the tables ------------------------------------------------------------------------------------------------------


def _tables(path: Path, stamp: str) -> Finding | None:
    if databases.damage_of(path) is None or _reindexed(path):
        with _connected(path) as writer:
            if not writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'quarantine'").fetchone():
                return None
            count = set_aside(writer, everything=True)
        return Finding("tables", "ok", f"{count} unreadable rows were set aside") if count else None
    apart = salvage.set_apart(path, stamp)
    fresh = path.with_name(f"{path.name}.repaired")
    salvage.remove_copy(fresh)
    Database.open(fresh).close()
    copy = salvage.working_copy(apart)
    salvage.mend_header(copy, fresh)
    with _connected(fresh) as target, _connected(copy) as source:
        target.execute("PRAGMA foreign_keys = OFF")
        target.execute("BEGIN")
        done = [salvage.transplant(source, target, table.name, "rowid") for table in metadata.sorted_tables]
        target.execute("COMMIT")
        set_aside(target, everything=True)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    salvage.remove_copy(copy)
    _put(fresh, path)
    broken = [one.table for one in done if not one.whole]
    text = f"{sum(one.rows for one in done)} rows were saved; the damaged file is {apart.name}"
    if not broken:
        return Finding("tables", "ok", text)
    advice = "look who can still sign in; townwatch link signs the owner in"
    return Finding("tables", "warn", f"{text}; rows may be missing in {', '.join(broken)}", advice)


def _put(fresh: Path, path: Path) -> None:
    """The new file takes its place, whole or not at all."""
    descriptor = os.open(fresh, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for suffix in ("-wal", "-shm"):
        Path(f"{fresh}{suffix}").unlink(missing_ok=True)
    os.replace(fresh, path)
    sync_directory(path.parent)


class _connected:
    """A connection for a ``with``: undecodable text is passed on as it is."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5)
        self._connection.text_factory = databases.lenient_text

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *_error: object) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()


FAILURES = (LogError, FilesDamaged, sqlite3.Error, OSError)
"""What a repair may fail with; the damaged file is set apart by then, or untouched."""
