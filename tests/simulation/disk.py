"""What lasts: the real event log on a memory disk, decisions, and the truth that the invariants are checked against."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from tests.simulation.place import Killed, Place, here
from townwatch.actors.ports import Deciding, Decision, Promise
from townwatch.contracts.link import Command
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog


@attrs.define(eq=False)
class Truth:
    """What is durable, by whichever way it became so. Nothing of the product reads it."""

    spooled: dict[str, list[bytes]] = attrs.field(factory=lambda: defaultdict(list[bytes]))
    """session → the bodies that a runner put on its disk, in order: number n is at n - 1."""
    ungranted: dict[str, list[bytes]] = attrs.field(factory=lambda: defaultdict(list[bytes]))
    """The same of sessions in a village that their runner was not granted: nobody may ever hear of them."""
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
    """`townwatch.actors.ports.Journal` on the real log, with a disk that may refuse before a commit, or after it."""

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

    def load_snapshot(self, key: str) -> Any:
        return self.log.load_snapshot(key)

    def heads(self) -> Any:
        return self.log.heads()

    def load_snapshots(self, prefix: str = "") -> Any:
        return self.log.load_snapshots(prefix)

    def close(self) -> None:
        self.log.close()


async def _io() -> None:
    """A statement to the database: takes time, and has no effect from a process that is dead."""
    place = here.get()
    with trio.CancelScope(shield=True):
        await trio.sleep(place.seconds())
    if place.dead:
        raise Killed(place.name)
    await trio.lowlevel.checkpoint_if_cancelled()


class SimPromises:
    """`townwatch.actors.ports.Promises`: one row a command. Outlives the service."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, str | None, Command]] = {}
        """Open ones: command id → (runner, session, command)."""
        self.done: set[str] = set()

    def keep(self, runner_id: str, command: Command, session_id: str | None) -> None:
        """The row, at once."""
        self.rows.setdefault(command.command_id, (runner_id, session_id, command))

    async def promise(
        self,
        runner_id: str,
        command: Command,
        *,
        expires_ms: int | None = None,
        session_id: str | None = None,
        entry: Any = None,
    ) -> Promise:
        await _io()
        known = command.command_id in self.done
        if not known:
            self.keep(runner_id, command, session_id)
        await _io()
        return Promise(command=command, open=not known)

    async def settle(self, runner_id: str, command_id: str, ok: bool, error: str | None) -> None:
        await _io()
        if self.rows.get(command_id, ("",))[0] == runner_id and self.rows.pop(command_id) and ok:
            self.done.add(command_id)

    async def keep_until(self, runner_id: str, command_id: str, expires_ms: int) -> None:
        await _io()

    async def open_of(self, runner_id: str) -> list[Command]:
        await _io()
        return [command for of, _, command in self.rows.values() if of == runner_id]

    async def void_session(self, session_id: str, why: str) -> None:
        await _io()
        self.rows = {name: row for name, row in self.rows.items() if row[1] != session_id}


class SimDecisions:
    """`townwatch.actors.ports.Decisions`: one row an approval, the first decision stands. Outlives the service."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.promises = SimPromises()
        self.standing: dict[str, tuple[str, Decision]] = {}
        self.confirmed: set[str] = set()

    async def record(
        self,
        approval_id: str,
        session_id: str,
        decision: str,
        resolved_by: str,
        note: str | None,
        at_ms: int,
        deciding: Deciding | None = None,
    ) -> Decision:
        await _io()
        found = self.standing.get(approval_id)
        if found is None:
            standing = Decision(approval_id=approval_id, decision=decision, resolved_by=resolved_by, note=note)
            self.standing[approval_id] = session_id, standing
            self._truth.decisions[approval_id].append((decision, resolved_by))
            if deciding is not None and deciding.command is not None:  # in the same transaction
                self.promises.keep(deciding.runner_id, deciding.command, session_id)
            answer = attrs.evolve(standing, won=True)
        else:
            answer = attrs.evolve(found[1], confirmed=approval_id in self.confirmed)
        await _io()
        return answer

    async def take_back(self, session_id: str, approval_id: str, entry: Any = None) -> bool:
        await _io()
        return False

    def undelivered(self) -> list[tuple[str, Decision]]:
        """What was decided, and its runner has not confirmed."""
        return [row for approval_id, row in self.standing.items() if approval_id not in self.confirmed]

    async def unconfirmed(self, session_id: str) -> list[Decision]:
        await _io()
        rows = self.standing.items()
        return [standing for key, (of, standing) in rows if of == session_id and key not in self.confirmed]

    async def confirm(
        self,
        session_id: str,
        approval_id: str,
        decision: str,
        resolved_by: str | None,
        note: str | None,
        at_ms: int,
        deciding: Deciding | None = None,
    ) -> None:
        await _io()
        found = self.standing.get(approval_id)
        if found is not None and approval_id not in self.confirmed:
            self.confirmed.add(approval_id)
            if (found[1].decision, found[1].resolved_by) != (decision, resolved_by):
                ended = Decision(approval_id=approval_id, decision=decision, resolved_by=resolved_by, note=note)
                self.standing[approval_id] = session_id, ended
