"""A control group (cgroup v2) for each session, where this system lets us make one.

A process cannot leave its group by a new session, by another environment, or by outliving its parent; so a group knows
every process of a session, and the kernel ends them all at once, however fast they multiply. It is there where the
runner's own group may be written to: in a unit with ``Delegate=yes``, below ``systemd-run --user --scope -p
Delegate=yes``, and in most containers with root. Everywhere else there is none, and `processes` finds what it can.
"""

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import attrs

FEATURE = "cgroups"
"""What a runner that has them says in its hello."""
PREFIX = "townwatch-"
_DELEGATED = ("user.delegate", "trusted.delegate")
"""Extended attributes of a group that systemd has given away."""


@attrs.define(eq=False)
class SessionGroup:
    """The group of one session. `entrance`: what a process writes 0 to, to come in; also as another user."""

    directory: Path
    entrance: int

    @property
    def name(self) -> str:
        return self.directory.name

    def enter(self) -> None:
        """Take the calling process in. For a child between fork and exec: a failure leaves it where it is."""
        with suppress(OSError):
            os.write(self.entrance, b"0")

    def begun(self) -> None:
        """The command has been started, or will not be: nothing comes in from outside any more."""
        if self.entrance >= 0:
            os.close(self.entrance)
            self.entrance = -1

    def kill(self) -> None:
        """SIGKILL to all that is in it, another user's as well (Linux 5.14)."""
        with suppress(OSError):
            (self.directory / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Remove it, if nothing lives in it."""
        self.begun()
        remove(self.directory)


def name_for(session_id: str) -> str:
    """Return the name of a session's group: the same for every runner process, and a name that every system takes."""
    return PREFIX + hashlib.sha256(session_id.encode()).hexdigest()[:24]


def make(session_id: str) -> SessionGroup | None:
    """Make the group of a session. None where there can be none."""
    parent = usable()
    if parent is None:
        return None
    directory = parent / name_for(session_id)
    try:
        directory.mkdir(exist_ok=True)
        return SessionGroup(directory, os.open(directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
    except OSError:  # full, or taken away meanwhile
        return None


def names_of(pid: int) -> list[str]:
    """Return the names of the sessions' groups that a process is in, the innermost last: sessions may be nested."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii", errors="replace") as file:
            return [part for part in _unified(file.read()).split("/") if part.startswith(PREFIX)]
    except OSError:
        return []


def kill_left(session_id: str) -> None:
    """End what a killed runner left in a session's group, and remove it, where it is below our own."""
    parent = usable()
    if parent is not None and (directory := parent / name_for(session_id)).is_dir():
        SessionGroup(directory, -1).kill()
        remove(directory)


def remove(directory: Path) -> None:
    """Remove a group and those below it. One in which a process lives stays."""
    with suppress(OSError):
        for below in [one for one in directory.iterdir() if one.is_dir()]:
            remove(below)
        directory.rmdir()


@cache
def usable() -> Path | None:
    """Return the directory of this process's own group, if groups may be made in it; None where there is none."""
    try:
        directory = _own_directory(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
        if directory is None or not _is_ours(directory):
            return None
        trial = directory / f"{PREFIX}trial-{os.getpid()}"
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return None
    return directory


def _own_directory(mounts: str, groups: str) -> Path | None:
    """Return where this process's group is mounted; None where version 2 is not, or not visible from here."""
    own = _unified(groups)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ", 1)[0] != "cgroup2":
            continue
        root, mounted_at = before.split(" ")[3:5]
        if own and ".." not in own.split("/") and Path(own).is_relative_to(root):
            return Path(mounted_at.replace("\\040", " ")) / Path(own).relative_to(root)
    return None


def _unified(groups: str) -> str:
    """Return the path in the hierarchy of version 2; empty where there is none."""
    return next((line[3:] for line in groups.splitlines() if line.startswith("0::")), "")


def _is_ours(directory: Path) -> bool:
    """Return whether groups may be made there. What systemd keeps for itself is not touched, though root could."""
    if not os.access(directory / "cgroup.procs", os.W_OK) or not os.access(directory, os.W_OK):
        return False
    return os.geteuid() != 0 or not Path("/run/systemd/system").is_dir() or _was_given_away(directory)


def _was_given_away(directory: Path) -> bool:
    for place in (directory, *directory.parents):
        for attribute in _DELEGATED:
            with suppress(OSError):
                if os.getxattr(place, attribute) == b"1":
                    return True
    return False
