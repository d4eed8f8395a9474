"""Warnings about budgets: nearly used up, used up soon at this pace, cost not known. Each is said once."""

from collections.abc import Sequence

import attrs

from townwatch.app.budgets.ledger import BudgetAccount
from townwatch.contracts.budgets import WARN_SHARE, BudgetNotice
from townwatch.policy.budgets.leases import end_of, name_of
from townwatch.policy.budgets.pace import SpendingPace, clock_of, pace_of
from townwatch.store.budgets.rows import BudgetWarning

WARN, PACE, UNKNOWN = "warn", "pace", "unknown"


@attrs.frozen
class DueNotices:
    """`new`: to be said. `over`: their reason is gone."""

    new: list[BudgetWarning] = attrs.field(factory=list[BudgetWarning])
    over: list[BudgetWarning] = attrs.field(factory=list[BudgetWarning])


def pace_now(
    account: BudgetAccount, amount: float, known: Sequence[BudgetWarning], now_ms: float
) -> SpendingPace | None:
    """Return the pace of an account; None where too little is known to tell one, and for a number of sessions."""
    if account.budget.unit == "sessions":
        return None
    episode = any(one.kind.startswith(PACE) and one.over_ms is None for one in known)
    return pace_of(account.samples, amount, now_ms, end_of(account.period), open_episode=episode)


def due_notices(
    account: BudgetAccount, amount: float, known: Sequence[BudgetWarning], session_id: str, now_ms: int
) -> DueNotices:
    """Return what is to be said of an account now. `known`: what was said. `session_id`: whose runner is to say it."""
    found = DueNotices()
    kinds = {one.kind for one in known}
    budget = account.budget
    unit = {"usd": "$"}.get(budget.unit, budget.unit)

    def say(kind: str, title: str, description: str) -> None:
        found.new.append(
            BudgetWarning(
                budget_id=budget.budget_id,
                subject=account.subject,
                period=account.period,
                kind=kind,
                session_id=session_id,
                title=title,
                description=description,
                raised_ms=now_ms,
            )
        )

    name = name_of(budget, account.subject)
    warn = f"{WARN}:{amount:g}"
    if account.used >= WARN_SHARE * amount and warn not in kinds:
        say(warn, f"{_capital(name)} is nearly used up", f"{account.used:.4g} of {amount:g} {unit} are used")
    if budget.unit == "usd" and account.unknown and UNKNOWN not in kinds:
        text = f"{account.unknown} session(s) used tokens whose price is not known: what they cost is not counted"
        say(UNKNOWN, f"{_capital(name)} cannot be held in whole", text)
    pace = pace_now(account, amount, known, now_ms)
    episodes = [one for one in known if one.kind.startswith(PACE)]
    standing = [one for one in episodes if one.over_ms is None]
    if pace is not None and pace.over_ms is not None and not standing:
        when = clock_of(pace.over_ms, now_ms)
        text = f"{pace.per_hour:.4g} {unit} an hour, {account.used:.4g} of {amount:g} {unit} are used"
        say(f"{PACE}:{len(episodes) + 1}", f"{_capital(name)}: at this pace over by {when}", text)
    elif standing and (account.used >= amount or (pace is not None and pace.over_ms is None)):
        found.over.extend(standing)
    return found


def notice_of(one: BudgetWarning) -> BudgetNotice:
    """Return a warning as its session's runner raises it."""
    alert_id = ":".join(("budget", one.budget_id, one.period, one.kind))
    return BudgetNotice(alert_id=alert_id, title=one.title[:200], description=one.description)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
