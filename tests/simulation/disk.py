"""What lasts: the real event log on a memory disk, decisions, and the truth that the invariants are checked against."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from actors.ports import Standing
from contracts.records import LogRecord
from store.log import EventLog
from tests.simulation.place import Killed, Place, here


@attrs.define(eq=False)
class Truth:
    """What is durable, by whichever way it became so. Nothing of the product reads it."""

    spooled: dict[str, list[bytes]] = attrs.field(factory=lambda: defaultdict(list[bytes]))
    """session → the bodies that a runner put on its disk, in order: number n is at n - 1."""
    stored: dict[str, list[tuple[int, bytes]]] = attrs.field(factory=lambda: defaultdict(list[tuple[int, bytes]]))
    """session → (seq, body) that the journal has committed, in the order of commits."""
    lost: dict[str, set[int]] = attrs.field(factory=lambda: defaultdict(set[int]))
    """session → numbers whose events went down with a runner's disk before they were sent."""
    decisions: dict[str, list[tuple[str, str]]] = attrs.field(factory=lambda: defaultdict(list[tuple[str, str]]))
    """approval → (decision, by) of each time that one was recorded as the first."""

    def last(self, session_id: str) -> int:
        rows = self.stored.get(session_id)
        return rows[-1][0] if rows else 0


class SimLog:
    """`actors.ports.Journal` on the real log, with a disk that may refuse before a commit, or after it."""

    def __init__(self, path: Path, place: Place, truth: Truth, dice: random.Random) -> None:
        self.log = EventLog.open(path, "normal", now_ms=place.now_ms, reserve_bytes=0)
        self._place = place
        self._truth = truth
        self._dice = dice

    def append(self, batch: Sequence[LogRecord]) -> object:
        error = self._refused()
        if error is not None and self._dice.random() < 0.7:
            raise error
        result = self.log.append(batch)
        for record in result.stored:
            self._truth.stored[record.session_id].append((record.seq, record.body))
        if error is not None:  # it is on the disk, and the process was told that it is not
            raise error
        return result

    def _refused(self) -> BaseException | None:
        return self._place.refusal() if self._place.refusal is not None else None

    def read(self, session_id: str, after: int = 0, limit: int = 1000, max_bytes: int = 1 << 20) -> list[LogRecord]:
        return self.log.read(session_id, after, limit, max_bytes)

    def deleted(self, session_id: str) -> bool:
        return self.log.deleted(session_id)

    def size(self, session_id: str, after: int, until: int) -> int:
        return self.log.size(session_id, after, until)

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        error = self._refused()
        if error is not None:
            raise error
        self.log.save_snapshots(snapshots)

    def heads(self) -> Any:
        return self.log.heads()

    def load_snapshots(self, prefix: str = "") -> Any:
        return self.log.load_snapshots(prefix)

    def close(self) -> None:
        self.log.close()


class SimDecisions:
    """`actors.ports.Decisions`: one row an approval, the first decision stands. Outlives the service."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.standing: dict[str, tuple[str, Standing]] = {}
        self.confirmed: set[str] = set()

    async def _io(self) -> None:
        place = here.get()
        with trio.CancelScope(shield=True):
            await trio.sleep(place.seconds())
        if place.dead:
            raise Killed(place.name)
        await trio.lowlevel.checkpoint_if_cancelled()

    async def record(
        self, approval_id: str, session_id: str, decision: str, resolved_by: str, note: str | None, at_ms: int
    ) -> Standing:
        await self._io()
        found = self.standing.get(approval_id)
        if found is None:
            standing = Standing(approval_id=approval_id, decision=decision, resolved_by=resolved_by, note=note)
            self.standing[approval_id] = session_id, standing
            self._truth.decisions[approval_id].append((decision, resolved_by))
            answer = attrs.evolve(standing, won=True)
        else:
            answer = attrs.evolve(found[1], confirmed=approval_id in self.confirmed)
        await self._io()
        return answer

    async def unconfirmed(self, session_id: str) -> list[Standing]:
        await self._io()
        rows = self.standing.items()
        return [standing for key, (of, standing) in rows if of == session_id and key not in self.confirmed]

    async def confirm(
        self, session_id: str, approval_id: str, decision: str, resolved_by: str | None, note: str | None, at_ms: int
    ) -> None:
        await self._io()
        found = self.standing.get(approval_id)
        if found is not None and approval_id not in self.confirmed:
            self.confirmed.add(approval_id)
            if (found[1].decision, found[1].resolved_by) != (decision, resolved_by):
                ended = Standing(approval_id=approval_id, decision=decision, resolved_by=resolved_by, note=note)
                self.standing[approval_id] = session_id, ended
