"""Decoding of a runner's message into one of the classes in `events`: checks beyond types, and cuts."""

from functools import cache
from typing import Any

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, Decoder, camel, decode_json
from townwatch.contracts.decoding.lengths import shortened
from townwatch.contracts.events import (
    EVENT_CLASSES,
    FINAL_STATES,
    AlertRaised,
    ApprovalRequested,
    ApprovalResolved,
    ProviderEventForwarded,
    RunnerEvent,
    SessionEnded,
    SessionStarted,
    SessionStateChanged,
    check_repo_ref,
)

_decoder: Decoder[RunnerEvent] = Decoder(*EVENT_CLASSES)
NUL = "has a NUL, which no database keeps in a key"
_PROVIDER_EVENT_FIELDS = ("type", "providerId", "timestamp")


def decode_event(data: bytes | str | msgspec.Raw) -> RunnerEvent:
    """Decode one runner event, flat as on the wire. Raises `ContractError` that names the field."""
    event = _decoder.decode_exact(data if isinstance(data, bytes | msgspec.Raw) else data.encode())
    if event is None:
        event = _with_more(_decoder.decode(data), data)
    _check_beyond_types(event)
    return shown(event)


def _with_more(event: RunnerEvent, data: bytes | str | msgspec.Raw) -> RunnerEvent:
    """The event with the fields that are not known here."""
    known = _names_of(type(event))
    more = {name: value for name, value in msgspec.json.decode(data).items() if name not in known}
    return attrs.evolve(event, more={**more, **(event.more or {})}) if more else event


@cache
def _names_of(cls: type[RunnerEvent]) -> frozenset[str]:
    return frozenset({"type", *(camel(field.name) for field in attrs.fields(cls))})


def check_event(value: Any) -> None:
    """As `decode_event`, for JSON values: raises the same `ContractError`, and returns nothing."""
    _check_beyond_types(_decoder.convert(value))


def decode_known_event(data: msgspec.Raw) -> RunnerEvent | None:
    """An event that has no fields but those that we know; None for any other, which `decode_event` looks at closer."""
    event = _decoder.decode_exact(data)
    if event is None:
        return None
    _check_beyond_types(event)
    return shown(event)


def shown(event: RunnerEvent) -> RunnerEvent:
    """Return the event as it is shown and kept in memory: no longer than a person can read."""
    match event:
        case ApprovalRequested(approval=approval):
            short = shortened(approval)
            if event.truncated and not short.truncated:
                short = attrs.evolve(short, truncated=True)
            return event if short is approval else attrs.evolve(event, approval=short, truncated=True)
        case AlertRaised() | SessionStateChanged() | SessionEnded() | ApprovalResolved() | SessionStarted():
            return shortened(event)
        case _:
            return event


def _check_beyond_types(event: RunnerEvent) -> None:
    """Check what the types alone do not express. Raises `ContractError`."""
    if "\0" in event.session_id or "\0" in event.org_id:
        raise ContractError("sessionId" if "\0" in event.session_id else "orgId", NUL)
    match event:
        case SessionStarted(agent_id=str() as agent_id) if "\0" in agent_id:
            raise ContractError("agentId", NUL)
        case ApprovalRequested(approval=approval) if "\0" in approval.approval_id:
            raise ContractError("approval.approvalId", NUL)
        case ApprovalResolved(approval_id=item) if "\0" in item:
            raise ContractError("approvalId", NUL)
        case AlertRaised(alert_id=item) if "\0" in item:
            raise ContractError("alertId", NUL)
        case SessionEnded(final_state=state) if state not in FINAL_STATES:
            raise ContractError("finalState", f"must be one of {', '.join(sorted(FINAL_STATES))}, not {state}")
        case ProviderEventForwarded(provider_event=inner):
            for name in _PROVIDER_EVENT_FIELDS:
                if name not in inner:
                    raise ContractError(f"providerEvent.{name}", "is required")
        case ApprovalRequested(approval=approval) if approval.session_id != event.session_id:
            raise ContractError("approval.sessionId", "is not the session of the event")
        case _:
            pass
    if event.repo_ref is not None:
        check_repo_ref(event.repo_ref, "repoRef")


@attrs.frozen
class Address:
    """Session and seq that a malformed event claims, as far as they can be read: for the nack."""

    session_id: str
    seq: int


def peek_address(data: bytes | str | msgspec.Raw) -> Address:
    """The session and number in a message that did not decode; "" and 0 where they cannot be read. Never raises."""
    try:
        value = decode_json(bytes(data) if isinstance(data, msgspec.Raw) else data)
    except ContractError:
        value = None
    fields: dict[str, Any] = value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    session_id, seq = fields.get("sessionId"), fields.get("seq")
    return Address(
        session_id if isinstance(session_id, str) else "",
        seq if isinstance(seq, int) and not isinstance(seq, bool) else 0,
    )
