"""Contents of a call to a person, before it has the form of a channel. Pure.

Words of agents are shown as they are, in one line each, without signs that reorder text or end a line.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, cast

import attrs

from townwatch.contracts.answers import FromAfar
from townwatch.contracts.codec import ContractError, Decoder, encode
from townwatch.contracts.events import (
    AlertRaised,
    ApprovalRequest,
    ApprovalRequested,
    ApprovalResolved,
    RunnerEvent,
    SessionEnded,
)
from townwatch.notify.occasions import CallOrigin, place_of

TITLE, TEXT = 160, 600
"""Characters of a title and of a text; it says so where one was cut."""
WHOLE, WHOLE_LINES = 200, 4
"""Of a request that is shown in a notification as a whole."""
DIGEST_LINES = 8
TEST, DIGEST, ESCALATED = "channel.test", "digest", "approval.escalated"
ASKS = ("approval.requested", ESCALATED)

_TITLES = {
    "shell": "asks to run a command",
    "network": "asks to reach the network",
    "deps_add": "asks to add a dependency",
    "secrets": "asks to use a secret",
    "deploy": "asks to deploy",
    "merge": "asks to merge",
    "edit": "asks to edit files",
    "question": "asks a question",
    "plan": "has a plan and asks to go on",
    "budget": "asks to spend more",
}


_ASIDE = {"tool", "toolUseId", "options", "suggestions", "subagent", "rule", "checkedOut", "fromAfar"}
_SHOWN = {"input", "cwd", "command"} | _ASIDE
"""Parts of a request's context that a notification shows, and those that say nothing more of what would be done."""


@attrs.frozen(kw_only=True)
class PersonCall:
    """One call, as it waits in the table. `village`: its key, `village_name` what people call it. `whole`: all that an
    approval asks, where it fits into a notification. `place`: on the page. `until_ms`: when an approval is denied.
    """

    kind: str
    title: str
    at_ms: int
    text: str = ""
    place: str = ""
    village: str = ""
    village_name: str = ""
    session_id: str | None = None
    approval_id: str | None = None
    risk: str | None = None
    whole: str | None = None
    until_ms: int | None = None

    @property
    def asks(self) -> bool:
        """Return whether it is about an approval that waits."""
        return self.kind in ASKS


_calls = Decoder(PersonCall)


def to_text(call: PersonCall) -> str:
    """Return a call for a column."""
    return encode(call).decode()


def from_text(text: str) -> PersonCall | None:
    """Return the call in a column; None for what is none."""
    try:
        return _calls.decode(text)
    except ContractError:
        return None


def call_of(
    event: RunnerEvent, kind: str, origin: CallOrigin, village: str, at_ms: int, minutes: int = 0
) -> PersonCall:
    """Return what is told of an event. `minutes`: how long an approval that is passed on has waited."""
    who = plain(origin.agent_name or origin.agent_id, 60)
    title, text = _words(event, who)
    fields: dict[str, Any] = {}
    if isinstance(event, ApprovalRequested):
        asked = event.approval
        until = None if asked.timeout_at is None else int(asked.timeout_at)
        fields = {"approval_id": asked.approval_id, "risk": asked.risk, "whole": whole(asked), "until_ms": until}
        if kind == ESCALATED:
            title = f"No answer for {minutes} min: {title}"
    return PersonCall(
        kind=kind,
        title=plain(title, TITLE),
        text=plain(text, TEXT),
        at_ms=at_ms,
        place=place_of(event, origin),
        village=village,
        village_name=origin.village,
        session_id=event.session_id,
        **fields,
    )


def test_call(now_ms: int) -> PersonCall:
    """Return a call that says it is a test."""
    return PersonCall(kind=TEST, title="Townwatch calls", text="This is a test. Calls reach you here.", at_ms=now_ms)


def digest(calls: Sequence[PersonCall], now_ms: int) -> PersonCall:
    """Sum several calls up in one."""
    asking = sum(one.asks for one in calls)
    waiting = f", {asking} of them {'asks' if asking == 1 else 'ask'} for an answer" if asking else ""
    lines = [one.title for one in calls[:DIGEST_LINES]]
    if len(calls) > DIGEST_LINES:
        lines.append(f"… and {len(calls) - DIGEST_LINES} more")
    place = "#/approvals" if asking else ""
    return PersonCall(
        kind=DIGEST, title=f"{len(calls)} calls{waiting}", text="\n".join(lines), at_ms=now_ms, place=place
    )


def whole(asked: ApprovalRequest) -> str | None:
    """Return all that is asked, where it is a command that a notification can show; else None.

    What is not known for sure to be shown counts as not shown.
    """
    context: Any = {} if asked.context is None else asked.context
    if asked.truncated or asked.category not in ("shell", "network", "deps_add") or not isinstance(context, dict):
        return None
    known = cast(dict[str, Any], context)
    given: Any = known.get("input") or {}
    if set(known) - _SHOWN or not isinstance(given, dict) or "answer" in (known.get("rule") or {}):
        return None
    if FromAfar.of(known).allow != "plain":  # a notification has one Allow
        return None
    inner = cast(dict[str, Any], given)
    if set(inner) - {"command", "description"}:
        return None
    parts = [inner.get("command", known.get("command", asked.summary)), known.get("cwd"), inner.get("description")]
    if not all(part is None or isinstance(part, str) for part in parts):
        return None
    command, where, why = (cast(str | None, part) for part in parts)
    lines = [command or ""]
    if asked.summary not in lines[0] and lines[0] not in asked.summary:
        lines.append(asked.summary)
    lines += [f"in {where}"] if where else []
    lines += [why] if why else []
    text = "\n".join(lines)
    fits = len(text) <= WHOLE and text.count("\n") < WHOLE_LINES and all(_shown(sign) for sign in text)
    return text if fits and command else None


def plain(text: str, limit: int) -> str:
    """Return a text in one line, without signs that are not shown; it says so where it was cut."""
    line = " ".join("".join(sign if _shown(sign) and sign != "\n" else " " for sign in text).split())
    return line if len(line) <= limit else f"{line[:limit]}… ({len(line) - limit} characters more)"


def _shown(sign: str) -> bool:
    return sign == "\n" or (sign.isprintable() and unicodedata.category(sign) not in ("Cf", "Cc", "Co", "Cs"))


def _words(event: RunnerEvent, who: str) -> tuple[str, str]:
    match event:
        case ApprovalRequested(approval=asked):
            return f"{who} {_TITLES.get(asked.category, 'asks for a permission')}", asked.summary
        case ApprovalResolved():
            done = "allowed" if event.decision == "allow" else "denied"
            return f"{who}: {done}" + (f" by {event.resolved_by}" if event.resolved_by else ""), event.note or ""
        case SessionEnded():
            how = "failed" if event.final_state == "FAILED" else "has finished"
            code = f" (exit code {event.exit_code})" if event.exit_code else ""
            return f"{who} {how}{code}", event.reason or ""
        case AlertRaised():
            return f"{who}: {event.severity} alert: {event.title}", event.description
        case _:
            return who, ""
