"""What a supervisor answers when it cannot do what it was asked."""

from typing import Any, Literal

from actors.runtime import Shutdown

Code = Literal["already_started", "already_present", "not_found", "running", "restarting", "stopping"]


class ChildError(Exception):
    """The child's state does not allow it. code: OTP's word for why; id: which child."""

    def __init__(self, code: Code, id: str) -> None:
        super().__init__(f"child {id!r}: {code.replace('_', ' ')}")
        self.code = code
        self.id = id


class StartFailed(Shutdown):
    """A supervisor ends with this when one of its first children does not start: OTP's failed_to_start_child."""

    def __init__(self, id: str, reason: BaseException) -> None:
        super().__init__(f"child {id!r} did not start: {type(reason).__name__}: {reason}")
        self.id = id
        self.reason = reason


class MaxIntensity(Shutdown):
    """A supervisor gave up: more restarts than `intensity` within `period` seconds. Its parent decides what next."""

    def __init__(self, child: str, restarts: int, period: float) -> None:
        super().__init__(f"gave up after {restarts} failures within {period:g} s, the last by child {child!r}")
        self.child = child


class Refused(Exception):
    """An admission was refused by a limit.

    limit: the name of the limit; key: whose; current: how many there are; allowed: how many there may be;
    retry_after: seconds after which it may succeed, None when time alone does not help.
    """

    def __init__(self, limit: str, key: Any, current: float, allowed: float, retry_after: float | None = None) -> None:
        retry = "" if retry_after is None else f", try again in {retry_after:.3g} s"
        whose = "" if key is None else f" for {key!r}"
        super().__init__(f"limit {limit!r}{whose}: {current:g} of {allowed:g}{retry}")
        self.limit, self.key, self.current, self.allowed, self.retry_after = limit, key, current, allowed, retry_after


class TooManyChildren(Refused):
    """`max_children`, or the maximum of one key, is reached."""


class RateLimited(Refused):
    """The key's token bucket is empty."""
