"""From the start of the process to ready, against the size of the journal; and after a kill -9 in full flood."""

import statistics
import time
from pathlib import Path

import attrs

from bench.durable.load import event
from bench.durable.town import Town
from townwatch.actors.session import state as session_state
from townwatch.actors.session.actor import SNAPSHOT_EVERY
from townwatch.actors.session.fold import fold_all
from townwatch.actors.session.state import SessionState
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog

SESSIONS = 200
BATCH = 5_000


def recovery(home: Path, sizes: list[int], rounds: int) -> None:
    """The table."""
    print(f"\n{'journal':28} {'MB':>6} {'start to ready s':>16} {'CPU s':>6} {'RSS MB':>7}")
    for size in sizes:
        state = home / f"journal-{size}"
        Town.start(state).stop()  # makes the databases: that belongs to the first start only
        fill(state / "journal.db", size)
        _row(f"{size:9,} events", state, rounds)
    _killed(home / "killed", rounds)


def _row(name: str, state: Path, rounds: int) -> None:
    megabytes = sum(file.stat().st_size for file in state.glob("journal.db*") if "reserve" not in file.name) / 1e6
    ready, cost, memory = list[float](), list[float](), 0
    for _ in range(rounds):
        town = Town.start(state)
        ready.append(town.ready)
        cost.append(town.cpu())
        memory = max(memory, town.rss())
        town.kill()
    middle = f"{statistics.median(ready):16.2f} {statistics.median(cost):6.2f}"
    print(f"{name:28} {megabytes:6.0f} {middle} {memory / 1e6:7.0f}", flush=True)


def _killed(state: Path, rounds: int) -> None:
    """kill -9 while 100 sessions flood: the WAL is as it was, snapshots lag behind."""
    town = Town.start(state)
    town.kill_under(after=5.0, sessions=100, runners=10, seconds=60.0, name="kill")
    _row("after kill -9 in a flood", state, rounds)


def fill(journal: Path, size: int, sessions: int = SESSIONS) -> None:
    """Store `size` events as the service would have, with the snapshots that it would have made."""
    now_ms = time.time_ns() // 1_000_000
    names = [f"stored-{size}-{i:04d}" for i in range(sessions)]
    each = size // sessions
    with EventLog.open(journal) as log:
        batch: list[LogRecord] = []
        for seq in range(1, each + 1):
            for name in names:
                batch.append(_record(name, seq, now_ms))
            if len(batch) >= BATCH or seq == each:
                log.append(batch)
                batch = []
        # Snapshots are made now and then: on average half of what lies between two has to be read again.
        log.save_snapshots({f"session:{name}": _snapshot(name, max(1, each - SNAPSHOT_EVERY // 2)) for name in names})


def _record(name: str, seq: int, now_ms: int) -> LogRecord:
    body = event(name.encode(), seq, now_ms)
    kind = body[9 : body.index(b'"', 9)].decode()
    return LogRecord(name, seq, "demo", kind, now_ms, body)


def _snapshot(name: str, seq: int) -> tuple[int, bytes]:
    first = SessionState(session_id=name, village_id="demo", agent_id=f"agent-{name}", runner_id="bench")
    state = fold_all(first, (decode_event(event(name.encode(), i, 1)) for i in range(1, min(seq, 40) + 1)))
    return seq, session_state.dump(attrs.evolve(state, seq=seq))
