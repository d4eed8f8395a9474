"""Write what a batch means (`intake.BatchPlan`) within the caller's transaction."""

import sqlite3
from collections.abc import Mapping, Sequence

from townwatch.store.log.head_rows import head_row
from townwatch.store.log.intake import BatchPlan
from townwatch.store.log.records import Head, Lost

_INSERT = "INSERT INTO event (position, session, seq, village, type, ts, stored_at, body) VALUES (?,?,?,?,?,?,?,?)"
_SAVE_HEAD = """
INSERT INTO session_head (id, session_id, village, first_seq, max_seq, events, bytes, first_ts, last_ts, holes, deleted)
VALUES (?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET first_seq = excluded.first_seq, max_seq = excluded.max_seq, events = excluded.events,
  bytes = excluded.bytes, first_ts = excluded.first_ts, last_ts = excluded.last_ts, holes = excluded.holes,
  deleted = excluded.deleted
"""
_SAVE_VILLAGE = """
INSERT INTO village (id, village_id, events, bytes) VALUES (?,?,?,?)
ON CONFLICT (id) DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes
"""


def write_plan(
    writer: sqlite3.Connection,
    plan: BatchPlan,
    changed: Mapping[str, Head],
    villages: Mapping[str, int],
    lost: Sequence[Lost],
    now_ms: int,
) -> None:
    """Write events, heads, village counters and lost ranges. `villages`: village id → its row; `changed`: heads."""
    heads = plan.heads
    for village_id in {head.village_id for head in changed.values()}:
        writer.execute(_SAVE_VILLAGE, (villages[village_id], village_id, *plan.villages.get(village_id, (0, 0))))
    writer.executemany(_SAVE_HEAD, [head_row(head, villages[head.village_id]) for head in changed.values()])
    writer.executemany(
        _INSERT,
        [
            (r.position, heads[r.session_id].key, r.seq, villages[r.village_id], r.type, r.ts_ms, now_ms, r.body)
            for r in plan.stored
        ],
    )
    rows = [(heads[g.session_id].key, g.from_seq, g.to_seq, g.reason) for g in lost if g.session_id in heads]
    if rows:
        writer.executemany("INSERT INTO lost (session, from_seq, to_seq, reason) VALUES (?,?,?,?)", rows)
