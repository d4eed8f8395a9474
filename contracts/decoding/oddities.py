"""Values that are too long, odd or absurd, in events that are otherwise sound (CONTRACT, before section 1).

Such a value never drops an event that changes what a person must do. It is replaced or shortened, and the event (and
its approval) is marked `truncated: true`. What has the wrong shape (a required field that is missing, or of another
type) is refused as before.

Two places: `mend` before an event is stored, for what the strict decoder refuses; `contracts.lengths` for what it takes
and is too long to be shown, which is stored whole. Pure; `now_ms` is the service's clock.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import attrs

from townwatch.contracts import events as e
from townwatch.contracts.codec import MAX_MESSAGE_BYTES, ContractError, camel
from townwatch.contracts.decoding.runner_events import check_event

FIXES = 24
"""Odd values in one event; one that has more is refused."""
LONGEST_TEXT = 1 << 16
"""Characters of a text that are stored of an event that would be too large as it is."""
UNNAMED = "unnamed"
"""The id of an approval or an alert that has an empty one."""
GREATEST = 2**53 - 1
MARK = "truncated"

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_ACTED_ON = frozenset(
    cls.TYPE
    for cls in (
        e.SessionStarted,
        e.SessionStateChanged,
        e.SessionEnded,
        e.ApprovalRequested,
        e.ApprovalResolved,
        e.AlertRaised,
    )
)
"""Types of events that change what a person must do."""
_KNOWN = frozenset(cls.TYPE for cls in e.EVENT_CLASSES)
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ENVELOPE = ("sessionId", "orgId", "repoRef", "ts", "seq")


def mend(body: bytes, now_ms: int) -> bytes | None:
    """Return the event with its odd values replaced; None where it stays refused."""
    value = _parsed(_text(body))
    if not isinstance(value, dict):
        return None
    fields = cast(dict[str, Any], value)
    if not isinstance(fields.get("type"), str) or fields.get("seq") in (GREATEST, -GREATEST):
        return None  # a number that was cut to the greatest one would be another event's
    event = _of_a_later_version(fields)
    changed = event is fields  # an event of a later version is whole, unless something in it is odd, too
    if len(body) > MAX_MESSAGE_BYTES and event.get("type") in _ACTED_ON:
        event, changed = cast(dict[str, Any], _cut(event)), True
    for fixes in range(FIXES):
        try:
            check_event(event)
        except ContractError as error:
            if not _fix(event, error, now_ms):
                return None
        else:
            return _encoded(event) if changed or fixes else _strict(event)
    return None


def _of_a_later_version(event: dict[str, Any]) -> dict[str, Any]:
    """An event of a type that is not known here as a provider's event, which is kept and shown to people: a runner may
    be newer than the service.
    """
    kind = event.get("type")
    if not isinstance(kind, str) or kind in _KNOWN or _TYPE.fullmatch(kind) is None:
        return event
    envelope = {name: event[name] for name in _ENVELOPE if name in event}
    rest = {name: value for name, value in event.items() if name not in _ENVELOPE}
    inner = {"providerId": "unknown", "timestamp": event.get("ts"), **rest}
    return {"type": e.ProviderEventForwarded.TYPE, **envelope, "providerEvent": inner}


def strict_json(frame: bytes) -> bytes | None:
    """Return a frame that only a lenient parser reads as strict JSON, its changed events marked; None where it is none.

    JSON.stringify writes half of a character that was cut in two as an escape that strict parsers refuse. Refusing the
    whole frame would close the connection, and the runner would send the same frame again, for ever.
    """
    value = _parsed(_text(frame))
    if not isinstance(value, dict):
        return None
    message = cast(dict[str, Any], value)
    events = message.get("events")
    if isinstance(events, list):
        message["events"] = [_marked(one) for one in cast(list[Any], events)]
    return _strict(message)


def _marked(event: Any) -> Any:
    if not isinstance(event, dict):
        return event
    fields = cast(dict[str, Any], event)
    return {**fields, MARK: True} if _LONE_SURROGATES.search(json.dumps(fields, ensure_ascii=False)) else fields


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _parsed(text: str) -> Any:
    """The value, numbers within bounds; None for what is no JSON."""
    try:
        return json.loads(text, parse_int=_int, parse_float=_float, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _int(digits: str) -> int:
    return int(digits) if len(digits) < 17 else -GREATEST if digits.startswith("-") else GREATEST


def _float(text: str) -> float:
    found = float(text)
    return found if math.isfinite(found) else math.copysign(GREATEST, found)


def _strict(value: Any) -> bytes | None:
    try:
        return _LONE_SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()
    except RecursionError:
        return None


def _encoded(event: dict[str, Any]) -> bytes | None:
    event[MARK] = True
    approval = event.get("approval")
    if isinstance(approval, dict):
        cast(dict[str, Any], approval)[MARK] = True
    body = _strict(event)
    return None if body is None or len(body) > MAX_MESSAGE_BYTES else body


def _cut(value: Any) -> Any:
    """The value with no text longer than what is stored."""
    match value:
        case str():
            return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
        case dict():
            return {name: _cut(inner) for name, inner in cast(dict[str, Any], value).items()}
        case list():
            return [_cut(inner) for inner in cast(list[Any], value)]
        case _:
            return value


# --- one odd value ----------------------------------------------------------------------------------

_GONE: Any = object()
"""Instead of a value: leave the field out."""
_WRONG: Any = object()
"""Instead of a value: it is of the wrong type, and the event stays refused."""
Fix: TypeAlias = Callable[[Any, dict[str, Any], int], Any]
"""(the odd value, its event, now) → what takes its place."""


def _fix(event: dict[str, Any], error: ContractError, now_ms: int) -> bool:
    """Replace the value that the error names; whether that could be done."""
    path = error.field
    if event.get("type") in _ACTED_ON and path.startswith("repoRef"):
        event["repoRef"] = None
        return True
    try:
        holder, key = _place(event, path)
        value = holder[key]
    except (KeyError, IndexError, TypeError):
        return False
    new = _rule(event, path)(value, event, now_ms)
    if new is _WRONG:
        return False
    if new is _GONE:
        del holder[key]
    else:
        holder[key] = new
    return True


def _place(event: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Return the object or list that holds the value, and the name or number in it. Raises if there is none."""
    steps: list[str | int] = [
        int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", path)
    ]
    holder: Any = event
    for step in steps[:-1]:
        holder = holder[step]
    return holder, steps[-1]


