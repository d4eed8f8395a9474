"""Exit status of a process that is not our child: from the kernel where it says so, without tracing anything.

A zombie's exit status is in ``/proc/PID/stat``; of a process that its parent has waited for, Linux 6.15 and later tell
it to who holds a pidfd. Where neither is to be had, the status is not known.
"""

import fcntl
import os
import struct
from contextlib import suppress

import trio

_GET_INFO = 0xC040FF0B
"""PIDFD_GET_INFO: _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)."""
_WANTS_EXIT, _EXIT_OFFSET, _INFO_BYTES = 1 << 3, 60, 64
_LOOK_SECONDS, _LOOKS = 0.02, 25
"""A parent takes a moment to wait for its child."""


class ProcessExit:
    """The end of one process. `close` it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        """As a shell says it; None while it is not known."""
        self._descriptor: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._descriptor = os.pidfd_open(pid)

    async def wait(self) -> int | None:
        """Wait for its end. Return its status as a shell says it, None where that cannot be known."""
        if self._descriptor is None:
            while _alive(self.pid):  # noqa: ASYNC110 - a system without pidfds has no event for it
                await trio.sleep(0.1)
            return None
        await trio.lowlevel.wait_readable(self._descriptor)
        for _ in range(_LOOKS):
            status = _from_stat(self.pid) if self._is_zombie() else self._from_info()
            if status is not None:
                self.status = os.waitstatus_to_exitcode(status)
                self.status = self.status if self.status >= 0 else 128 - self.status
                break
            await trio.sleep(_LOOK_SECONDS)
        return self.status

    def _is_zombie(self) -> bool:
        """Return whether the id still belongs to this process: its parent has not waited for it yet."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] == b"Z"
        except OSError:
            return False

    def _from_info(self) -> int | None:
        info = bytearray(struct.pack("Q", _WANTS_EXIT).ljust(_INFO_BYTES, b"\0"))
        try:
            fcntl.ioctl(self._descriptor or -1, _GET_INFO, info)
        except OSError:
            return None
        (mask,) = struct.unpack_from("Q", info)
        return struct.unpack_from("i", info, _EXIT_OFFSET)[0] if mask & _WANTS_EXIT else None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _from_stat(pid: int) -> int | None:
    """The kernel shows 0 to who may not see it, which is no answer: then it is not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[49]) if fields[0] == b"Z" and _is_ours(pid) else None


def _is_ours(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid() or os.geteuid() == 0
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
