"""Reading files that an agent may have made, with the rights of the session's user and no others.

With `run_as` the runner has more rights than its sessions. A path below a working tree is the agent's to change at any
moment: a link, or a directory that becomes a link between a check and the use, would lead the runner to files that only
the runner may read. So the kernel decides: a worker thread gives up the runner's rights for the time of the reading.
Credentials are a thread's own on Linux (setfsuid(2), capabilities(7)); elsewhere nothing is read.
"""

import ctypes
import os
import platform
import stat
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from townwatch.runner.account import Account, acting

_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "loongarch64": 159}
"""Numbers of the system call, which is a thread's; the C library's function changes all threads."""
_CAPABILITY_VERSION = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class CannotRead(OSError):
    """This thread cannot give up the runner's rights, so nothing is read."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def as_acting() -> Generator[None]:
    """Have the rights of the acting account in this worker thread; change nothing where there is none.

    Raises:
        CannotRead: The rights cannot be changed here.
    """
    account = acting.get()
    if account is None or os.geteuid() == account.uid:
        yield
        return
    if threading.current_thread() is threading.main_thread():
        raise CannotRead("the main thread keeps its rights; read in a worker thread")
    with _lowered(account):
        yield


@contextmanager
def _lowered(account: Account) -> Generator[None]:
    number = _SETGROUPS.get(platform.machine())
    if _libc is None or number is None:
        raise CannotRead("files of another user's session can be read on Linux only")
    groups, before = os.getgroups(), _capabilities()
    try:
        _set_groups(number, account.groups)
        _change(_libc.setfsgid, account.gid)
        _change(_libc.setfsuid, account.uid)
        _set_effective(before, lowered=True)
        yield
    finally:
        _set_effective(before, lowered=False)
        _change(_libc.setfsuid, os.geteuid())
        _change(_libc.setfsgid, os.getegid())
        _set_groups(number, groups)


def _set_groups(number: int, groups: list[int] | tuple[int, ...]) -> None:
    assert _libc is not None
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(number, len(groups), array) != 0:
        raise CannotRead(ctypes.get_errno(), "the groups cannot be changed")


def _change(function: "ctypes._NamedFuncPointer", wanted: int) -> None:
    """Call setfsuid or setfsgid, which tell of a failure only by what a second call says."""
    function(wanted)
    if function(-1) != wanted:
        raise CannotRead("the user that files are read as cannot be changed")


def _capabilities() -> "ctypes.Array[_Data]":
    assert _libc is not None
    data = (_Data * 2)()
    if _libc.capget(ctypes.byref(_Header(_CAPABILITY_VERSION, 0)), data) != 0:
        raise CannotRead(ctypes.get_errno(), "the capabilities cannot be read")
    return data


def _set_effective(before: "ctypes.Array[_Data]", *, lowered: bool) -> None:
    """Take every capability out of use in this thread, or take those of before into use again."""
    assert _libc is not None
    data = (_Data * 2)()
    for index, was in enumerate(before):
        data[index] = _Data(0 if lowered else was.effective, was.permitted, was.inheritable)
    if _libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION, 0)), data) != 0:
        raise CannotRead(ctypes.get_errno(), "the capabilities cannot be changed")


def read_file(path: Path, offset: int = 0, most: int = -1, *, follow: bool = True) -> bytes:
    """Return up to `most` bytes of a regular file (all with -1). A pipe is not waited for, a device is not touched.

    Raises:
        OSError: It cannot be read, or is no regular file. `follow` False: or is a link.
    """
    with _open_regular(path, 0 if follow else os.O_NOFOLLOW) as file:
        file.seek(offset)
        return file.read(most)


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a regular file. Raises OSError as `read_file` does."""
    with _open_regular(path) as file:
        yield from file


@contextmanager
def _open_regular(path: Path, flags: int = 0) -> Generator[BinaryIO]:
    always = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, always | flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no regular file")
        yield file
