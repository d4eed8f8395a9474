"""Making secrets that are shown once and kept as hashes.

All of them are 256 random bits, so a plain SHA-256 is enough to keep them by: there is nothing to guess.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from townwatch.contracts.faults import FilesDamaged
from townwatch.contracts.files import sync_directory

API_TOKEN = "tw_"
RUNNER_TOKEN = "twr_"
SIGN_IN_CODE = "twc_"
ENROLMENT_CODE = "twe_"
CLIP = "twp_"


def make(prefix: str) -> str:
    """A new secret: the prefix says what it is, and lets a scanner find one that was leaked."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret in hex, which is stored in its place."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def keep_in_file(path: Path, size: int = 32) -> bytes:
    """Return the secret in a file of ours (mode 0600), made at the first call. Raises `FilesDamaged` for one that is
    too short or no secret at all.
    """
    if not path.exists():
        _make(path, secrets.token_bytes(size))
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        found = b""
    if len(found) < size:
        raise FilesDamaged(
            f"{path} is damaged (it holds less than {size} bytes of secret): put it back from a backup, see townwatch"
            " doctor; or remove it to make a new one, with which everyone signs in anew and sealed addresses are lost"
        )
    return found


def replace_file(path: Path, secret: bytes) -> None:
    """Put another secret into the file, all of it or nothing."""
    _make(path, secret, over=True)


def _make(path: Path, secret: bytes, *, over: bool = False) -> None:
    """Write all or nothing, so that a full disk leaves no half of a secret; of two that are made, the first counts.

    `over`: in the place of the one that is there.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        if over:
            os.replace(draft, path)
        else:
            with suppress(FileExistsError):
                os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)
