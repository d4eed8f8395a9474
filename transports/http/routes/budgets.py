"""Budgets of a village: what its sessions may use together."""

from typing import Any

import attrs

from townwatch.access.policy import Action
from townwatch.contracts import rest
from townwatch.contracts.budgets import BudgetTerms
from townwatch.contracts.codec import ContractError
from townwatch.policy.budgets.leases import period_of
from townwatch.store import audit
from townwatch.store.budgets import rows
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Budgets")
ALL = "/api/villages/{villageId}/budgets"
ONE = f"{ALL}/{{budgetId}}"


@routes.get(ALL, rest.BudgetList, on="village", may=Action.READ)
async def list_budgets(call: Call[None, None]) -> rest.BudgetList:
    """List the budgets of a village, the oldest first, and what is used of each.

    `used` is what the service has heard of. Costs that are not known are in no figure: `unknownSessions` says how many
    sessions have some.
    """
    return rest.BudgetList(items=await call.api.budgets.views(call.path["villageId"]))


@routes.post(
    ALL,
    rest.BudgetView,
    on="village",
    may=Action.MANAGE,
    body=rest.NewBudget,
    status=201,
    fails=(409,),
    audit="budget.make",
)
async def make_budget(call: Call[rest.NewBudget, None]) -> rest.BudgetView:
    """Hold the sessions of a village to a budget, from now on.

    At 80 % a warning is raised. At 100 % the sessions that use it are paused and ask for more; a start that would use
    it is refused (409 E_BUDGET). A day is one of UTC. What was used in the period before the budget was made counts.
    """
    terms = BudgetTerms(**{name: getattr(call.body, name) for name in attrs.fields_dict(BudgetTerms)})
    _check(terms)
    call.notes = {name: value for name, value in attrs.asdict(terms).items() if value is not None}
    village_id = call.path["villageId"]
    try:
        made = await call.api.database.call(rows.add, village_id, terms, call.user_id, call.now_ms, call.entry())
    except rows.TooManyBudgets as error:
        raise ProblemError(409, str(error)) from None
    call.noted = True
    await call.api.budgets.changed(village_id)
    return await _shown(call, made)


@routes.patch(
    ONE, rest.BudgetView, on="village", may=Action.MANAGE, body=rest.BudgetChange, fails=(409,), audit="budget.change"
)
async def change_budget(call: Call[rest.BudgetChange, None]) -> rest.BudgetView:
    """Give a budget another amount, for good. What was added in this period stays added."""
    budget_id, village_id = call.path["budgetId"], call.path["villageId"]
    call.target, call.notes = budget_id[:200], {"amount": call.body.amount}
    known = await call.api.database.read(rows.exists, village_id, budget_id)
    if known is None:
        raise not_found(f"budget {budget_id!r}")
    _check(attrs.evolve(known, amount=call.body.amount))
    await call.api.database.call(rows.change, village_id, budget_id, call.body.amount, call.user_id, call.now_ms)
    await call.api.budgets.changed(village_id)
    return await _shown(call, budget_id)


@routes.delete(ONE, rest.Done, on="village", may=Action.MANAGE, audit="budget.delete")
async def delete_budget(call: Call[None, None]) -> rest.Done:
    """Delete a budget. Sessions that wait for it go on; what was used stays counted."""
    call.target = call.path["budgetId"][:200]
    if not await call.api.database.call(rows.remove, call.path["villageId"], call.path["budgetId"]):
        raise not_found(f"budget {call.target!r}")
    await call.api.budgets.changed(call.path["villageId"])
    return rest.Done()


@routes.post(
    f"{ONE}/raise",
    rest.BudgetView,
    on="village",
    may=Action.MANAGE,
    body=rest.BudgetRaise,
    fails=(409,),
    audit="budget.raise",
)
async def raise_budget(call: Call[rest.BudgetRaise, None]) -> rest.BudgetView:
    """Add to a budget in the period that is now: to this day's, or in all. Sessions that wait for it go on."""
    budget_id, village_id = call.path["budgetId"], call.path["villageId"]
    budget = await call.api.database.read(rows.exists, village_id, budget_id)
    if budget is None:
        raise not_found(f"budget {budget_id!r}")
    each = budget.scope != "village" and budget.target is None
    if each != (call.body.subject is not None):
        wanted = (
            f"each {budget.scope} has this budget for itself: name one" if each else "this budget is about one only"
        )
        raise ProblemError(409, f"subject: {wanted}")
    _check(attrs.evolve(budget, amount=call.body.amount))
    subject = call.body.subject or budget.target or ""
    one = rows.Raise(
        budget_id=budget_id,
        subject=subject,
        period=period_of(budget.period, call.now_ms),
        amount=call.body.amount,
        raised_by=call.user_id,
        raised_ms=call.now_ms,
        from_ms=call.now_ms,
    )
    call.target = budget_id[:200]
    call.notes = {"subject": subject, "period": one.period, "amount": one.amount, "unit": budget.unit}
    await call.api.database.call(_raise, one, call.entry())
    call.noted = True
    await call.api.budgets.changed(village_id)
    return await _shown(call, budget_id)


def _raise(connection: rows.Connection, one: rows.Raise, entry: audit.Entry) -> None:
    rows.add_raise(connection, one)
    audit.add(connection, entry)


def _check(terms: BudgetTerms) -> None:
    try:
        terms.verify()
    except ContractError as error:  # what its fields may be hangs on one another
        raise ProblemError(409, str(error)) from None


async def _shown(call: Call[Any, None], budget_id: str) -> rest.BudgetView:
    found = await call.api.budgets.views(call.path["villageId"])
    view = next((one for one in found if one.budget_id == budget_id), None)
    if view is None:
        raise not_found(f"budget {budget_id!r}")
    return view
