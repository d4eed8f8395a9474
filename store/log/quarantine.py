"""Rows of the event log that cannot be read are set aside, whole, so that one of them never stops a start or a reader.

Called with the writing connection inside a transaction. An event that is set aside leaves a declared loss of its number
(table ``lost``), so that readers see a gap with a reason and its runner is not asked for it again.
"""

import json
import sqlite3
from typing import Any

import structlog

from townwatch.contracts.clock import epoch_ms

log = structlog.get_logger("journal")

UNREADABLE = "unreadable: set aside in the quarantine"
_INSERT = "INSERT INTO quarantine (at_ms, source, row_id, why, raw) VALUES (?,?,?,?,?)"
_SMALL: dict[str, dict[str, tuple[str, ...]]] = {
    "village": {"id": ("integer",), "village_id": ("text",), "events": ("integer",), "bytes": ("integer",)},
    "session_head": {
        "id": ("integer",),
        "session_id": ("text",),
        "village": ("integer",),
        "first_seq": ("integer",),
        "max_seq": ("integer",),
        "events": ("integer",),
        "bytes": ("integer",),
        "first_ts": ("integer", "real"),
        "last_ts": ("integer", "real"),
        "holes": ("text", "null"),
        "deleted": ("integer",),
    },
    "snapshot": {"key": ("text",), "position": ("integer",), "body": ("blob",)},
    "meta": {"key": ("text",), "value": ("integer",)},
}
_EVENT = {
    "position": ("integer",),
    "session": ("integer",),
    "seq": ("integer",),
    "village": ("integer",),
    "type": ("text",),
    "ts": ("integer", "real"),
    "stored_at": ("integer",),
    "body": ("blob",),
}
_REBUILT = """
UPDATE session_head SET holes = NULL, deleted = 0,
  first_seq = (SELECT coalesce(min(seq), 0) FROM event WHERE session = session_head.id),
  max_seq = (SELECT coalesce(max(seq), 0) FROM event WHERE session = session_head.id),
  events = (SELECT count(*) FROM event WHERE session = session_head.id),
  bytes = (SELECT coalesce(sum(length(body)), 0) FROM event WHERE session = session_head.id),
  first_ts = (SELECT coalesce(min(ts), 0) FROM event WHERE session = session_head.id),
  last_ts = (SELECT coalesce(max(ts), 0) FROM event WHERE session = session_head.id)
WHERE id = ?
"""


def event_fault(row: tuple[Any, ...]) -> str | None:
    """Return why a row (session, seq, village, type, ts, body, position) is not an event, or None if it is one."""
    _session, seq, _village, kind, ts, body, _position = row
    if type(seq) is not int:
        return f"seq is {type(seq).__name__}"
    if type(kind) is not str or not kind.isascii():
        return "type is not text in ASCII"
    if type(ts) is not int and type(ts) is not float:
        return f"ts is {type(ts).__name__}"
    return None if type(body) is bytes else f"body is {type(body).__name__}"


def clean_small_tables(writer: sqlite3.Connection) -> int:
    """Set unreadable heads, villages, snapshots and counters aside; how many rows. A head whose numbers alone are
    damaged is made anew from the events; a snapshot is made anew by its session.
    """
    count = 0
    for table in _SMALL:
        for key, why, values in _bad(writer, table):
            count += 1
            log.error("unreadable_row", table=table, row=_shown(key), why=why)
            _keep(writer, table, key, why, values)
            key_column = next(iter(_SMALL[table]))
            if table == "session_head" and _rebuild(writer, key, why, values):
                continue
            raw_key = values[key_column][1]
            writer.execute(
                f"DELETE FROM {table} WHERE {key_column} IS CAST(? AS {_cast(values[key_column][0])})", (raw_key,)
            )
    for (key,) in writer.execute(
        "SELECT id FROM session_head WHERE village NOT IN (SELECT id FROM village)"
    ).fetchall():
        values = _row(writer, "session_head", "id", key)
        _keep(writer, "session_head", key, "its village is not there", values)
        writer.execute("DELETE FROM session_head WHERE id = ?", (key,))
        count += 1
    if not writer.execute("SELECT 1 FROM meta WHERE key = 'next_position'").fetchone():
        writer.execute("INSERT INTO meta VALUES ('next_position', 1)")
    return count


def set_event_aside(writer: sqlite3.Connection, position: int, why: str) -> bool:
    """Move one event to the quarantine and declare its number lost; False where it is not there (any more)."""
    values = _row(writer, "event", "position", position)
    if not values:
        return False
    _keep(writer, "event", position, why, values)
    writer.execute("DELETE FROM event WHERE position = ?", (position,))
    size = len(values["body"][1] or b"") if values["body"][0] in ("blob", "text") else 0
    session, village, seq = (values[name][1] for name in ("session", "village", "seq"))
    less = "SET events = max(0, events - 1), bytes = max(0, bytes - ?) WHERE id = ?"
    writer.execute(f"UPDATE session_head {less}", (size, session))
    writer.execute(f"UPDATE village {less}", (size, village))
    if type(session) is int and type(seq) is int:
        writer.execute(
            "INSERT INTO lost (session, from_seq, to_seq, reason) VALUES (?,?,?,?)", (session, seq, seq, UNREADABLE)
        )
    log.error("unreadable_event", position=position, seq=seq if type(seq) is int else None, why=why)
    return True


