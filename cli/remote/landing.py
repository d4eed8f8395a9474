"""What a session changed, from the command line: commit it, push it, propose it, merge it, or discard its worktree.

The same operations as the page's, with the same rules. An order is a row at the service: Ctrl+C here leaves it.
"""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import attrs
from cyclopts import App, Parameter

from townwatch.cli.remote import show
from townwatch.cli.remote.client import SAID_NO, CommandFailed, ServiceClient, Where, part
from townwatch.cli.remote.sessions import SESSIONS, WHICH, find_session, perform
from townwatch.cli.shared import Seconds

NOT_OVER, NOT_KNOWN = 3, 4
"""Exit statuses: people are asked, or it is under way, and it was not waited for; whether it was done is not known."""
POLL_SECONDS = 1.0
Session = Annotated[str | None, WHICH]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Ordering:
    """How an order is given, and how long its outcome is waited for."""

    head: Annotated[str | None, Parameter(help="do nothing where another commit than this is checked out")] = None
    confirm: Annotated[
        str | None, Parameter(help="of an ended session: the rule whose question you answer with yes")
    ] = None
    no_wait: Annotated[
        bool, Parameter(help="do not wait for people who are asked, nor for a slow git: status 3", negative=())
    ] = False
    wait: Annotated[Seconds | None, Parameter(help="wait so many seconds for it (default: until it is over)")] = None


def changes(session: Session = None, *, where: Where | None = None) -> int:
    """Say what of a session's changes is not committed, pushed and merged."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = await find_session(client, session)
        view = await client.get(f"{SESSIONS}/{part(found['sessionId'])}/git")
        if chosen.json:
            show.emit(view)
            return
        for line in _lines(view):
            print(("  " if line.startswith("  ") else "") + show.plain(line))

    return perform(where, work)


def _lines(view: dict[str, Any]) -> list[str]:
    """Return what there is to land, a line each; what is not known is said, and is no number."""
    if view.get("whyNot"):
        return [view["whyNot"]]
    unknown: dict[str, str] = view.get("unknown") or {}
    remote, base, ahead = view.get("remote"), view.get("base"), view.get("ahead")
    on = f"on {view.get('branch') or 'no branch'} at {(view.get('head') or 'no commit')[:8]}"
    pushed = f"the branch is not on {remote}" if ahead is None else f"{ahead} commits not on {remote}"
    answers = [
        (("branch", "head"), on),
        (("files",), f"{view.get('filesTotal', 0)} files are not committed"),
        (("remote", "ahead"), pushed if remote else "no remote"),
        (("base", "baseAhead"), f"{view.get('baseAhead')} commits not in {base}" if base else "no branch to merge to"),
    ]
    lines = [next((unknown[one] for one in fields if one in unknown), said) for fields, said in answers]
    if "files" not in unknown:
        lines += [f"  {one['status']:8} {one['path']}" for one in view.get("files", [])]
    lines += [f"{one['act'].replace('_', ' ')} by {one['by']} is under way" for one in view.get("underWay", [])]
    return lines


def commit(
    session: Session = None,
    *,
    message: Annotated[
        str,
        Parameter(
            name=["--message", "-m"], allow_leading_hyphen=True, help="what the commit is; - reads standard input"
        ),
    ],
    path: Annotated[tuple[str, ...], Parameter(help="only this file; may be given several times", negative=())] = (),
    ordering: Ordering | None = None,
    where: Where | None = None,
) -> int:
    """Commit what a session has changed. Status 1: refused, or git failed; 3: not over yet; 4: not known."""
    text = sys.stdin.read() if message == "-" else message
    return _order("commit", session, {"message": text, "paths": list(path) or None}, ordering, where)


def branch(
    session: Annotated[str, WHICH],
    name: Annotated[str, Parameter(help="the branch")],
    *,
    create: Annotated[bool, Parameter(help="make it, at the commit that is checked out", negative=())] = False,
    ordering: Ordering | None = None,
    where: Where | None = None,
) -> int:
    """Switch a session's working tree to another branch. Status 1: refused, or git failed; 3: not over yet."""
    return _order("branch", session, {"branch": name, "create": create}, ordering, where)


def push(
    session: Session = None,
    *,
    remote: Annotated[str | None, Parameter(help="where to (default: as git would choose)")] = None,
    ordering: Ordering | None = None,
    where: Where | None = None,
) -> int:
    """Push a session's branch, never by force. Status 1: refused, or git failed; 3: not over yet; 4: not known."""
    return _order("push", session, {"remote": remote}, ordering, where)


def pr(
    session: Session = None,
    *,
    title: Annotated[str | None, Parameter(help="its title (default: the last commit's first line)")] = None,
    body: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="what it is about; - reads standard input")
    ] = None,
    base: Annotated[str | None, Parameter(help="what it is to be merged into")] = None,
    remote: Annotated[str | None, Parameter(help="where the branch is pushed")] = None,
    draft: Annotated[bool, Parameter(help="open it as a draft", negative=())] = False,
    ordering: Ordering | None = None,
    where: Where | None = None,
) -> int:
    """Open a pull request of a session's pushed branch, with gh or glab on its runner's machine."""
    text = sys.stdin.read() if body == "-" else body
    fields = {"title": title, "body": text, "base": base, "remote": remote, "draft": draft}
    return _order("pull-request", session, fields, ordering, where)


