"""From durable events to what the people get: the same way for live events and for a replay. Pure."""

from collections.abc import Callable, Sequence

from actors import messages as m
from actors.session_state import SessionState
from contracts import events as e
from contracts.codec import encode
from contracts.translate import Origin, translate
from contracts.ui import UiMessage

Translation = Callable[[e.RunnerEvent, Origin, e.ApprovalRequest | None], list[UiMessage]]


def compose(
    state: SessionState, events: Sequence[e.RunnerEvent], translation: Translation = translate
) -> list[m.Outgoing]:
    """The UI messages of the events, in order, each encoded once. `state`: the session's, after the events.
    `translation`: all of contracts.translate's messages, or those of one audience.
    """
    origin = state.origin
    outgoing: list[m.Outgoing] = []
    for event in events:
        resolved = state.resolved.get(event.approval_id) if isinstance(event, e.ApprovalResolved) else None
        outgoing += [encoded(message, event.seq) for message in translation(event, origin, resolved)]
    return outgoing


def encoded(message: UiMessage, seq: int) -> m.Outgoing:
    """One message with its payload as JSON text."""
    approval_id = message.payload.approval_id if message.event == "approval_requested" else None
    return m.Outgoing(message.event, encode(message.payload), message.scope, seq, approval_id)