def bad_events(writer: sqlite3.Connection) -> list[tuple[int, str]]:
    """(position, why) of every event with a value of a wrong type. Reads the whole log: for `townwatch doctor`."""
    wrong = " OR ".join(
        f"typeof({name}) NOT IN ({', '.join(repr(k) for k in kinds)})" for name, kinds in _EVENT.items()
    )
    found = [
        (int(position), "a value has a wrong type")
        for (position,) in writer.execute(f"SELECT position FROM event WHERE {wrong}")
    ]
    kinds = "SELECT DISTINCT CAST(type AS BLOB) FROM event WHERE typeof(type) = 'text'"
    for (kind,) in writer.execute(kinds).fetchall():
        if not bytes(kind).isascii():
            rows = writer.execute("SELECT position FROM event WHERE CAST(type AS BLOB) = ?", (kind,))
            found += [(int(position), "type is not text in ASCII") for (position,) in rows]
    return found


def bad_small_rows(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """(number, why) of every unreadable head, village, snapshot and counter."""
    return [
        (number, f"{table}: {why}") for table in _SMALL for number, (_, why, _) in enumerate(_bad(connection, table))
    ]


def quarantined(connection: sqlite3.Connection) -> int:
    """Return the number of rows that are set aside."""
    return int(connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])


def _rebuild(writer: sqlite3.Connection, key: Any, why: str, values: dict[str, tuple[str, Any]]) -> bool:
    sound = all(values[name][0] in _SMALL["session_head"][name] for name in ("id", "session_id", "village"))
    if not sound or why.startswith("session_id"):
        return False
    writer.execute(_REBUILT, (key,))
    return True


def _bad(writer: sqlite3.Connection, table: str) -> list[tuple[Any, str, dict[str, tuple[str, Any]]]]:
    rules = _SMALL[table]
    bad: list[tuple[Any, str, dict[str, tuple[str, Any]]]] = []
    for values in _rows(writer, f"SELECT {_cells(rules)} FROM {table}", list(rules)):
        why = next((fault for name, cell in values.items() if (fault := _fault(name, cell, rules[name]))), None)
        if why is not None:
            bad.append((next(iter(values.values()))[1], why, values))
    return bad


def _fault(name: str, cell: tuple[str, Any], kinds: tuple[str, ...]) -> str | None:
    kind, value = cell
    if kind not in kinds:
        return f"{name} is {kind}"
    if kind != "text":
        return None
    try:
        text = bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return f"{name} is not UTF-8"
    if name != "holes":
        return None
    try:
        sound = all(type(low) is int and type(high) is int for low, high in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        sound = False
    return None if sound else "holes are no list of ranges"


def _row(writer: sqlite3.Connection, table: str, key: str, value: Any) -> dict[str, tuple[str, Any]]:
    rules = _EVENT if table == "event" else _SMALL[table]
    found = _rows(writer, f"SELECT {_cells(rules)} FROM {table} WHERE {key} = ?", list(rules), (value,))
    return found[0] if found else {}


def _cells(rules: dict[str, tuple[str, ...]]) -> str:
    return ", ".join(f"typeof({name}), {name}" for name in rules)


def _rows(
    writer: sqlite3.Connection, sql: str, names: list[str], args: tuple[Any, ...] = ()
) -> list[dict[str, tuple[str, Any]]]:
    """Rows as name → (type, value); text as the bytes that are stored."""
    before, writer.text_factory = writer.text_factory, bytes
    try:
        rows = writer.execute(sql, args).fetchall()
    finally:
        writer.text_factory = before
    return [{name: (bytes(row[2 * i]).decode(), row[2 * i + 1]) for i, name in enumerate(names)} for row in rows]


def _keep(writer: sqlite3.Connection, source: str, key: Any, why: str, values: dict[str, tuple[str, Any]]) -> None:
    raw = {
        name: {"type": kind, "hex": bytes(value).hex()} if isinstance(value, bytes) else {"type": kind, "value": value}
        for name, (kind, value) in values.items()
    }
    row_id = key if type(key) is int else None
    writer.execute(_INSERT, (epoch_ms(), source, row_id, why, json.dumps(raw)))


def _cast(kind: str) -> str:
    return {"text": "TEXT", "integer": "INTEGER", "real": "REAL"}.get(kind, "BLOB")


def _shown(key: Any) -> Any:
    return key.hex() if isinstance(key, bytes) else key
