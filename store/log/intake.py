"""Plan of a batch, made before anything is written: which records are new, which are repeats, where holes are.

Pure: heads and a batch in, a `BatchPlan` out. The log writes the plan in one transaction and only then believes it.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from townwatch.store.log.records import Head, LogRecord, Lost, Range, RefusedRecord

MAX_HOLES = 256
"""Holes a session may have at a time. A runner that makes more is broken or hostile; its events are refused."""
MAX_SEQ = 2**53 - 1


@attrs.frozen(kw_only=True)
class BatchPlan:
    """Rows to write. `stored` has positions. `villages`: village id → (events, bytes) to add."""

    stored: tuple[LogRecord, ...]
    heads: dict[str, Head]
    repeats: dict[str, int]
    refused: tuple[RefusedRecord, ...]
    villages: dict[str, tuple[int, int]]


@attrs.define
class Intake:
    """One session's head while a batch is being planned."""

    head: Head
    max_seq: int
    holes: list[Range]
    events: int = 0
    bytes: int = 0
    first_seq: int = 0
    first_ts: float | None = None
    last_ts: float = 0

    @classmethod
    def of(cls, head: Head) -> "Intake":
        """Begin from what is durable."""
        return cls(head=head, max_seq=head.max_seq, holes=list(head.holes), last_ts=head.last_ts_ms)

    def offer(self, seq: int) -> str | None:
        """Take the seq (None), or say why not: repeat, bad_seq, too_many_holes."""
        if not 1 <= seq <= MAX_SEQ:
            return "bad_seq"
        if seq > self.max_seq:
            if seq > self.max_seq + 1:
                if len(self.holes) >= MAX_HOLES:
                    return "too_many_holes"
                self.holes.append((self.max_seq + 1, seq - 1))
            self.max_seq = seq
            return None
        return self._fill(seq)

    def _fill(self, seq: int) -> str | None:
        for i, (low, high) in enumerate(self.holes):
            if low <= seq <= high:
                rest = [part for part in ((low, seq - 1), (seq + 1, high)) if part[0] <= part[1]]
                if len(self.holes) + len(rest) - 1 > MAX_HOLES:
                    return "too_many_holes"
                self.holes[i : i + 1] = rest
                return None
        return "repeat"

    def lose(self, from_seq: int, to_seq: int) -> None:
        """Close what is missing of the range, beyond the highest seq too: it will not come."""
        if not 1 <= from_seq <= to_seq:
            return
        if to_seq > self.max_seq:
            if from_seq > self.max_seq + 1 and len(self.holes) < MAX_HOLES:
                self.holes.append((self.max_seq + 1, from_seq - 1))
            self.max_seq = min(to_seq, MAX_SEQ)
        left: list[Range] = []
        for low, high in self.holes:
            below, above = (low, min(high, from_seq - 1)), (max(low, to_seq + 1), high)
            left += [part for part in (below, above) if part[0] <= part[1]]
        self.holes = left

    def count(self, record: LogRecord) -> None:
        """The record will be stored: account for it."""
        self.events += 1
        self.bytes += len(record.body)
        self.first_seq = min(self.first_seq or record.seq, record.seq)
        self.first_ts = record.ts_ms if self.first_ts is None else self.first_ts
        self.last_ts = max(self.last_ts, record.ts_ms)

    def done(self) -> Head:
        """The head as it is after the batch."""
        old = self.head
        firsts = [seq for seq in (old.first_seq, self.first_seq) if seq]
        return attrs.evolve(
            old,
            first_seq=min(firsts, default=0),
            max_seq=self.max_seq,
            events=old.events + self.events,
            bytes=old.bytes + self.bytes,
            first_ts_ms=old.first_ts_ms if old.first_seq or self.first_ts is None else self.first_ts,
            last_ts_ms=self.last_ts,
            holes=tuple(self.holes),
        )


def plan_batch(
    heads: Mapping[str, Head], batch: Sequence[LogRecord], lost: Iterable[Lost], next_key: int, next_position: int
) -> BatchPlan:
    """Decide the whole batch. `next_key`: for sessions not yet known; `next_position`: for the first new record."""
    open_heads: dict[str, Intake] = {}
    stored: list[LogRecord] = []
    repeats: dict[str, int] = {}
    refused: list[RefusedRecord] = []
    villages: dict[str, tuple[int, int]] = {}
    for record in batch:
        intake = open_heads.get(record.session_id)
        if intake is None:
            head = heads.get(record.session_id)
            if head is None:
                head = Head(session_id=record.session_id, village_id=record.village_id, key=next_key)
                next_key += 1
            intake = open_heads[record.session_id] = Intake.of(head)
        if record.village_id != intake.head.village_id:
            refused.append(RefusedRecord(record.session_id, record.seq, "wrong_village"))
            continue
        verdict = intake.offer(record.seq)
        if verdict == "repeat" or (verdict is None and intake.head.deleted):
            repeats[record.session_id] = repeats.get(record.session_id, 0) + 1
        elif verdict is not None:
            refused.append(RefusedRecord(record.session_id, record.seq, verdict))
        else:
            intake.count(record)
            stored.append(_at(record, next_position))
            next_position += 1
            events, size = villages.get(record.village_id, (0, 0))
            villages[record.village_id] = (events + 1, size + len(record.body))
    for gone in lost:
        if (intake := open_heads.get(gone.session_id)) is None and gone.session_id in heads:
            intake = open_heads[gone.session_id] = Intake.of(heads[gone.session_id])
        if intake is not None:
            intake.lose(gone.from_seq, gone.to_seq)
    done = {session_id: intake.done() for session_id, intake in open_heads.items()}
    return BatchPlan(stored=tuple(stored), heads=done, repeats=repeats, refused=tuple(refused), villages=villages)


def _at(record: LogRecord, position: int) -> LogRecord:
    # Spelled out: attrs.evolve costs 2 µs a record, a tenth of the whole append.
    return LogRecord(record.session_id, record.seq, record.village_id, record.type, record.ts_ms, record.body, position)
