"""Budgets that sessions share: of a session, an agent, a house, a person or a village, for a day or in all.

A budget is a row of its village. What is left of it is leased to the sessions that use it: each runner has an allowance
for each of its sessions, and holds it by its own count, whether the service is there or not.
"""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError

Scope = Literal["session", "agent", "house", "person", "village"]
Unit = Literal["usd", "tokens", "minutes", "sessions"]
Period = Literal["day", "total"]
Amount = Annotated[float, msgspec.Meta(gt=0, le=1_000_000_000_000)]
BudgetId = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Target = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
MAX_BUDGETS = 100
"""Of one village."""
WARN_SHARE = 0.8
"""From this share on a warning is raised."""
ALL_TIME = "all"
"""The period of a budget that has no end. The others are days of UTC."""


@attrs.frozen(kw_only=True)
class BudgetTerms:
    """Subject and size of a budget. `target`: the id of the session or person, the agent's name or id, the path of the
    house; None: each one has this budget for itself. A village's has none.
    """

    scope: Scope
    unit: Unit
    amount: Amount
    period: Period = "total"
    target: Target | None = None

    def verify(self) -> None:
        """Check what the types alone do not express. Raises `ContractError`."""
        if self.scope == "village" and self.target is not None:
            raise ContractError("target", "a village's budget has none: it is the village that the path names")
        if self.scope == "session" and self.unit == "sessions":
            raise ContractError("unit", "a session is one session: count them for an agent, house, person or village")
        if self.unit in ("tokens", "sessions") and self.amount != int(self.amount):
            raise ContractError("amount", f"{self.unit} are whole numbers")


@attrs.frozen(kw_only=True)
class SharedBudget(BudgetTerms):
    """A budget with its id, as it is sent to runners."""

    budget_id: BudgetId


@attrs.frozen(kw_only=True)
class Spender:
    """A session, as far as budgets tell sessions apart. `agents`: its agent's name and id. None: not known."""

    session_id: str
    agents: tuple[str, ...] = ()
    house: str | None = None
    person: str | None = None


def subject_of(budget: BudgetTerms, spender: Spender) -> str | None:
    """Return for whom the session spends of this budget; None where the budget is not about it. What is not known of a
    session (who started it) has no budget: such a session spends of the village's.
    """
    match budget.scope:
        case "village":
            return ""
        case "session":
            known: tuple[str | None, ...] = (spender.session_id,)
        case "agent":
            known = spender.agents
        case "house":
            known = (spender.house,)
        case "person":
            known = (spender.person,)
    if budget.target is not None:
        return budget.target if budget.target in known else None
    return next((one for one in known if one), None)


@attrs.frozen(kw_only=True)
class Allowance:
    """The lease of one session on what is left of one budget. `cap`: until the session's own count, from its beginning,
    has come to so much. `used`, `of`: of the whole budget in its period, for words. `used_up`: nothing is left to
    lease.
    """

    budget_id: BudgetId
    unit: Unit
    cap: float
    name: str
    """Whose budget, and for how long, in words: ``the village's budget of this day``."""
    used: float = 0
    of: float = 0
    more: float = 0
    """How much an allowed question adds."""
    used_up: bool = False
    held_elsewhere: float = 0
    """What is leased to sessions whose runner is away."""


@attrs.frozen(kw_only=True)
class BudgetNotice:
    """A warning that a session is to raise as an alert, once."""

    alert_id: str
    title: str
    description: str


@attrs.frozen(kw_only=True)
class SessionAllowances:
    session_id: str
    allowances: list[Allowance] = attrs.field(factory=list[Allowance])
    notices: list[BudgetNotice] = attrs.field(factory=list[BudgetNotice])
