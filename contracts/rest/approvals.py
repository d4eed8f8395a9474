"""Approvals: agents' requests and people's decisions."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError
from townwatch.contracts.events import ApprovalRequest, Decision, Id
from townwatch.contracts.policy import AnswerTerms
from townwatch.contracts.rest.shared import Cursor, Limit, Note


@attrs.frozen(kw_only=True)
class ApprovalQuery:
    """`state`: what waits for a decision, or what was decided."""

    village_id: Id | None = None
    state: Literal["waiting", "decided"] = "waiting"
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class Outcome:
    """The end of an approval at its runner, where that is not what was decided: the session had ended, or it was
    answered where it was asked.
    """

    decision: Decision
    resolved_by: str | None = None
    note: str | None = None


@attrs.frozen(kw_only=True)
class AnswerView(AnswerTerms):
    """People who may allow an approval that waits. `needed`: how many people it takes, one more than `people` where the
    terms are about who started the session and that is not known. `allowedBy`: the names of those who have.
    """

    needed: int
    allowed_by: list[str]
    rules: list[str]


@attrs.frozen(kw_only=True)
class PendingApproval(ApprovalRequest):
    """An approval, and the session it belongs to. Of a decided one also who decided what and when, and
    `confirmedAt`: when the runner said that it ended; left out while the decision is on its way. `releaseAt`: when a
    held allow goes to its runner; until then it can be taken back.
    """

    agent_id: str
    village_id: str
    confirmed_at: float | None = None
    release_at: int | None = None
    outcome: Outcome | None = None
    answer: AnswerView | None = None
    """Of one that waits: who may allow it, where a rule says so."""


@attrs.frozen(kw_only=True)
class ApprovalList:
    items: list[PendingApproval]
    next: str | None


@attrs.frozen(kw_only=True)
class DecisionBody:
    """`optionId`, `answers`: of what the request offers (context.options, context.questions). `updatedInput`: the
    tool's input as it is to run. `stop`, with deny: end the session, too. A denial alone is about the one call.
    """

    decision: Decision
    note: Note | None = None
    stop: bool = False
    """With deny: end the session, too. A denial alone is about the one call."""
    option_id: Id | None = None
    answers: dict[str, Any] | None = None
    updated_input: Any = None
    hold_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0
    """With allow: how long the service keeps it back. Until then it can be taken back; the agent gets it after that."""

    def check(self) -> None:
        """Raises `ContractError`."""
        if self.stop and self.decision == "allow":
            raise ContractError("stop", "belongs to a denial, and this decision allows")
        if self.hold_ms and self.decision == "deny":
            raise ContractError("holdMs", "belongs to an allow, and this decision denies: a denial is not held")

    def check_for(self, request: ApprovalRequest) -> None:
        """A yes without an answer answers no question. Raises `ContractError`."""
        if self.decision == "allow" and request.category == "question" and not (self.answers or self.option_id):
            raise ContractError("answers", "is required to answer a question: {question: answer}, or give optionId")


@attrs.frozen(kw_only=True)
class DecisionMade:
    """`releaseAt`: when a held allow goes to its runner, by the service's clock; null: it is on its way. `needed`: it
    waits for the allow of more people, so many in all; `allowedBy` has allowed it so far.
    """

    ok: bool = True
    release_at: int | None = None
    needed: int | None = None
    allowed_by: list[str] | None = None
