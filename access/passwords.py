"""Passwords of local users: argon2id, off the loop, a few at a time because each takes memory and a core."""

import argon2
import trio

MIN_CHARS = 12
MAX_CHARS = 512

_hasher = argon2.PasswordHasher()  # the library's defaults: RFC 9106's second choice, 64 MiB
_DUMMY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b/dWRWJTmaaJObG1m1L2Tl3Bkc"


class WeakPassword(ValueError):
    """Too short, or too long to be one."""


class Passwords:
    """Hashes and checks. At most `at_once` at a time: the rest waits in line."""

    def __init__(self, at_once: int = 2) -> None:
        self._limiter = trio.CapacityLimiter(at_once)

    async def hash(self, password: str) -> str:
        """What to store. Raises `WeakPassword`."""
        if not MIN_CHARS <= len(password) <= MAX_CHARS:
            raise WeakPassword(f"password: must have {MIN_CHARS} to {MAX_CHARS} characters")
        return await trio.to_thread.run_sync(_hasher.hash, password, limiter=self._limiter)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the one. Takes as long for a person that does not exist (`stored` None)."""
        if len(password) > MAX_CHARS:
            return False
        right = await trio.to_thread.run_sync(_verify, stored or _DUMMY, password, limiter=self._limiter)
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether to hash anew at the next sign-in, with today's parameters."""
        return _hasher.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
