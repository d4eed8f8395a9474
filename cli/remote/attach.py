"""`townwatch attach` and `townwatch logs`: a session's terminal in this one, and what it has shown so far."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from townwatch.cli.remote import show
from townwatch.cli.remote.client import CommandFailed, ServiceClient, Where, part
from townwatch.cli.remote.sessions import SESSIONS, WHICH, find_session, perform

LOOK_SECONDS = 0.5


def attach(
    session: Annotated[str | None, WHICH] = None,
    *,
    watch: Annotated[bool, Parameter(help="only look: keys are not sent", negative=())] = False,
    where: Where | None = None,
) -> int:
    """Show a session's terminal here, and type into it. Ctrl+] leaves it running.

    Returns the session's own status when it ends meanwhile. Lost connections are made again.
    """

    async def work(client: ServiceClient, chosen: Where) -> int:
        found = await find_session(client, session)
        if found["state"] in ("COMPLETED", "FAILED"):
            raise CommandFailed(
                f"session {found['sessionId'][:8]} has ended ({found['state']}); townwatch logs shows it", 1
            )
        from townwatch.cli.remote.attached import Attached

        return await Attached(client, found, watch=watch, as_json=chosen.json).run()

    return perform(where, work)


def logs(
    session: Annotated[str | None, WHICH] = None,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="go on until it ends", negative=())] = False,
    raw: Annotated[
        bool, Parameter(help="with its colours and movements, as far as they only draw", negative=())
    ] = False,
    where: Where | None = None,
) -> int:
    """Print what a session's terminal has shown, or with --json all of its events, one a line."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        import trio

        from townwatch.contracts.vt.filter import ViewerFilter
        from townwatch.contracts.vt.words import Words

        found = await find_session(client, session)
        path = f"{SESSIONS}/{part(found['sessionId'])}/events"
        after, drawn = 0, ViewerFilter() if raw else Words()
        while True:
            page = await client.get(path, after=after, limit=1000)
            for event in page["items"]:
                after = max(after, event["seq"])
                if chosen.json:
                    print(show.json.dumps(event, ensure_ascii=False))
                elif event["type"] == "TERMINAL_CHUNK":
                    sys.stdout.write(drawn.feed(event["data"]))
                if event["type"] == "SESSION_ENDED":
                    found["state"] = "COMPLETED"
            sys.stdout.flush()
            if page["next"] is None and (not follow or found["state"] in ("COMPLETED", "FAILED")):
                return
            if page["next"] is None:
                await trio.sleep(LOOK_SECONDS)

    return perform(where, work)


def add_to(app: App) -> None:
    """Register the commands of this module."""
    app.command(attach)
    app.command(logs)
