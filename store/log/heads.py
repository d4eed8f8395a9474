"""Each session's head, kept a second time in small files of its own, by which damage to the log is noticed.

Two slots (``journal-heads.0`` and ``.1``) are written in turn, each with a generation and a checksum, and synced: a
crash in the middle of one leaves the other. They are written after what they say is durable, at most twice a second,
so a log that has less than they say has lost acknowledged events.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from townwatch.store.log.records import Head, Range

_SLOTS = 2


@attrs.frozen
class KnownHead:
    """The head of a session that was durable once."""

    session_id: str
    village_id: str
    max_seq: int
    holes: tuple[Range, ...] = ()


@attrs.frozen
class Known:
    """One slot's content. `position`: of the newest event."""

    generation: int
    position: int
    heads: tuple[KnownHead, ...]


@attrs.frozen
class Loss:
    """Events that had been acknowledged and are not in the log."""

    session_id: str
    village_id: str
    from_seq: int
    to_seq: int
    why: str

    def __str__(self) -> str:
        return f"session {self.session_id}: events {self.from_seq} to {self.to_seq} ({self.why})"


class HeadsFile:
    """The two slots beside a log."""

    def __init__(self, log_path: Path) -> None:
        # Not beginning with the log's whole name: `rm journal.db*` should leave the witness.
        self._slots = [log_path.with_name(f"{log_path.stem}-heads.{number}") for number in range(_SLOTS)]
        self._generation = 0
        self._written: tuple[int, int] | None = None

    def read(self) -> Known | None:
        """The newest slot that is whole; None where there is none."""
        found = [known for slot in self._slots if (known := _read(slot)) is not None]
        newest = max(found, key=lambda known: known.generation, default=None)
        self._generation = newest.generation if newest is not None else 0
        return newest

    def write(self, heads: Mapping[str, Head], position: int) -> bool:
        """Keep these heads, where they differ from those written last; whether anything was written. Raises OSError."""
        state = (
            position,
            hash(tuple((head.session_id, head.max_seq, head.holes, head.deleted) for head in heads.values())),
        )
        if state == self._written:
            return False
        kept = [[h.session_id, h.village_id, h.max_seq, h.holes] for h in heads.values() if not h.deleted]
        body = json.dumps({"position": position, "heads": kept}, separators=(",", ":")).encode()
        following = self._generation + 1
        first = json.dumps({"version": 1, "generation": following, "sha256": _digest(following, body)}).encode()
        slot = self._slots[following % _SLOTS]
        descriptor = os.open(slot, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(first + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        self._generation, self._written = following, state
        return True


def losses(known: Known, heads: Mapping[str, Head], why: str) -> list[Loss]:
    """Return the ranges that `known` says were durable and the log does not have. Deleted sessions are left out."""
    found: list[Loss] = []
    for before in known.heads:
        head = heads.get(before.session_id)
        if head is not None and head.deleted:
            continue
        now = 0 if head is None else head.max_seq
        missing: list[Range] = [hole for hole in (head.holes if head else ()) if hole not in before.holes]
        if before.max_seq > now:
            missing.append((now + 1, before.max_seq))
        for low, high in missing:
            for part in _less((low, min(high, before.max_seq)), before.holes):
                found.append(Loss(before.session_id, before.village_id, *part, why))
    return found


def _less(whole: Range, holes: tuple[Range, ...]) -> list[Range]:
    """The parts of a range outside the holes."""
    parts = [whole]
    for low, high in holes:
        cut = [((a, min(b, low - 1)), (max(a, high + 1), b)) for a, b in parts]
        parts = [part for pair in cut for part in pair]
    return [(a, b) for a, b in parts if a <= b]


def _digest(generation: int, body: bytes) -> str:
    return hashlib.sha256(b"%d\n" % generation + body).hexdigest()


def _read(slot: Path) -> Known | None:
    try:
        first, _, body = slot.read_bytes().partition(b"\n")
        head = cast("dict[str, Any]", json.loads(first))
        if head["version"] != 1 or head["sha256"] != _digest(head["generation"], body):
            return None
        content = json.loads(body)
        heads = tuple(
            KnownHead(session, village, highest, tuple((low, high) for low, high in holes))
            for session, village, highest, holes in content["heads"]
        )
        return Known(head["generation"], content["position"], heads)
    except (OSError, ValueError, KeyError, TypeError):
        return None
