"""A village's rules over REST."""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.policy import Budget, PolicyBody, PolicyRule


@attrs.frozen(kw_only=True)
class RuleWarning:
    """A rule that can never match: the `field` of it that cannot be met, why, and what to write `instead`."""

    rule: str
    field: str
    why: str
    instead: str


@attrs.frozen(kw_only=True)
class PolicyView:
    """A village's rules. `version` 0: none were ever set. Times in ms. `warnings`: rules that can never match."""

    version: int
    rules: list[PolicyRule]
    variables: list[str]
    budget: Budget | None = None
    """Of each session."""
    changed_by: str | None = None
    changed_ms: int | None = None
    warnings: list[RuleWarning] = attrs.field(factory=list[RuleWarning])


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
    """The rules' answer to a past question, and what was decided then."""

    session_id: str
    approval_id: str
    summary: str
    verdict: str
    rule: str | None
    reason: str
    decision: str | None


@attrs.frozen(kw_only=True)
class PolicyTrialResult:
    """`differ`: a person decided otherwise than the rules would have. `warnings`: rules that can never match."""

    allowed: int
    asked: int
    denied: int
    differ: int
    items: list[TriedApproval]
    warnings: list[RuleWarning] = attrs.field(factory=list[RuleWarning])


@attrs.frozen(kw_only=True)
class RuleQuery:
    """`effect`: what the rule is to answer to such a question."""

    effect: Literal["allow", "deny"] = "allow"


@attrs.frozen(kw_only=True)
class RuleProposal:
    """The narrowest rules for one question, and what they would have decided. Nothing is saved.

    `rules`: none where none can be made, and `whyNot` says why. `version`: of the rules that they are tried with.
    `answers`: how many of the latest questions they answer that the present rules do not; `differ`: of these, how many
    people decided otherwise. `of`: how many were looked at.
    """

    rules: list[PolicyRule]
    version: int
    why_not: str | None = None
    answers: int = 0
    differ: int = 0
    of: int = 0
    items: list[TriedApproval] = attrs.field(factory=list[TriedApproval])
    """Those that they answer."""


@attrs.frozen(kw_only=True)
class RuleSaving:
    """Rules to add to the village's. `version`: the one that they were tried with; another one in the meantime is a
    409. Left out: they are added to what is there.
    """

    rules: Annotated[list[PolicyRule], msgspec.Meta(min_length=1, max_length=20)]
    version: Annotated[int, msgspec.Meta(ge=0)] | None = None
