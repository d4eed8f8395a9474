"""Errors of supervisors: refused requests, failed starts, limits."""

from typing import Any, Literal

from townwatch.runtime import Shutdown

Code = Literal["already_started", "already_present", "not_found", "running", "restarting", "stopping"]


class ChildError(Exception):
    """A request that the child's state does not allow. code: OTP's word for why; id: which child."""

    def __init__(self, code: Code, id: str) -> None:
        super().__init__(f"child {id!r}: {code.replace('_', ' ')}")
        self.code = code
        self.id = id


class StartFailed(Shutdown):
    """Exit reason of a supervisor one of whose first children did not start: OTP's failed_to_start_child."""

    def __init__(self, id: str, reason: BaseException) -> None:
        super().__init__(f"child {id!r} did not start: {type(reason).__name__}: {reason}")
        self.id = id
        self.reason = reason


class MaxIntensity(Shutdown):
    """Exit reason of a supervisor that gave up: more restarts than `intensity` within `period` seconds."""

    def __init__(self, child: str, restarts: int, period: float) -> None:
        super().__init__(f"gave up after {restarts} failures within {period:g} s, the last by child {child!r}")
        self.child = child


class LimitReached(Exception):
    """An admission refused by a limit.

    limit: the name of the limit; key: whose; current: how many there are; allowed: how many there may be;
    retry_after: seconds after which it may succeed, None when time alone does not help.
    """

    def __init__(self, limit: str, key: Any, current: float, allowed: float, retry_after: float | None = None) -> None:
        retry = "" if retry_after is None else f", try again in {retry_after:.3g} s"
        whose = "" if key is None else f" for {key!r}"
        super().__init__(f"limit {limit!r}{whose}: {current:g} of {allowed:g}{retry}")
        self.limit, self.key, self.current, self.allowed, self.retry_after = limit, key, current, allowed, retry_after


class TooManyChildren(LimitReached):
    """A refusal because `max_children`, or the maximum of one key, is reached."""


class RateLimited(LimitReached):
    """A refusal because the key's token bucket is empty."""
