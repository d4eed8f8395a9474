"""What SQLite really asks of the disk, and what a disk may have of it after the power went.

`record` puts a tap into SQLite's default VFS (through ctypes: its table of functions is public API) and notes every
write, truncate and sync, in order, with marks of the caller's between them. It changes the VFS for the whole process,
so it runs in one of its own: ``python -m tests.chaos.power_loss_trace DIRECTORY full|normal``.

`Disk` replays a trace up to a cut. After a sync all that was written to that file before is there. Of what came later
each write is there whole, not at all, or in part, in any combination: that is what a drive with a cache may leave.
"""

import _sqlite3
import ctypes
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import Retention

SECTOR = 512


@attrs.frozen
class Write:
    file: str
    offset: int
    data: bytes


@attrs.frozen
class Truncate:
    file: str
    size: int


@attrs.frozen
class Sync:
    file: str


@attrs.frozen
class Delete:
    file: str


@attrs.frozen
class Mark:
    """The caller got its answer: `heads` (session → last_seq) is acknowledged from here on."""

    heads: dict[str, int]


Op = Write | Truncate | Sync | Delete | Mark


# --- the tap ---------------------------------------------------------------------------------------------------------


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3 (https://sqlite.org/c3ref/io_methods.html)."""

    _fields_ = [("version", ctypes.c_int)] + [
        (name, ctypes.c_void_p)
        for name in (
            "close read write truncate sync size lock unlock check control sector device"
            " shm_map shm_lock shm_barrier shm_unmap fetch unfetch"
        ).split()
    ]


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """The head of sqlite3_vfs (https://sqlite.org/c3ref/vfs.html), as far as we need it."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("size", ctypes.c_int),
        ("max_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
    ]


_FILE = ctypes.c_void_p
_NAME = ctypes.c_void_p  # and no c_char_p, which would hand on a copy: SQLite keeps the pointer for the file's life
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _NAME, _FILE, ctypes.c_int, ctypes.POINTER(ctypes.c_int))
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _NAME, ctypes.c_int)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_int)


class Tap:
    """Notes what goes through the default VFS from now on, in this process, for ever."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # ctypes callbacks that SQLite holds pointers to must never be collected
        self._patched: dict[int, Any] = {}
        library = ctypes.CDLL(_sqlite3.__file__)  # finds the very SQLite that the module uses, linked in or beside it
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        vfs = library.sqlite3_vfs_find(None).contents
        self._open, self._delete = _OPEN(vfs.open), _DELETE(vfs.delete)
        for field, callback in (("open", _OPEN(self._on_open)), ("delete", _DELETE(self._on_delete))):
            self._kept.append(callback)
            setattr(vfs, field, ctypes.cast(callback, ctypes.c_void_p).value)

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:
        code = self._open(vfs, name, file, flags, out)
        if code == 0 and name is not None:
            self._names[file] = _file_name(name)
            handle = ctypes.cast(file, ctypes.POINTER(_File)).contents
            handle.methods = ctypes.pointer(self._tapped(handle.methods.contents))
        return code

    def _on_delete(self, vfs: int, name: int, sync: int) -> int:
        self.ops.append(Delete(_file_name(name)))
        return self._delete(vfs, name, sync)

    def _tapped(self, original: _Methods) -> _Methods:
        """A copy of a file's function table with three functions replaced."""
        key = ctypes.addressof(original)
        if key in self._patched:
            return self._patched[key]
        copy = _Methods.from_buffer_copy(original)
        write, truncate, sync = _WRITE(original.write), _TRUNCATE(original.truncate), _SYNC(original.sync)

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            self.ops.append(Write(self._names[file], offset, ctypes.string_at(data, size)))
            return write(file, data, size, offset)

        def on_truncate(file: int, size: int) -> int:
            self.ops.append(Truncate(self._names[file], size))
            return truncate(file, size)

        def on_sync(file: int, flags: int) -> int:
            self.ops.append(Sync(self._names[file]))
            return sync(file, flags)

        for field, kind, function in (
            ("write", _WRITE, on_write),
            ("truncate", _TRUNCATE, on_truncate),
            ("sync", _SYNC, on_sync),
        ):
            callback = kind(function)
            self._kept.append(callback)
            setattr(copy, field, ctypes.cast(callback, ctypes.c_void_p).value)
        self._patched[key] = copy
        self._patched[ctypes.addressof(copy)] = copy
        return copy


def _file_name(pointer: int) -> str:
    return Path(ctypes.string_at(pointer).decode()).name


# --- what a cut leaves ------------------------------------------------------------------------------------------------


@attrs.define
class Disk:
    """Files after a loss of power: `durable` for sure, `cached` by chance."""

    durable: dict[str, bytearray] = attrs.field(factory=dict)
    cached: dict[str, list[Write | Truncate]] = attrs.field(factory=dict)
    acknowledged: dict[str, int] = attrs.field(factory=dict)

    def apply(self, op: Op) -> None:
        match op:
            case Write(file=file) | Truncate(file=file):
                self.cached.setdefault(file, []).append(op)
            case Sync(file=file):
                content = self.durable.setdefault(file, bytearray())
                for change in self.cached.pop(file, []):
                    _apply(content, change)
            case Delete(file=file):  # SQLite deletes a WAL only when the database has all of it, synced
                self.durable.pop(file, None)
                self.cached.pop(file, None)
            case Mark(heads=heads):
                self.acknowledged = heads

    def after_cut(self, choose: random.Random) -> dict[str, bytes]:
        """One of the states that the disk may be in."""
        files = {name: bytearray(content) for name, content in self.durable.items()}
        for name, changes in self.cached.items():
            content = files.setdefault(name, bytearray())
            survival = choose.choice((0.0, 0.5, 0.9, 1.0))
            for change in changes:
                if choose.random() < survival:
                    _apply(content, _torn(change, choose))
        return {name: bytes(content) for name, content in files.items()}


def _apply(content: bytearray, change: Write | Truncate) -> None:
    match change:
        case Write(offset=offset, data=data):
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        case Truncate(size=size):
            del content[size:]


def _torn(change: Write | Truncate, choose: random.Random) -> Write | Truncate:
    """Most often the whole of it; else up to a sector, or to any byte, or with a sector of garbage."""
    if isinstance(change, Truncate) or choose.random() < 0.8:
        return change
    data = bytearray(change.data)
    match choose.randrange(3):
        case 0:
            del data[choose.randrange(len(data) // SECTOR + 1) * SECTOR :]
        case 1:
            del data[choose.randrange(len(data)) :]
        case _:
            start = choose.randrange(len(data))
            data[start : start + SECTOR] = choose.randbytes(len(data[start : start + SECTOR]))
    return attrs.evolve(change, data=bytes(data))


# --- the workload -----------------------------------------------------------------------------------------------------


def work(directory: Path, synchronous: str, mark: Callable[[dict[str, int]], None], seed: int = 7) -> None:
    """A log's life: batches of all sizes in several sessions, checkpoints, retention, vacuum, a restart."""
    choose = random.Random(seed)
    seqs = dict.fromkeys(("a", "b", "c"), 0)
    for _ in range(2):
        with EventLog.open(directory / "journal.db", synchronous=synchronous, reserve_bytes=0) as log:  # type: ignore[arg-type]
            for step in range(60):
                batch: list[LogRecord] = []
                for _ in range(choose.choice((1, 1, 5, 40))):
                    session = choose.choice(list(seqs))
                    seqs[session] += 1
                    body = choose.randbytes(choose.choice((20, 300, 5000)))
                    batch.append(LogRecord(session, seqs[session], "demo", "TERMINAL_CHUNK", 1.0, body))
                log.append(batch)
                mark({name: seq for name, seq in seqs.items() if seq})
                if step % 13 == 12:
                    log.checkpoint()
                if step == 45:
                    log.retain("demo", Retention(max_bytes=400_000))
                    log.vacuum()


def record(directory: Path, synchronous: str) -> list[Op]:
    """The trace of one such life. For a process of its own."""
    tap = Tap()
    work(directory, synchronous, lambda heads: tap.ops.append(Mark(heads)))
    return tap.ops


if __name__ == "__main__":
    sys.stdout.buffer.write(
        pickle.dumps([(*attrs.astuple(op), type(op).__name__) for op in record(Path(sys.argv[1]), sys.argv[2])])
    )
