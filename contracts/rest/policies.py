"""A village's rules over REST."""

from typing import Annotated

import attrs
import msgspec

from townwatch.contracts.policy import PolicyBody, PolicyRule


@attrs.frozen(kw_only=True)
class PolicyView:
    """A village's rules. `version` 0: none were ever set. Times in ms."""

    version: int
    rules: list[PolicyRule]
    variables: list[str]
    changed_by: str | None = None
    changed_ms: int | None = None


@attrs.frozen(kw_only=True)
class PolicyChange(PolicyBody):
    """`version`: the one that was read; another one in the meantime is a 409. Left out: any is replaced."""

    version: Annotated[int, msgspec.Meta(ge=0)] | None = None


@attrs.frozen(kw_only=True)
class PolicyTrial(PolicyBody):
    """Rules to be tried on the questions of the past. `limit`: how many of the latest."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200


@attrs.frozen(kw_only=True)
class TriedApproval:
    """What the rules would have said to one question, and what was decided then."""

    session_id: str
    approval_id: str
    summary: str
    verdict: str
    rule: str | None
    reason: str
    decision: str | None


@attrs.frozen(kw_only=True)
class PolicyTrialResult:
    """`differ`: a person decided otherwise than the rules would have."""

    allowed: int
    asked: int
    denied: int
    differ: int
    items: list[TriedApproval]
