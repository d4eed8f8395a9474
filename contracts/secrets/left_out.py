"""Texts that are left out of the log where a village wants that (`leaveOutTexts`): what was said, not what was
done. Pure.

Each function returns a copy that can be stored. A text that is left out says so, so that none looks empty; `left_out`
says it to programs. Kept are times, states, names of tools, files, counts and verdicts of tests, usage, cost, alerts,
and who decided what. A budget's question is kept whole: its figures are the service's own.
"""

from typing import Any, cast

import attrs

from townwatch.contracts import agent_events as a, events as e
from townwatch.contracts.landing import LandOrder
from townwatch.contracts.link import Command
from townwatch.contracts.lists import SessionDiff
from townwatch.contracts.tasks import SessionConfig

LEFT_OUT = "left out by the village's setting"
LOST = "what it said was left out of the database by the village's setting, and is lost with the service's restart"
OUR_NOTES = frozenset({"timeout", "session end"})
"""Who resolves an approval with a note of ours. A rule's says what it found in a command."""
_PLAIN = frozenset({a.CliSession.TYPE, a.ContextUsage.TYPE, a.ModelRetry.TYPE, a.Worktree.TYPE})
"""Agent events without a text of the conversation."""
_ENVELOPE = ("type", "providerId", "timestamp")


def text(value: str | None) -> str | None:
    """Return what stands for a text; nothing for none."""
    return LEFT_OUT if value else value


def event(said: e.RunnerEvent, *, first: bool = False) -> e.RunnerEvent:
    """Return an event as it is stored. `first`: a terminal's text says that it is left out, which the others need not
    say again.
    """
    kept = attrs.evolve(said, more=None)
    match kept:
        case e.TerminalChunk(data=data):
            return attrs.evolve(kept, data=f"[{LEFT_OUT}]\r\n" if first and data else "", left_out=True)
        case e.ProviderEventForwarded(provider_event=inner):
            stored, left = provider_event(inner)
            return attrs.evolve(kept, provider_event=stored, left_out=left or None)
        case e.ApprovalRequested(approval=approval):
            asked = request(approval)
            return attrs.evolve(kept, approval=asked, left_out=asked.left_out)
        case e.ApprovalResolved():
            noted = note(kept.resolved_by, kept.note)
            left = noted != kept.note or kept.answers is not None
            return attrs.evolve(kept, note=noted, answers=None, left_out=left or None)
        case e.SessionStateChanged(new_state="WAITING_FOR_APPROVAL", reason=str()):
            return attrs.evolve(kept, reason=LEFT_OUT, left_out=True)
        case e.TestRunStarted():
            return attrs.evolve(kept, command=LEFT_OUT, left_out=True)
        case e.TestRunFinished(failure_text=str()):
            return attrs.evolve(kept, failure_text=LEFT_OUT, left_out=True)
        case e.AlertRaised() if kept.context is not None:
            return attrs.evolve(kept, context=None, left_out=True)
        case _:
            return kept


def provider_event(inner: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a provider's event as it is stored, and whether something of it was left out. Of a type that is not known
    here, the type alone is kept: what is in it is not known.
    """
    kind = str(inner.get("type"))
    envelope = {name: inner[name] for name in _ENVELOPE if name in inner}
    if kind in _PLAIN or kind == "terminal_resized":
        return inner, False
    if kind == SessionDiff.TYPE:
        files = inner.get("files")
        rows = cast("list[Any]", files) if isinstance(files, list) else []
        return {**inner, "files": [_without_patch(one) for one in rows], "truncated": True}, True
    match a.from_provider_event(inner):
        case a.Status(status="waiting" | "idle", for_=str()):
            return {**inner, "for": LEFT_OUT}, True
        case a.Turn(reason=str()):
            return {**inner, "reason": LEFT_OUT}, True
        case a.Status() | a.Turn():
            return inner, False
        case a.Prompt() | a.AgentMessage():
            return {**inner, "text": LEFT_OUT}, True
        case a.Tool():
            kept = {name: value for name, value in inner.items() if name not in ("title", "input", "output")}
            return {**kept, "title": LEFT_OUT}, True
        case a.AgentPlan(items=items):
            return {**envelope, "items": [{"text": LEFT_OUT, "status": one.status} for one in items]}, True
        case a.Subagent():
            return {**inner, "name": LEFT_OUT}, True
        case a.Landed():
            left = {name: LEFT_OUT for name in ("subject", "says") if inner.get(name)}
            return {**inner, **left}, bool(left)
        case _:
            return {**envelope, "text": LEFT_OUT}, True


def landed(told: a.Landed) -> a.Landed:
    """Return the outcome of a commit, push or merge as it is stored: without the message and git's words."""
    return attrs.evolve(told, subject=text(told.subject), says=text(told.says))


def _without_patch(file: Any) -> Any:
    if not isinstance(file, dict):
        return file
    values = cast("dict[str, Any]", file)
    return {**values, "patch": None, "truncated": True}


def request(asked: e.ApprovalRequest) -> e.ApprovalRequest:
    """Return a question, decided or not, as it is stored."""
    if asked.category == "budget":
        return asked
    context = cast("dict[str, Any]", asked.context) if isinstance(asked.context, dict) else {}
    tool = context.get("tool")
    return attrs.evolve(
        asked,
        summary=LEFT_OUT,
        context={"tool": tool} if isinstance(tool, str) else None,
        note=note(asked.resolved_by, asked.note),
        answers=None,
        left_out=True,
    )


def note(by: str | None, said: str | None) -> str | None:
    """Return a decision's note as it is stored: our own are kept."""
    return said if by in OUR_NOTES else text(said)


def config(wanted: SessionConfig) -> SessionConfig:
    """Return an order as it is stored: the program is kept, and not its arguments."""
    command = wanted.command
    return attrs.evolve(
        wanted,
        task=attrs.evolve(
            wanted.task,
            title=LEFT_OUT,
            goal=LEFT_OUT,
            constraints=[LEFT_OUT] * bool(wanted.task.constraints),
            acceptance=[LEFT_OUT] * bool(wanted.task.acceptance),
        ),
        command=None if command is None else [*command[:1], *[LEFT_OUT] * bool(command[1:])],
        env=dict.fromkeys(wanted.env, "…"),
    )


def command(promised: Command, key: str) -> Command:
    """Return a command as it is stored. `key`: under which the whole of it is in memory."""
    return attrs.evolve(
        promised,
        config=None if promised.config is None else config(promised.config),
        data=text(promised.data),
        note=note(promised.resolved_by, promised.note),
        answers=None if promised.answers is None else {},
        updated_input=None if promised.updated_input is None else {},
        land=None if promised.land is None else order(promised.land),
        in_memory=key,
    )


def order(wanted: LandOrder) -> LandOrder:
    """Return what is to be done with a session's changes, as it is stored."""
    return attrs.evolve(wanted, message=text(wanted.message), title=text(wanted.title))


def after_loss(stored: Command) -> Command | None:
    """Return what of a stored command is still to be told when the memory of it is gone; None: nothing. An allow that
    said more than yes is a no then: a bare yes is not what its person said.
    """
    kept = attrs.evolve(stored, in_memory=None)
    match kept:
        case Command(command="start") | Command(command="land", land=LandOrder(act="commit" | "pull_request")):
            return None
        case Command(command="approve", decision="allow") if kept.answers is not None or kept.updated_input is not None:
            return attrs.evolve(kept, decision="deny", answers=None, updated_input=None, option_id=None, note=LOST)
        case _:
            return kept