def _rule(event: dict[str, Any], path: str) -> Fix:
    kind = event.get("type")
    found = _RULES.get((kind, path)) or _RULES.get(("*", path))
    if found is not None:
        return found
    if kind in _ACTED_ON and path in _optional():
        return lambda _value, _event, _now: _GONE
    return _number


def _optional() -> frozenset[str]:
    """The fields that an event or an approval can do without."""
    top = {camel(f.name) for cls in e.EVENT_CLASSES for f in attrs.fields(cls) if f.default is not attrs.NOTHING}
    required = {camel(f.name) for cls in e.EVENT_CLASSES for f in attrs.fields(cls) if f.default is attrs.NOTHING}
    approval = {f"approval.{camel(f.name)}" for f in attrs.fields(e.ApprovalRequest) if f.default is not attrs.NOTHING}
    return frozenset((top - required) | approval)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, _event: dict[str, Any], _now_ms: int) -> Any:
    """A count that is negative or has a fraction."""
    return min(GREATEST, max(0, round(value))) if _is_number(value) else _WRONG


def _now(value: Any, _event: dict[str, Any], now_ms: int) -> Any:
    """A time before 1970 or after the year 9999: when we heard of it."""
    return now_ms if _is_number(value) else _WRONG


def _never(value: Any, _event: dict[str, Any], _now_ms: int) -> Any:
    """A time that nothing can wait for: none."""
    return _GONE if _is_number(value) else _WRONG


def _word(instead: str) -> Fix:
    """A word that is none of the contract's."""
    return lambda value, _event, _now: instead if isinstance(value, str) else _WRONG


def _id(value: Any, _event: dict[str, Any], _now_ms: int) -> Any:
    """An empty id, or one with NUL; too long ones are refused, for the runner is told a decision under its own id."""
    if not isinstance(value, str) or (value and "\0" not in value):
        return _WRONG
    return value.replace("\0", "\u2400") or UNNAMED


def _approval_id(value: Any, event: dict[str, Any], now_ms: int) -> Any:
    new = _id(value, event, now_ms)
    if new is not _WRONG:
        event["approval"]["askedAs"] = value
    return new


def _own_session(value: Any, event: dict[str, Any], _now_ms: int) -> Any:
    """An approval is its event's session's, whatever it says."""
    return event.get("sessionId") if isinstance(value, str) else _WRONG


def _final(value: Any, event: dict[str, Any], _now_ms: int) -> Any:
    """An end is an end: the exit code says which."""
    if not isinstance(value, str):
        return _WRONG
    return "COMPLETED" if event.get("exitCode") == 0 else "FAILED"


_RULES: dict[tuple[Any, str], Fix] = {
    ("*", "seq"): lambda _value, _event, _now: _WRONG,
    ("*", "ts"): _now,
    ("APPROVAL_REQUESTED", "approval.requestedAt"): _now,
    ("APPROVAL_REQUESTED", "approval.timeoutAt"): _never,
    ("APPROVAL_REQUESTED", "approval.resolvedAt"): _never,
    ("APPROVAL_REQUESTED", "approval.category"): _word("other"),
    ("APPROVAL_REQUESTED", "approval.risk"): _word("high"),
    ("APPROVAL_REQUESTED", "approval.sessionId"): _own_session,
    ("APPROVAL_REQUESTED", "approval.approvalId"): _approval_id,
    ("APPROVAL_RESOLVED", "approvalId"): _id,
    ("ALERT_RAISED", "alertId"): _id,
    ("ALERT_RAISED", "severity"): _word("error"),
    ("ALERT_RAISED", "category"): _word("policy"),
    ("SESSION_ENDED", "finalState"): _final,
    ("TEST_RUN_FINISHED", "exitCode"): lambda value, _event, _now: round(value) if _is_number(value) else _WRONG,
    ("SESSION_ENDED", "exitCode"): lambda value, _event, _now: round(value) if _is_number(value) else _GONE,
}
