"""`townwatch webhook`: make, test and look after calls to other programs. One request or two to the REST API each."""

from functools import partial
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from townwatch.cli.remote import show
from townwatch.cli.remote.client import SAID_NO, CommandFailed, ServiceClient, Where, part
from townwatch.cli.remote.named import first_attempt, path_of, switched, village_path
from townwatch.cli.remote.sessions import perform
from townwatch.cli.shared import Whole

webhook_app = App(name="webhook", help="Calls to other programs when something happens in a village.")
Kind = Literal["approval.requested", "approval.resolved", "session.ended", "session.failed", "alert.opened"]
DEFAULT_KINDS: tuple[Kind, ...] = ("approval.requested", "session.failed", "alert.opened")
Village = Annotated[str | None, Parameter(help="the village (default: yours, if there is only one)")]
Id = Annotated[str, Parameter(help="its id, or the beginning of it")]


@webhook_app.command(name="list")
def list_(*, village: Village = None, where: Where | None = None) -> int:
    """List the webhooks of a village."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = (await client.get(await _base(client, village)))["items"]
        if chosen.json:
            show.emit(found)
            return
        head = ["WEBHOOK", "STATE", "WAITING", "DEAD", "KINDS", "ADDRESS"]
        show.table(head, [[*_cells(one), " ".join(one["kinds"]), show.plain(one["url"])] for one in found])

    return perform(where, work)


@webhook_app.command
def add(
    address: str,
    *,
    kind: Annotated[tuple[Kind, ...], Parameter(negative=())] = DEFAULT_KINDS,
    name: str = "",
    village: Village = None,
    where: Where | None = None,
) -> int:
    """Call an address from now on. Its secret is printed once: the receiver checks signatures with it.

    Parameters
    ----------
    address
        https://… or http://…
    kind
        what to call about; may be given several times
    name
        what people see
    """

    async def work(client: ServiceClient, chosen: Where) -> None:
        body = {"url": address, "kinds": list(kind), "name": name}
        _print_made(chosen, await client.post(await _base(client, village), body))

    return perform(where, work)


@webhook_app.command
def rotate(webhook: Id, *, overlap_hours: Whole = 24, village: Village = None, where: Where | None = None) -> int:
    """Make a new secret. The one before it signs as well for the hours of the overlap."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        path = await _path(client, village, webhook)
        _print_made(chosen, await client.post(f"{path}/secret", {"overlapHours": overlap_hours}))

    return perform(where, work)


@webhook_app.command
def on(webhook: Id, *, village: Village = None, where: Where | None = None) -> int:
    """Switch a webhook on. What happened while it was off is not told."""
    return _switch(webhook, village, where, enabled=True)


@webhook_app.command
def off(webhook: Id, *, village: Village = None, where: Where | None = None) -> int:
    """Switch a webhook off."""
    return _switch(webhook, village, where, enabled=False)


@webhook_app.command
def remove(webhook: Id, *, village: Village = None, where: Where | None = None) -> int:
    """Delete a webhook, with its messages."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        answer = await client.ask("DELETE", await _path(client, village, webhook))
        if chosen.json:
            show.emit(answer)

    return perform(where, work)


@webhook_app.command
def test(webhook: Id, *, village: Village = None, where: Where | None = None) -> int:
    """Send a message that says it is a test, and say what became of it. Status 1: it was not delivered at once."""

    async def work(client: ServiceClient, chosen: Where) -> int:
        path = await _path(client, village, webhook)
        queued = await client.post(f"{path}/test")
        found = await first_attempt(partial(_delivery, client, path, queued["deliveryId"]))
        if chosen.json:
            show.emit(found)
        else:
            print(_words(found))
        return 0 if found["state"] == "delivered" else SAID_NO

    return perform(where, work)


@webhook_app.command
def deliveries(
    webhook: Id,
    *,
    state: Literal["waiting", "delivered", "dead"] | None = None,
    village: Village = None,
    where: Where | None = None,
) -> int:
    """List the latest messages of a webhook; `--state dead` those that were given up."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        path = f"{await _path(client, village, webhook)}/deliveries"
        if chosen.json:
            show.emit([one async for one in client.pages(path, state=state, limit=100)])
            return
        page = await client.get(path, state=state, limit=100)
        rows = [
            [one["deliveryId"], show.age(one["createdAt"]), one["kind"], str(one["attempts"]), _words(one)]
            for one in page["items"]
        ]
        show.table(["DELIVERY", "AGE", "KIND", "ATTEMPTS", "OUTCOME"], rows)
        if page["next"] is not None:
            print(f"the latest {len(rows)}; the API has the others")

    return perform(where, work)


@webhook_app.command
def resend(
    webhook: Id,
    delivery: Annotated[str, Parameter(help="its id; `dead`: the dead letters, 100 at most")],
    *,
    village: Village = None,
    where: Where | None = None,
) -> int:
    """Send a message again. It keeps its id, so that a receiver knows it."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        path = await _path(client, village, webhook)
        wanted, more = [delivery], ""
        if delivery == "dead":
            page = await client.get(f"{path}/deliveries", state="dead", limit=100)
            wanted = [one["deliveryId"] for one in page["items"]]
            more = "" if page["next"] is None else "; there are more dead letters: say it again"
        for one in wanted:
            await client.post(f"{path}/deliveries/{part(one)}/resend")
        if chosen.json:
            show.emit(wanted)
        else:
            print(f"{len(wanted)} on the way{more}")

    return perform(where, work)


def _switch(webhook: str, village: str | None, where: Where | None, *, enabled: bool) -> int:
    async def work(client: ServiceClient, chosen: Where) -> None:
        answer = await client.ask("PATCH", await _path(client, village, webhook), body={"enabled": enabled})
        if chosen.json:
            show.emit(answer)

    return perform(where, work)


async def _base(client: ServiceClient, village: str | None) -> str:
    """Return the path of a village's webhooks. Raises `CommandFailed`."""
    return f"{await village_path(client, village)}/webhooks"


async def _path(client: ServiceClient, village: str | None, wanted: str) -> str:
    """Return the path of one webhook. Raises `CommandFailed`."""
    return await path_of(client, await _base(client, village), "webhook", "hook_", wanted)


async def _delivery(client: ServiceClient, path: str, delivery_id: str) -> dict[str, Any]:
    async for one in client.pages(f"{path}/deliveries", limit=100):
        if one["deliveryId"] == delivery_id:
            return one
    raise CommandFailed(f"delivery {delivery_id} is not there any more: the webhook was removed meanwhile", SAID_NO)


def _words(one: dict[str, Any]) -> str:
    error = show.plain(one.get("error") or "")
    match one["state"]:
        case "delivered":
            return f"delivered ({one.get('status')})"
        case "dead":
            return f"given up: {error}"
        case _:
            return f"waits; {error}" if error else "waits for its first attempt"


def _cells(one: dict[str, Any]) -> list[str]:
    return [one["webhookId"][:13], switched(one), str(one["waiting"]), str(one["dead"])]


def _print_made(chosen: Where, made: dict[str, Any]) -> None:
    if chosen.json:
        show.emit(made)
    else:
        print(f"{made['webhook']['webhookId']}  secret, shown once: {made['secret']}")
