"""Statements that write the event log in PostgreSQL, within the caller's transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from townwatch.contracts.clock import epoch_ms
from townwatch.store.log.heads import Loss
from townwatch.store.log.intake import BatchPlan
from townwatch.store.log.records import Head, Lost, Removed, Retention
from townwatch.store.log.retention import sums_by_session
from townwatch.store.pg_log.arrays import PackedArray, bigints, bodies, floats, integers, texts
from townwatch.store.pg_log.schema import packed, unpacked

_SAVE_VILLAGES = """
INSERT INTO log_village (id, village_id, events, bytes)
SELECT * FROM unnest(%b::int[], %b::text[], %b::bigint[], %b::bigint[])
ON CONFLICT (id) DO UPDATE
SET events = log_village.events + excluded.events, bytes = log_village.bytes + excluded.bytes
"""
_SAVE_HEADS = """
INSERT INTO log_session
  (id, session_id, village, first_seq, max_seq, events, bytes, first_ts, last_ts, holes, deleted)
SELECT * FROM unnest(%b::bigint[], %b::text[], %b::int[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
  %b::float8[], %b::float8[], %b::text[], %b::int[])
ON CONFLICT (id) DO UPDATE SET first_seq = excluded.first_seq, max_seq = excluded.max_seq, events = excluded.events,
  bytes = excluded.bytes, first_ts = excluded.first_ts, last_ts = excluded.last_ts, holes = excluded.holes,
  deleted = excluded.deleted
"""
_INSERT = """
INSERT INTO log_event (position, session, seq, village, type, ts, stored_at, body)
SELECT a, b, c, d, e, f, %b::bigint, g
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::int[], %b::text[], %b::float8[], %b::bytea[])
  AS t (a, b, c, d, e, f, g)
"""
_SAVE_SNAPSHOT = """
INSERT INTO log_snapshot (key, position, body) VALUES (%s, %s, %b)
ON CONFLICT (key) DO UPDATE SET position = excluded.position, body = excluded.body
"""
_HEADS = """
SELECT h.id, h.session_id, v.village_id, h.first_seq, h.max_seq, h.events, h.bytes, h.first_ts, h.last_ts, h.holes,
  h.deleted
FROM log_session h JOIN log_village v ON v.id = h.village
"""
_NOTE_LOSS = """
INSERT INTO log_loss (session_id, village_id, from_seq, to_seq, noticed_ms, why) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_TRIM = """
WITH oldest AS (
  SELECT position, session, stored_at, octet_length(body) AS size,
    sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS before
  FROM (SELECT * FROM log_event WHERE village = %(village)s AND NOT session = ANY(%(spared)s::bigint[])
        ORDER BY position LIMIT %(chunk)s) AS part),
kept AS (SELECT coalesce(min(position), %(end)s) AS first FROM oldest
         WHERE stored_at >= %(age)s AND before >= %(excess)s)
DELETE FROM log_event e USING oldest o, kept k WHERE e.position = o.position AND o.position < k.first
RETURNING o.session, o.size
"""
_DELETE = """
DELETE FROM log_event WHERE position IN (SELECT position FROM log_event WHERE session = %s ORDER BY seq LIMIT %s)
RETURNING session, octet_length(body)
"""
_END = 2**62


def write_plan(
    writer: Any,
    plan: BatchPlan,
    changed: Mapping[str, Head],
    villages: Mapping[str, int],
    lost: Sequence[Lost],
    now_ms: int,
) -> None:
    """Write events, heads, village counters and lost ranges: few statements, however many rows."""
    heads = list(changed.values())
    ids = sorted({head.village_id for head in heads}, key=lambda one: villages[one])
    sums = [plan.villages.get(one, (0, 0)) for one in ids]
    events, sizes = [count for count, _ in sums], [size for _, size in sums]
    writer.execute(
        _SAVE_VILLAGES,
        (integers([villages[one] for one in ids]), texts(map(packed, ids)), bigints(events), bigints(sizes)),
    )
    writer.execute(_SAVE_HEADS, _columns(heads, villages))
    if stored := plan.stored:
        keys = {session_id: head.key for session_id, head in plan.heads.items()}
        writer.execute(
            _INSERT,
            (
                now_ms,
                bigints([r.position for r in stored]),
                bigints([keys[r.session_id] for r in stored]),
                bigints([r.seq for r in stored]),
                integers([villages[r.village_id] for r in stored]),
                texts([r.type for r in stored]),
                floats([r.ts_ms for r in stored]),
                bodies([r.body for r in stored]),
            ),
        )
    for gone in lost:
        if gone.session_id in plan.heads:
            writer.execute(
                "INSERT INTO log_lost (session, from_seq, to_seq, reason) VALUES (%s, %s, %s, %s)",
                (plan.heads[gone.session_id].key, gone.from_seq, gone.to_seq, packed(gone.reason)),
            )


