"""Forgetting: the oldest events of a village, or all of a session, in chunks, so that the writer never waits long.

The functions run inside the caller's transaction and keep the sums in `village` and `session_head` true.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from townwatch.store.log.records import Removed, Retention

CHUNK = 2000
"""Events deleted in one commit: a few milliseconds of the writer's time."""


def retain(
    writer: sqlite3.Connection, village: int, keep: Retention, now_ms: float, chunk: int, spared: Sequence[int]
) -> tuple[Removed, list[int]]:
    """Delete at most `chunk` of a village's oldest events that `keep` does not cover; also the sessions touched."""
    (held,) = writer.execute("SELECT bytes FROM village WHERE id = ?", (village,)).fetchone()
    excess = held - keep.max_bytes if keep.max_bytes is not None else 0
    oldest = now_ms - keep.max_age_ms if keep.max_age_ms is not None else float("-inf")
    spare = f"AND session NOT IN ({','.join('?' * len(spared))})" if spared else ""
    rows = writer.execute(
        "SELECT position, session, stored_at, length(body) FROM event"
        f" WHERE village = ? {spare} ORDER BY position LIMIT ?",
        (village, *spared, chunk),
    ).fetchall()
    doomed: list[tuple[int, int, int]] = []
    size = 0
    for position, session, stored_at, length in rows:
        if stored_at >= oldest and size >= excess:
            break
        doomed.append((position, session, length))
        size += length
    _delete(writer, village, doomed)
    return Removed(len(doomed), size, len(doomed) == chunk), sorted({session for _, session, _ in doomed})


def delete_session(writer: sqlite3.Connection, session: int, session_id: str, chunk: int) -> Removed:
    """Delete at most `chunk` of a session's events; mark its head as deleted and drop its snapshot."""
    (village,) = writer.execute("SELECT village FROM session_head WHERE id = ?", (session,)).fetchone()
    rows = writer.execute(
        "SELECT position, session, length(body) FROM event WHERE session = ? ORDER BY seq LIMIT ?", (session, chunk)
    ).fetchall()
    _delete(writer, village, rows)
    writer.execute("UPDATE session_head SET deleted = 1, holes = NULL WHERE id = ?", (session,))
    writer.execute("DELETE FROM lost WHERE session = ?", (session,))
    writer.execute("DELETE FROM snapshot WHERE key IN (?, ?)", (f"session:{session_id}", f"terminal:{session_id}"))
    return Removed(len(rows), sum(length for _, _, length in rows), len(rows) == chunk)


def _delete(writer: sqlite3.Connection, village: int, doomed: Sequence[tuple[int, int, int]]) -> None:
    writer.executemany("DELETE FROM event WHERE position = ?", [(position,) for position, _, _ in doomed])
    for session, (events, size) in sums_by_session((session, length) for _, session, length in doomed).items():
        writer.execute(
            "UPDATE session_head SET events = events - ?, bytes = bytes - ?,"
            " first_seq = coalesce((SELECT min(seq) FROM event WHERE session = ?), 0) WHERE id = ?",
            (events, size, session, session),
        )
    total = sum(length for _, _, length in doomed)
    writer.execute(
        "UPDATE village SET events = events - ?, bytes = bytes - ? WHERE id = ?", (len(doomed), total, village)
    )


def sums_by_session(removed: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Return session → (events, bytes) of removed events (session, bytes)."""
    sums: dict[int, tuple[int, int]] = {}
    for session, length in removed:
        events, size = sums.get(session, (0, 0))
        sums[session] = (events + 1, size + length)
    return sums
