"""Directories for runner processes beside each other on one machine, each with a spool of its own.

A process holds a lock on its slot for as long as it lives. What a process that was killed, or that ended while the
service was away, left in its slot is told by any other that finds the slot free (`drain_others`).
"""

import fcntl
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import attrs
import structlog
import trio

from townwatch.runner.landing.records import LandRecords
from townwatch.runner.spool.spool import Spool

log = structlog.get_logger("runner")

FIRST_LOOK_SECONDS, LOOK_SECONDS = 1.0, 5.0
"""When, and how often, a runner process looks for slots that others have left."""
DRAIN_SECONDS = 5.0
"""How long such a slot is held at most; what was not sent by then is left for the next look."""
WAIT_SECONDS = 3 * DRAIN_SECONDS
"""How long the owner of a slot waits for a process that drains it."""
_OWNER, _DRAINER = b"runner", b"drain"


class SlotTaken(Exception):
    """Another runner process uses this slot."""


@attrs.frozen
class LeftBehind:
    """What a process that is gone has left: sessions whose end was not told, events that were not sent, orders of
    people whose outcome was not told.
    """

    live: int
    events: int
    orders: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.live or self.events or self.orders)


@attrs.frozen
class Slot:
    """A slot that is ours until `release`."""

    name: str
    directory: Path
    lock: int

    def release(self) -> None:
        os.close(self.lock)

    def left_behind(self) -> LeftBehind:
        """Raises `sqlite3.Error` for a spool that cannot be read."""
        with closing(Spool(self.directory / "spool.db")) as spool:
            live = sum(known.live for known in spool.sessions())
            return LeftBehind(live, spool.size()[0], len(LandRecords(self.directory).unfinished()))


def take_slot(state_dir: Path, wanted: str | None = None) -> Slot:
    """A directory of our own for the spool. What its last owner left behind when it was killed is found there.

    `wanted`: that one, or `SlotTaken` where its owner lives; None: the first free of run-1, run-2 …
    """
    names = [wanted] if wanted else [f"run-{number}" for number in range(1, 1000)]
    deadline = time.monotonic() + WAIT_SECONDS
    for name in names:
        while True:
            slot = _try(state_dir, name, _OWNER)
            if slot is not None:
                return slot
            drained = wanted and _who_has(state_dir / "runner" / name) == _DRAINER
            if not drained or time.monotonic() > deadline:
                break
            time.sleep(0.05)
    raise SlotTaken(f"a runner is running already in {state_dir / 'runner'}; stop it first")


def _try(state_dir: Path, name: str, role: bytes) -> Slot | None:
    directory = state_dir / "runner" / name
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.pwrite(lock, role, 0)
    return Slot(name, directory, lock)


def _who_has(directory: Path) -> bytes:
    try:
        return (directory / "lock").read_bytes()
    except OSError:
        return b""


async def drain_others(state_dir: Path, own: str, drain: Callable[[Slot], Awaitable[bool]]) -> None:
    """Give each slot that is free and holds something to `drain`, again and again, until cancelled. `drain` returns
    whether the slot is empty now: then it is left alone until its spool changes.
    """
    empty: dict[str, int] = {}
    await trio.sleep(FIRST_LOOK_SECONDS)
    while True:
        for name in await trio.to_thread.run_sync(_others, state_dir, own):
            spool = state_dir / "runner" / name / "spool.db"
            if empty.get(name) == _changed_ns(spool):
                continue
            slot = await trio.to_thread.run_sync(_try, state_dir, name, _DRAINER)
            if slot is None:
                continue
            try:
                if await drain(slot):
                    empty[name] = _changed_ns(spool)
            except Exception as error:  # a broken spool is not the others' trouble
                log.warning("slot_not_drained", slot=name, reason=f"{type(error).__name__}: {error}")
            finally:
                slot.release()
        await trio.sleep(LOOK_SECONDS)


def _changed_ns(spool: Path) -> int:
    """Return when the spool or its log was last written (ns)."""
    times = [path.stat().st_mtime_ns for path in (spool, spool.with_name("spool.db-wal")) if path.exists()]
    return max(times, default=0)


def _others(state_dir: Path, own: str) -> list[str]:
    """Slots beside our own that have a spool."""
    names = {spool.parent.name for spool in (state_dir / "runner").glob("*/spool.db")}
    return sorted(names - {own})
