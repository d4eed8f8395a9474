"""Heads of sessions as rows of the event log."""

import json
import sqlite3

from townwatch.store.log.records import Head


def head_row(head: Head, village: int) -> tuple[object, ...]:
    """The values of a row of ``session_head``."""
    holes = json.dumps(head.holes) if head.holes else None
    return (
        head.key, head.session_id, village, head.first_seq, head.max_seq, head.events, head.bytes,
        head.first_ts_ms, head.last_ts_ms, holes, int(head.deleted),
    )  # fmt: skip


def load_heads(connection: sqlite3.Connection, where: str) -> list[Head]:
    """Heads as they are stored. `where`: SQL that selects among them."""
    rows = connection.execute(
        "SELECT h.id, h.session_id, v.village_id, h.first_seq, h.max_seq, h.events, h.bytes, h.first_ts, h.last_ts,"
        f" h.holes, h.deleted FROM session_head h JOIN village v ON v.id = h.village {where}"
    )
    return [
        Head(
            key=key, session_id=session_id, village_id=village_id, first_seq=first, max_seq=highest, events=events,
            bytes=size, first_ts_ms=first_ts, last_ts_ms=last_ts,
            holes=tuple((low, high) for low, high in json.loads(holes)) if holes else (), deleted=bool(deleted),
        )
        for key, session_id, village_id, first, highest, events, size, first_ts, last_ts, holes, deleted in rows
    ]  # fmt: skip
