"""`townwatch channel`: how one is called. One request or two to the REST API each."""

from functools import partial
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from townwatch.cli.remote import show
from townwatch.cli.remote.client import SAID_NO, CommandFailed, ServiceClient, Where
from townwatch.cli.remote.named import first_attempt, path_of, switched
from townwatch.cli.remote.sessions import perform
from townwatch.cli.shared import Whole

channel_app = App(name="channel", help="Say how you are called when something needs you.")
Form = Literal["mail", "ntfy", "slack", "teams"]
Kind = Literal[
    "approval.requested",
    "approval.escalated",
    "approval.resolved",
    "session.ended",
    "session.failed",
    "alert.opened",
]
Id = Annotated[str, Parameter(help="its id, or the beginning of it")]
ALL = "/api/me/channels"


@channel_app.command(name="list")
def list_(*, where: Where | None = None) -> int:
    """List the channels that call you. Browsers are added in their own page, under Calls."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = (await client.get(ALL))["items"]
        if chosen.json:
            show.emit(found)
            return
        rows = [
            [one["channelId"][:13], one["form"], _state(one), " ".join(one["kinds"]), show.plain(one["shown"])]
            for one in found
        ]
        show.table(["CHANNEL", "FORM", "STATE", "KINDS", "ADDRESS"], rows)

    return perform(where, work)


@channel_app.command
def add(
    form: Form,
    address: str,
    *,
    kind: Annotated[tuple[Kind, ...], Parameter(negative=())] = (),
    name: str = "",
    topic_token: str = "",
    after_seconds: Whole = 0,
    where: Where | None = None,
) -> int:
    """Be called from now on. An e-mail address is sent a code first: `townwatch channel confirm` takes it.

    Parameters
    ----------
    form
        mail, ntfy, slack or teams
    address
        the e-mail address, the topic's address (https://ntfy.sh/topic), or the incoming webhook's
    kind
        what to call about; may be given several times
    name
        what you see in the list
    topic_token
        of a protected ntfy topic
    after_seconds
        how long an approval waits for an answer before it calls here
    """

    async def work(client: ServiceClient, chosen: Where) -> None:
        body: dict[str, Any] = {"form": form, "address": address, "name": name, "afterSeconds": after_seconds}
        body |= {"kinds": list(kind)} if kind else {}
        body |= {"token": topic_token} if topic_token else {}
        made = await client.post(ALL, body)
        if chosen.json:
            show.emit(made)
        else:
            print(f"{made['channelId']}  {_state(made)}")

    return perform(where, work)


@channel_app.command
def confirm(channel: Id, code: str, *, where: Where | None = None) -> int:
    """Bring back the code that was sent to an e-mail address."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = await client.post(f"{await _path(client, channel)}/confirm", {"code": code})
        if chosen.json:
            show.emit(found)

    return perform(where, work)


@channel_app.command
def test(channel: Id, *, where: Where | None = None) -> int:
    """Send a call that says it is a test, and say what became of it. Status 1: it was not delivered at once."""

    async def work(client: ServiceClient, chosen: Where) -> int:
        path = await _path(client, channel)
        queued = await client.post(f"{path}/test")
        found = await first_attempt(partial(_call, client, path.rpartition("/")[2], queued["deliveryId"]))
        if chosen.json:
            show.emit(found)
        else:
            error = show.plain(found.get("error") or "")
            print("delivered" if found["state"] == "delivered" else f"{found['state']}: {error}".rstrip(": "))
        return 0 if found["state"] == "delivered" else SAID_NO

    return perform(where, work)


@channel_app.command
def remove(channel: Id, *, where: Where | None = None) -> int:
    """Be called there no more. Links that were sent there are good for nothing any more."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        answer = await client.ask("DELETE", await _path(client, channel))
        if chosen.json:
            show.emit(answer)

    return perform(where, work)


async def _path(client: ServiceClient, wanted: str) -> str:
    """Return the path of one channel. Raises `CommandFailed`."""
    return await path_of(client, ALL, "channel", "chan_", wanted)


async def _call(client: ServiceClient, channel_id: str, delivery_id: str) -> dict[str, Any]:
    """Return one call of a channel. Raises `CommandFailed`."""
    async for one in client.pages("/api/me/calls", channelId=channel_id, limit=100):
        if one["deliveryId"] == delivery_id:
            return one
    raise CommandFailed("the test is not there any more: the channel was removed meanwhile", SAID_NO)


def _state(one: dict[str, Any]) -> str:
    if not one["confirmed"]:
        return "waits for the code that was sent there"
    return switched(one)
