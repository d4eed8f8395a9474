"""What the rules say of an act by hand, as a refusal: denied, or to be confirmed where no question can wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from townwatch.contracts.landing import CONFIRM, DENIED, LandOrder, RuleSaid
from townwatch.runner.session.lifecycle import NotPossible

if TYPE_CHECKING:
    from townwatch.policy.village import PolicyDecision


class RuleRefused(NotPossible):
    """A rule denies it, or wants people that nothing can ask now. `details`: a `RuleSaid`."""

    def __init__(self, message: str, code: str, said: RuleSaid) -> None:
        super().__init__(message)
        self.code = code
        self.details = said


def check_confirmed(order: LandOrder, found: PolicyDecision) -> None:
    """Check that the person who asks has answered the rule, and that its terms let them: in a session that has ended no
    question can wait for others. Raises `RuleRefused`.
    """
    said, asker = RuleSaid(rule=found.rule, why=found.reason[:500]), order.asker
    named = f"the rule {found.rule}" if found.rule is not None else f"what the rules say ({found.reason})"
    terms = found.terms
    if terms is not None:
        wants = [
            *([f"{terms.people} people"] if terms.people > 1 else []),
            *(
                ["another person than the one who started it"]
                if terms.not_starter and asker.started is not False
                else []
            ),
            *(["an owner"] if terms.role == "owner" and not asker.owner else []),
            *(["a person who has signed in"] if terms.human and not asker.signed_in else []),
        ]
        if wants:
            ask = "in a session that has ended no question can wait: do it in its repository"
            raise RuleRefused(f"{named} wants {', '.join(wants)}, and {ask}", DENIED, said)
    if asker.confirms is None or asker.confirms != (found.rule or ""):
        raise RuleRefused(f"{named} asks a person: confirm it", CONFIRM, said)
