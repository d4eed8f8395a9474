"""`townwatch budget`: what sessions of a village may use together. One request or two to the REST API each."""

import time
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from townwatch.cli.remote import show
from townwatch.cli.remote.client import ServiceClient, Where
from townwatch.cli.remote.named import path_of, village_path
from townwatch.cli.remote.sessions import perform
from townwatch.cli.shared import Number
from townwatch.policy.budgets.pace import clock_of

budget_app = App(name="budget", help="Budgets that sessions of a village share.")
Village = Annotated[str | None, Parameter(help="the village (default: yours, if there is only one)")]
Id = Annotated[str, Parameter(help="its id, or the beginning of it")]
Scope = Literal["session", "agent", "house", "person", "village"]
Unit = Literal["usd", "tokens", "minutes", "sessions"]


@budget_app.command(name="list")
def list_(*, village: Village = None, where: Where | None = None) -> int:
    """List the budgets of a village, and what is used of each."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = (await client.get(await _base(client, village)))["items"]
        if chosen.json:
            show.emit(found)
            return
        rows = [row for one in found for row in _rows(one)]
        show.table(["BUDGET", "OF", "PERIOD", "USED", "STATE", "AT THIS PACE"], rows)

    return perform(where, work)


@budget_app.command(name="set")
def set_(
    scope: Scope,
    amount: Number,
    unit: Unit = "usd",
    *,
    of: str | None = None,
    per: Literal["day", "total"] = "total",
    village: Village = None,
    where: Where | None = None,
) -> int:
    """Make a budget: `townwatch budget set person 20 usd --per day`. For owners of the village.

    Parameters
    ----------
    scope
        whose sessions it is about
    amount
        how much they may use
    unit
        what is counted
    of
        which session, agent, house (its path) or person (user id); left out: each one has it for itself
    per
        a day of UTC, or in all
    """

    async def work(client: ServiceClient, chosen: Where) -> None:
        body = {"scope": scope, "amount": amount, "unit": unit, "period": per}
        made = await client.post(await _base(client, village), body if of is None else body | {"target": of})
        _print(chosen, made)

    return perform(where, work)


@budget_app.command
def change(budget: Id, amount: Number, *, village: Village = None, where: Where | None = None) -> int:
    """Give a budget another amount, for good."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        path = await _path(client, village, budget)
        _print(chosen, await client.ask("PATCH", path, body={"amount": amount}))

    return perform(where, work)


@budget_app.command(name="raise")
def raise_(
    budget: Id, amount: Number, *, of: str | None = None, village: Village = None, where: Where | None = None
) -> int:
    """Add to a budget in the period that is now. Sessions that wait for it go on.

    Parameters
    ----------
    amount
        how much is added
    of
        for whom, where each one has the budget for itself
    """

    async def work(client: ServiceClient, chosen: Where) -> None:
        body: dict[str, Any] = {"amount": amount}
        path = await _path(client, village, budget)
        _print(chosen, await client.post(f"{path}/raise", body if of is None else body | {"subject": of}))

    return perform(where, work)


@budget_app.command
def remove(budget: Id, *, village: Village = None, where: Where | None = None) -> int:
    """Delete a budget. What was used stays counted."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        answer = await client.ask("DELETE", await _path(client, village, budget))
        if chosen.json:
            show.emit(answer)

    return perform(where, work)


async def _base(client: ServiceClient, village: str | None) -> str:
    return f"{await village_path(client, village)}/budgets"


async def _path(client: ServiceClient, village: str | None, wanted: str) -> str:
    """Return the path of one budget. Raises `CommandFailed`."""
    return await path_of(client, await _base(client, village), "budget", "bud_", wanted)


def _rows(one: dict[str, Any]) -> list[list[str]]:
    """Return a line for each of those who have the budget."""
    whose = one["scope"] if one["target"] is None else f"{one['scope']} {show.plain(one['target'])}"
    head = [one["budgetId"], f"{whose}, {_amount(one, one['amount'])}", one["period"]]
    if not one["accounts"]:
        return [[*head, "nothing yet", "ok", ""]]
    return [
        [*head, _used(one, account), account["state"].replace("_", " "), _pace(account)] for account in one["accounts"]
    ]


def _used(one: dict[str, Any], account: dict[str, Any]) -> str:
    each = one["target"] is None and one["scope"] != "village"
    who = f"{show.plain(account['name'])}: " if each else ""
    unknown = account["unknownSessions"]
    more = f", and what {unknown} session(s) without a price cost" if unknown else ""
    return f"{who}{_amount(one, account['used'])} of {_amount(one, account['of'])}{more}"


def _amount(one: dict[str, Any], value: float) -> str:
    return f"{value:.2f} $" if one["unit"] == "usd" else f"{value:.6g} {one['unit']}"


def _pace(account: dict[str, Any]) -> str:
    over = account.get("overAt")
    return "" if over is None else f"over by {clock_of(over, time.time() * 1000)}"


def _print(chosen: Where, made: dict[str, Any]) -> None:
    if chosen.json:
        show.emit(made)
    else:
        for row in _rows(made):
            print("  ".join(cell for cell in row if cell))