def merge(
    session: Session = None,
    *,
    into: Annotated[str | None, Parameter(help="the local branch (default: that of its worktree, else main …)")] = None,
    ordering: Ordering | None = None,
    where: Where | None = None,
) -> int:
    """Merge a session's branch into a branch of its repository. With conflicts, nothing is changed."""
    return _order("merge", session, {"base": into}, ordering, where)


def discard(
    session: Annotated[str, WHICH],
    *,
    force: Annotated[bool, Parameter(help="also with what only it has: that is lost", negative=())] = False,
    where: Where | None = None,
) -> int:
    """Remove the worktree that was made for a session, and its branch. Status 1: it has what would be lost."""

    async def work(client: ServiceClient, chosen: Where) -> None:
        found = await find_session(client, session)
        try:
            answer = await client.post(f"{SESSIONS}/{part(found['sessionId'])}/worktree/clean", {"discard": force})
        except CommandFailed as refused:
            if refused.status == SAID_NO and "is kept" in str(refused):
                raise CommandFailed(f"{refused} (townwatch discard --force loses it)", SAID_NO) from None
            raise
        if chosen.json:
            show.emit(answer)
        else:
            print(f"the worktree of {show.plain(found['agentName'])} is removed")

    return perform(where, work)


def _order(
    act: str, session: str | None, fields: dict[str, Any], ordering: Ordering | None, where: Where | None
) -> int:
    how = ordering or Ordering()
    more = {"head": how.head, "confirm": how.confirm}
    body = {name: value for name, value in {**fields, **more}.items() if value is not None}

    async def work(client: ServiceClient, chosen: Where) -> int:
        found = await find_session(client, session)
        base = f"{SESSIONS}/{part(found['sessionId'])}/git"
        try:
            answer = await client.post(f"{base}/{act}", body)
        except CommandFailed as refused:
            raise _in_words(refused) from None
        if answer["state"] == "done":
            return _over(chosen, answer, answer["outcome"], found)
        if answer["state"] == "asked":
            rule = answer.get("rule") or "a rule"
            _say(f"{rule} asks people ({answer.get('why')}): townwatch approve {answer['approvalId']}")
        elif answer["state"] == "waiting":
            _say("its runner is away: it is told within ten minutes, or not at all")
        if how.no_wait or how.wait == 0:
            return _not_over(chosen, answer)
        return await _waited(client, chosen, f"{base}/orders/{part(answer['commandId'])}", how.wait, answer, found)

    return perform(where, work)


async def _waited(
    client: ServiceClient, chosen: Where, path: str, seconds: float | None, answer: Any, found: dict[str, Any]
) -> int:
    """Wait until an order is over."""
    import math

    import trio

    order = answer
    with trio.move_on_after(math.inf if seconds is None else seconds):
        while True:
            order = await client.get(path)
            if order["state"] in ("done", "failed", "unknown"):
                return _over(chosen, order, order.get("outcome"), found)
            if order["state"] in ("refused", "expired"):
                if chosen.json:
                    show.emit(order)
                why = order.get("why") or "its runner did not take it in time"
                raise CommandFailed(f"not done: {show.plain(why)}", SAID_NO)
            await trio.sleep(POLL_SECONDS)
    return _not_over(chosen, order)


def _over(chosen: Where, answer: Any, outcome: dict[str, Any] | None, found: dict[str, Any]) -> int:
    """Say how it ended, and return the exit status."""
    known = outcome or {}
    ok = answer["state"] == "done"
    if chosen.json:
        show.emit(answer)
    if not ok:
        status = NOT_KNOWN if answer["state"] == "unknown" else SAID_NO
        raise CommandFailed(show.plain(known.get("says") or answer.get("why") or "git did not say why"), status)
    if not chosen.json:
        for line in _WORDS.get(known.get("act", ""), lambda _: ["done"])({"agent": found["agentName"], **known}):
            print(show.plain(line))
    return 0


def _not_over(chosen: Where, answer: Any) -> int:
    if chosen.json:
        show.emit(answer)
    else:
        _say(f"not over yet ({answer['state']}); the order is {answer['commandId']}")
    return NOT_OVER


def _say(line: str) -> None:
    print(f"townwatch: {show.plain(line)}", file=sys.stderr, flush=True)


def _in_words(refused: CommandFailed) -> CommandFailed:
    """Return the refusal with what can be done about it."""
    if refused.code == "E_CONFIRM":
        details: dict[str, Any] = refused.details or {}
        return CommandFailed(f"{refused} (--confirm {details.get('rule') or ''} does it)", SAID_NO)
    if refused.code == "E_NOT_KNOWN":
        return CommandFailed(str(refused), NOT_KNOWN)
    return refused


_WORDS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "commit": lambda o: [f"committed {str(o.get('commit'))[:8]} on {o.get('branch')}: {o.get('subject') or ''}"],
    "branch": lambda o: [f"{o['agent']} is on {o.get('branch')}"],
    "push": lambda o: [f"pushed {o.get('branch')} ({str(o.get('commit'))[:8]}) to {o.get('remote')}"],
    "pull_request": lambda o: [o.get("url") or "opened; its address is not known"],
    "merge": lambda o: [f"merged {o.get('branch')} into {o.get('base')} ({str(o.get('commit'))[:8]})"],
}


def add_to(app: App) -> None:
    """Register the commands of this module."""
    for command in (changes, commit, branch, push, pr, merge, discard):
        app.command(command)
