"""Making secrets that are shown once and kept as hashes.

All of them are 256 random bits, so a plain SHA-256 is enough to keep them by: there is nothing to guess.
"""

import hashlib
import os
import secrets
from pathlib import Path

from store.log_schema import sync_directory

API_TOKEN = "tw_"
RUNNER_TOKEN = "twr_"
SIGN_IN_CODE = "twc_"
ENROLMENT_CODE = "twe_"


def make(prefix: str) -> str:
    """A new secret: the prefix says what it is, and lets a scanner find one that was leaked."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def keep_in_file(path: Path, size: int = 32) -> bytes:
    """The secret in a file of ours (mode 0600), made at the first call. Raises ValueError for one that is too short."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
        if len(found) < size:
            raise ValueError(f"{path}: holds less than {size} bytes of secret; remove it to make a new one") from None
        return found
    made = secrets.token_bytes(size)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(made.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)
    return made
