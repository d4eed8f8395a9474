"""Whether files can be kept in a state directory; if not, one line: what, where, what to do. Standard library only."""

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""There may be room later."""
_OTHER = "or choose another --state-dir"
_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)
PROBE_BYTES = 4096


class StateTrouble(NamedTuple):
    """Why no files can be kept there. `line`: for a person. `passes`: it may be over later, as a full disk."""

    line: str
    passes: bool = False


def trouble_with(state: Path, *, make: bool = False) -> StateTrouble | None:
    """Return why files cannot be kept in a state directory; None where they can, or where it is not there. `make`: it
    is made where it is not.
    """
    try:
        at = _nearest(state)
        mode = at.stat().st_mode
    except OSError as error:
        return _trouble(state, state, error)
    if not stat.S_ISDIR(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no directory")
        what = "it is" if at == state else f"{at} is"
        return StateTrouble(f"{state} cannot be the state directory: {what} {kind}; move that away, {_OTHER}")
    if at != state and not make:
        return None
    try:
        if at != state:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
        _probe(state)
    except OSError as error:
        return _trouble(state, _nearest(state), error)
    return None


def _nearest(path: Path) -> Path:
    """Return the path, or what of it is there. Raises OSError."""
    while True:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            if path == path.parent:
                raise
            path = path.parent
        else:
            return path


def _probe(state: Path) -> None:
    """Write a file there, and remove it. Raises OSError."""
    path = state / f".probe.{os.getpid()}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, bytes(PROBE_BYTES))
    finally:
        os.close(file)
        path.unlink(missing_ok=True)


def _trouble(state: Path, at: Path, error: OSError) -> StateTrouble:
    said = error.strerror or str(error)
    advice = advice_for(error, at)
    return StateTrouble(f"{state} cannot be used as the state directory: {said}; {advice}", error.errno in FULL)


def advice_for(error: OSError, at: Path | None = None) -> str:
    """Return what to do about an error of the file system. `at`: the file or directory that it is about."""
    where = at or (Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"{_whose(where)}; run this as the one that it belongs to, give it to {_me()} (chown), {_OTHER}"
        case errno.EROFS:
            return f"the file system is read-only: mount it for writing, {_OTHER}"
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room on that disk, {_OTHER}"
        case errno.ENOTDIR | errno.EEXIST:
            return f"a file is where a directory has to be: move it away, {_OTHER}"
        case errno.EIO | errno.ESTALE:
            return f"the disk does not work: see the kernel's log (dmesg), {_OTHER}"
        case errno.EMFILE | errno.ENFILE:
            return "too many files are open: raise the limit (ulimit -n)"
        case errno.ENOENT:
            return f"no directory can be made there: {_OTHER.removeprefix('or ')}"
        case _:
            return _OTHER.removeprefix("or ")


def _whose(where: Path | None) -> str:
    if where is None:
        return f"{_me()} may not"
    try:
        found = where.stat()
    except OSError:
        return f"{_me()} may not look at {where}"
    return f"{where} belongs to {_name(found.st_uid)} (mode {found.st_mode & 0o777:o}), and this runs as {_me()}"


def _me() -> str:
    return _name(os.geteuid())


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
