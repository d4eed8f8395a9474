"""Passwords of local users: argon2id, off the loop, a few at a time because each takes memory and a core."""

import argon2
import trio

MIN_CHARS = 12
MAX_CHARS = 512

_hasher = argon2.PasswordHasher()  # the library's defaults: RFC 9106's second choice, 64 MiB
_DUMMY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b/dWRWJTmaaJObG1m1L2Tl3Bkc"


MIN_DIFFERENT = 5

_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that show nothing, though Unicode does not call them blanks."""


class WeakPassword(ValueError):
    """Too short, too long, or nothing but blanks or repetition."""


def check_strength(password: str) -> None:
    """Raise `WeakPassword`, with what to do. Blanks may be in a password, and count for nothing."""
    if len(password) > MAX_CHARS:
        raise WeakPassword(f"password: must have at most {MAX_CHARS} characters")
    shown = [one for one in password if one.isprintable() and not one.isspace() and one not in _UNSEEN]
    if len(shown) < MIN_CHARS:
        counted = "; blanks and invisible characters do not count" if len(shown) < len(password) else ""
        raise WeakPassword(f"password: must have at least {MIN_CHARS} characters{counted}")
    if len(set(shown)) < MIN_DIFFERENT:
        raise WeakPassword(f"password: must have at least {MIN_DIFFERENT} different characters")


class Passwords:
    """Hashes and checks. At most `at_once` at a time: the rest waits in line."""

    def __init__(self, at_once: int = 2) -> None:
        self._limiter = trio.CapacityLimiter(at_once)

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises `WeakPassword`."""
        check_strength(password)
        return await trio.to_thread.run_sync(_hasher.hash, password, limiter=self._limiter)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Return True if `password` matches the stored hash. Takes as long for an unknown person (`stored` None)."""
        if len(password) > MAX_CHARS:
            return False
        right = await trio.to_thread.run_sync(_verify, stored or _DUMMY, password, limiter=self._limiter)
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Return True if the hash was made with older parameters: hash the password again at the next sign-in."""
        return _hasher.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