def _columns(heads: Sequence[Head], villages: Mapping[str, int]) -> tuple[PackedArray, ...]:
    return (
        bigints([h.key for h in heads]), texts([packed(h.session_id) for h in heads]),
        integers([villages[h.village_id] for h in heads]), bigints([h.first_seq for h in heads]),
        bigints([h.max_seq for h in heads]), bigints([h.events for h in heads]), bigints([h.bytes for h in heads]),
        floats([h.first_ts_ms for h in heads]), floats([h.last_ts_ms for h in heads]),
        texts([json.dumps(h.holes) if h.holes else None for h in heads]), integers([int(h.deleted) for h in heads]),
    )  # fmt: skip


def load_heads(connection: Any, keys: Sequence[int] | None = None) -> list[Head]:
    """Heads as they are stored; `keys`: only of these sessions."""
    where, args = ("", ()) if keys is None else ("WHERE h.id = ANY(%s::bigint[])", (list(keys),))
    rows = connection.execute(f"{_HEADS} {where}", args).fetchall()
    return [
        Head(
            key=key, session_id=unpacked(session_id), village_id=unpacked(village_id), first_seq=first, max_seq=highest,
            events=events, bytes=size, first_ts_ms=first_ts, last_ts_ms=last_ts,
            holes=tuple((low, high) for low, high in json.loads(holes)) if holes else (), deleted=bool(deleted),
        )
        for key, session_id, village_id, first, highest, events, size, first_ts, last_ts, holes, deleted in rows
    ]  # fmt: skip


def save_snapshots(writer: Any, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
    """Store (position, body) by key."""
    rows = [(packed(key), position, body) for key, (position, body) in snapshots.items()]
    writer.cursor().executemany(_SAVE_SNAPSHOT, rows)


def note_loss(writer: Any, loss: Loss) -> bool:
    """Keep a loss; False where it was known."""
    row = (packed(loss.session_id), packed(loss.village_id), loss.from_seq, loss.to_seq, epoch_ms(), packed(loss.why))
    return writer.execute(_NOTE_LOSS, row).rowcount > 0


def retain(
    writer: Any, village: int, keep: Retention, now_ms: float, chunk: int, spared: Sequence[int]
) -> tuple[Removed, list[int]]:
    """As `store.log.retention.retain`: at most `chunk` of a village's oldest events that `keep` does not cover."""
    (held,) = writer.execute("SELECT bytes FROM log_village WHERE id = %s", (village,)).fetchone()
    excess = held - keep.max_bytes if keep.max_bytes is not None else 0
    oldest = int(now_ms - keep.max_age_ms) if keep.max_age_ms is not None else -_END
    args = {"village": village, "spared": list(spared), "chunk": chunk, "age": oldest, "excess": excess, "end": _END}
    rows = writer.execute(_TRIM, args).fetchall()
    return take_from_sums(writer, village, rows, chunk), sorted({session for session, _ in rows})


def delete_session(writer: Any, session: int, session_id: str, chunk: int) -> Removed:
    """Delete at most `chunk` of a session's events; mark its head as deleted and drop its snapshot."""
    (village,) = writer.execute("SELECT village FROM log_session WHERE id = %s", (session,)).fetchone()
    removed = take_from_sums(writer, village, writer.execute(_DELETE, (session, chunk)).fetchall(), chunk)
    writer.execute("UPDATE log_session SET deleted = 1, holes = NULL WHERE id = %s", (session,))
    writer.execute("DELETE FROM log_lost WHERE session = %s", (session,))
    keys = [packed(f"session:{session_id}"), packed(f"terminal:{session_id}")]
    writer.execute("DELETE FROM log_snapshot WHERE key = ANY(%s::text[])", (keys,))
    return removed


def take_from_sums(writer: Any, village: int, rows: Iterable[tuple[int, int]], chunk: int = 0) -> Removed:
    """Subtract removed events (session, bytes) from the sums of their sessions and their village."""
    by_session = sums_by_session(rows)
    for session, (events, size) in by_session.items():
        writer.execute(
            "UPDATE log_session SET events = events - %s, bytes = bytes - %s,"
            " first_seq = coalesce((SELECT min(seq) FROM log_event WHERE session = %s), 0) WHERE id = %s",
            (events, size, session, session),
        )
    count, total = sum(n for n, _ in by_session.values()), sum(size for _, size in by_session.values())
    writer.execute(
        "UPDATE log_village SET events = events - %s, bytes = bytes - %s WHERE id = %s", (count, total, village)
    )
    return Removed(count, total, count == chunk)
