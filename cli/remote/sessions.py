"""Sessions from the command line: look, start, prompt, decide, stop. One request or two to the REST API each."""

import sys
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from townwatch.cli.base import unknown_option
from townwatch.cli.remote import show
from townwatch.cli.remote.client import SAID_NO, CommandFailed, ServiceClient, Where, connect, part
from townwatch.cli.shared import Number, Whole, complain, run_async

SESSIONS = "/api/runner/sessions"
BUSY = {"WAITING_FOR_APPROVAL": "waits for you", "PAUSED_BY_HUMAN": "paused"}
WHICH = Parameter(help="its id or the beginning of it, or the agent's name (default: the only live one)")
APPROVAL = Parameter(help="its id or the beginning of it, or SESSION/ID; left out, what waits is listed")


def perform(where: Where | None, work: Callable[[ServiceClient, Where], Awaitable[int | None]]) -> int:
    """Connect, do the work, and return the exit status; a refusal is one line on standard error."""
    chosen = where or Where()

    async def run() -> int:
        return await work(await connect(chosen), chosen) or 0

    try:
        return run_async(run)
    except CommandFailed as refused:
        complain(str(refused))
        return refused.status
    except KeyboardInterrupt:
        return 130


async def find_session(client: ServiceClient, wanted: str | None) -> dict[str, Any]:
    """Return the session that is meant: by id, by the beginning of an id, by its agent's id or name.

    A live one comes before those that have ended. Raises `CommandFailed`.
    """
    if wanted is not None and len(wanted) >= 32:
        with suppress(CommandFailed):
            return await client.get(f"{SESSIONS}/{part(wanted)}")
    for live in (True, False):
        found = [one async for one in client.pages(SESSIONS, live=live)]
        if wanted is None:
            fitting = found if live else []
        else:
            fitting = [one for one in found if wanted in (one["sessionId"], one["agentId"], one["agentName"])]
            fitting = fitting or [one for one in found if wanted and one["sessionId"].startswith(wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if len(fitting) > 1:
            names = ", ".join(f"{one['sessionId'][:8]} ({one['agentName']})" for one in fitting[:6])
            raise CommandFailed(f"which session? {names}{' …' if len(fitting) > 6 else ''}")
    if wanted is None:
        raise CommandFailed("no session is live; start one with townwatch start or townwatch run", SAID_NO)
    raise CommandFailed(f"no session {wanted!r}; townwatch ls --all shows those that you may see", SAID_NO)


def status(*, where: Where | None = None) -> int:
    """Say whether the service is well, who you are there, and how much is going on. Status 1: it is not ready."""

    async def work(client: ServiceClient, chosen: Where) -> int:
        about, me = await client.get("/api/status"), await client.get("/api/me")
        ready: dict[str, Any] = {"ready": True, "warnings": []}
        try:
            ready = await client.get("/readyz")
        except CommandFailed as refused:
            ready = {"ready": False, "warnings": [], "reasons": str(refused)}
        live = [one async for one in client.pages(SESSIONS, live=True)]
        waiting = [one async for one in client.pages("/api/approvals")]
        runners = [one async for one in client.pages("/api/runners")]
        online = sum(one["status"] == "online" for one in runners)
        if chosen.json:
            counts = {"sessions": len(live), "approvals": len(waiting), "runners": len(runners), "online": online}
            show.emit({"url": client.url, "service": about, "ready": ready, "me": me, "counts": counts})
            return 0 if ready["ready"] else SAID_NO
        up = show.age(about["startedAt"])
        print(f"{client.url}  Townwatch {about['version']}, up for {up}, {'ready' if ready['ready'] else 'NOT READY'}")
        for line in [ready.get("reasons"), *ready["warnings"]]:
            if line:
                print(f"  {line}")
        print(f"signed in as {me['name']}{' (administrator)' if me['admin'] else ''}")
        ready_runners = f"{online} of {len(runners)} runners take new work"
        print(f"{len(live)} live sessions, {len(waiting)} approvals wait, {ready_runners}")
        if waiting:
            print("townwatch approve lists what waits")
        return 0 if ready["ready"] else SAID_NO

    return perform(where, work)


def ls(
    *,
    all: Annotated[bool, Parameter(help="also those that have ended", negative=())] = False,
    village: Annotated[str | None, Parameter(help="only those of this village")] = None,
    where: Where | None = None,
) -> int:
    """List sessions, the newest first."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = [one async for one in client.pages(SESSIONS, live=not all, villageId=village)]
        if chosen.json:
            show.emit(found)
            return
        rows: list[list[str]] = [
            [
                one["sessionId"][:8],
                show.plain(one["agentName"])[:24],
                "detached" if one["detached"] else BUSY.get(str(one["state"]), str(one["state"]).lower()),
                show.age(one["activityAt"] or one["createdAt"]),
                show.plain(one["repoPath"])[-32:],
                show.plain(one["reason"] or one["lastLine"]),
            ]
            for one in found
        ]
        show.table(["SESSION", "AGENT", "STATE", "ACTIVE", "WHERE", "LAST LINE"], rows)

    return perform(where, work)


def start(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True, help="what to run, after -- (for --agent: none)")],
    dir: Annotated[str | None, Parameter(help="directory on the runner's machine (default: this one)")] = None,
    agent: Annotated[str | None, Parameter(help="an agent: claude_code, codex, gemini_cli, opencode …")] = None,
    goal: Annotated[str | None, Parameter(help="what the agent is to do")] = None,
    title: Annotated[str | None, Parameter(help="a line about it (default: the goal, or the command)")] = None,
    name: Annotated[str | None, Parameter(help="the agent's name on the page")] = None,
    village: Annotated[str, Parameter(help="where it belongs")] = "demo",
    runner: Annotated[str | None, Parameter(help="id of the runner (default: the least loaded)")] = None,
    branch: Annotated[str | None, Parameter(help="branch to check out first")] = None,
    conversation: Annotated[
        str | None,
        Parameter(help="go on with one that the agent's CLI had, by its name; with --runner, --dir"),
    ] = None,
    usd: Annotated[Number | None, Parameter(help="its budget in US dollars; used up, it is paused and asks")] = None,
    tokens: Annotated[Whole | None, Parameter(help="its budget in tokens, read and written")] = None,
    minutes: Annotated[Number | None, Parameter(help="its budget in minutes that it runs")] = None,
    where: Where | None = None,
) -> int:
    """Start a session on a runner, and print its id."""
    if (unknown := unknown_option(command)) is not None:
        return complain(f"unknown option {unknown}; see townwatch start --help (a command goes after --)")
    if bool(command) == bool(agent):
        return complain("what shall run? townwatch start -- COMMAND…, or townwatch start --agent claude_code --goal …")
    said = goal or " ".join(command) or title or ""
    if not said:
        return complain("what is the agent to do? --goal")
    body: dict[str, Any] = {
        "villageId": village,
        "providerId": agent or "command",
        "repoRef": {"provider": "local", "path": str(Path(dir or ".").absolute())},
        "task": {"title": (title or said)[:200], "goal": said[:4000]},
    }
    optional = {"command": list(command) or None, "agentName": name, "runnerId": runner, "conversation": conversation}
    body |= {key: value for key, value in optional.items() if value}
    budget = {"usd": usd, "tokens": tokens, "minutes": minutes}
    if limits := {key: value for key, value in budget.items() if value is not None}:
        body["budget"] = limits
    if branch:
        body["checkout"] = {"type": "branch", "ref": branch}

    async def work(client: ServiceClient, chosen: Where) -> None:
        made = await client.post(SESSIONS, body)
        if chosen.json:
            show.emit(made)
        else:
            print(made["sessionId"])
            print(
                f"townwatch attach {made['sessionId'][:8]}, or {client.url}/#/a/{part(made['agentId'])}",
                file=sys.stderr,
            )

    return perform(where, work)


def prompt(
    session: Annotated[str, WHICH],
    text: Annotated[
        str, Parameter(help="what the agent is told; - reads it from standard input", allow_leading_hyphen=True)
    ],
    *,
    mode: Annotated[
        Literal["send", "queue", "interrupt"], Parameter(help="now, when it is idle, or after ending its turn")
    ] = "send",
    where: Where | None = None,
) -> int:
    """Give a session's agent a prompt."""
    if text != "-" and (unknown := unknown_option((text,))) is not None:
        return complain(f"unknown option {unknown}; see townwatch prompt --help (-- stands before a text like that)")

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = await find_session(client, session)
        given = sys.stdin.read() if text == "-" else text
        answer = await client.post(f"{SESSIONS}/{part(found['sessionId'])}/prompts", {"text": given, "mode": mode})
        _done(chosen, answer, f"{found['agentName']} has it")

    return perform(where, work)


def approve(
    approval: Annotated[str | None, APPROVAL] = None,
    *,
    note: Annotated[str | None, Parameter(help="what the agent and others read beside it")] = None,
    where: Where | None = None,
) -> int:
    """Allow what an agent asks for. Status 1: it is decided otherwise already, or gone."""
    return _decide("allow", approval, {"note": note}, where)


def deny(
    approval: Annotated[str | None, APPROVAL] = None,
    *,
    note: Annotated[str | None, Parameter(help="what the agent and others read beside it")] = None,
    stop: Annotated[bool, Parameter(help="end the session, too", negative=())] = False,
    where: Where | None = None,
) -> int:
    """Refuse what an agent asks for. Status 1: it is decided otherwise already, or gone."""
    return _decide("deny", approval, {"note": note, "stop": stop or None}, where)


def _decide(decision: str, wanted: str | None, more: dict[str, Any], where: Where | None) -> int:
    async def work(client: ServiceClient, chosen: Where) -> int | None:
        waiting = [one async for one in client.pages("/api/approvals")]
        if wanted is None:
            if any(value is not None for value in more.values()):
                raise CommandFailed("which approval? --note and --stop are for one; townwatch approve lists what waits")
            _list_approvals(waiting, chosen)
            return None
        named = [(f"{one['sessionId']}/{one['approvalId']}", one) for one in waiting]
        fitting = [one for name, one in named if wanted in (name, one["approvalId"])]
        fitting = fitting or [
            one for name, one in named if wanted and (name.startswith(wanted) or one["approvalId"].startswith(wanted))
        ]
        if not fitting:
            raise CommandFailed(f"no approval {wanted!r} waits; townwatch approve lists those that do", SAID_NO)
        if len(fitting) > 1:
            ids = ", ".join(f"{one['sessionId']}/{one['approvalId']}" for one in fitting[:6])
            raise CommandFailed(f"which approval? {ids}")
        (one,) = fitting
        path = f"{SESSIONS}/{part(one['sessionId'])}/approvals/{part(one['approvalId'])}"
        given = {key: value for key, value in more.items() if value is not None}
        answer = await client.post(path, {"decision": decision, **given})
        about = show.plain(one["summary"])[:200]
        if answer.get("needed"):
            names = ", ".join(show.plain(name) for name in answer["allowedBy"])
            _done(chosen, answer, f"counted, {len(answer['allowedBy'])} of {answer['needed']}, by {names}: {about}")
        else:
            _done(chosen, answer, f"{decision}: {about}")
        return None

    return perform(where, work)


def _list_approvals(waiting: list[dict[str, Any]], chosen: Where) -> None:
    if chosen.json:
        show.emit(waiting)
        return
    rows = [
        [
            one["approvalId"],
            one["risk"],
            one["category"],
            show.age(one["requestedAt"]),
            show.plain(one["agentId"]),
            _allows(one.get("answer")),
            show.plain(one["summary"]),
        ]
        for one in waiting
    ]
    show.table(["APPROVAL", "RISK", "CATEGORY", "WAITS", "AGENT", "ALLOWS", "SUMMARY"], rows)


def _allows(answer: dict[str, Any] | None) -> str:
    """Say who may allow it, and who has: ``1 of 2: Ann``."""
    if not answer:
        return ""
    names = ", ".join(show.plain(name) for name in answer["allowedBy"])
    found = [f"{len(answer['allowedBy'])} of {answer['needed']}" + (f": {names}" if names else "")]
    found += ["an owner"] if answer["role"] == "owner" else []
    found += ["signed in"] if answer["human"] else []
    found += ["not its starter"] if answer["notStarter"] else []
    return ", ".join(found)


def stop(
    session: Annotated[str, WHICH],
    *,
    kill: Annotated[bool, Parameter(help="kill it at once", negative=())] = False,
    where: Where | None = None,
) -> int:
    """Stop a session: ask it to end, or kill it."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = await find_session(client, session)
        answer = await client.post(f"{SESSIONS}/{part(found['sessionId'])}/stop", {"graceful": not kill})
        words = {"done": "is told to stop", "sent": "is told to stop", "waiting": "is stopped when its runner is back"}
        _done(chosen, answer, f"{found['agentName']} {words.get(answer['state'], answer['state'])}")

    return perform(where, work)


def end(
    session: Annotated[str, WHICH],
    *,
    reason: Annotated[str, Parameter(help="why it is lost; others read it")],
    where: Where | None = None,
) -> int:
    """Declare a session lost that its runner will never end (an owner's word)."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = await find_session(client, session)
        answer = await client.post(f"{SESSIONS}/{part(found['sessionId'])}/end", {"reason": reason})
        _done(chosen, answer, f"{found['agentName']} is ended: {reason}")

    return perform(where, work)


def open_page(
    session: Annotated[str | None, Parameter(help="show this session (default: the villages)")] = None,
    *,
    print_only: Annotated[bool, Parameter(name="--print", help="only print the address", negative=())] = False,
    where: Where | None = None,
) -> int:
    """Open the page in a browser, signed in where this machine's service is yours."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        hash_ = "" if session is None else f"#/a/{part((await find_session(client, session))['agentId'])}"
        address = f"{client.url}/{hash_}"
        if client.own:
            from townwatch.app.identity import new_link

            address = f"{await new_link(client.settings)}{hash_}"
        if chosen.json:
            show.emit({"url": address})
            return
        print(address)
        if not print_only:
            import trio

            await trio.to_thread.run_sync(webbrowser.open, address)

    return perform(where, work)


def _done(chosen: Where, answer: Any, line: str) -> None:
    if chosen.json:
        show.emit(answer)
    else:
        print(line)


def add_to(app: App) -> None:
    """Register the commands of this module."""
    for command in (status, ls, start, prompt, approve, deny, stop, end):
        app.command(command)
    app.command(open_page, name="open")
