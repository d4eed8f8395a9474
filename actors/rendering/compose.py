"""Rendering of durable events into UI messages, the same for live events and for a replay. Pure."""

from collections.abc import Callable, Sequence

from townwatch.actors import messages as m
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, scopes, ui
from townwatch.contracts.codec import encode
from townwatch.contracts.translate import EventSource, translate
from townwatch.contracts.ui import UiMessage

Translation = Callable[[e.RunnerEvent, EventSource, e.ApprovalRequest | None], list[UiMessage]]


def compose(
    state: SessionState, events: Sequence[e.RunnerEvent], translation: Translation = translate
) -> list[m.UiFrame]:
    """The UI messages of the events, in order, each encoded once. `state`: the session's, after the events.
    `translation`: all of townwatch.contracts.translate's messages, or those of one audience.
    """
    origin = state.origin
    outgoing: list[m.UiFrame] = []
    for event in events:
        resolved = state.resolved.get(event.approval_id) if isinstance(event, e.ApprovalResolved) else None
        outgoing += [encoded(message, event.seq) for message in translation(event, origin, resolved)]
    return outgoing


def encoded(message: UiMessage, seq: int) -> m.UiFrame:
    """One message with its payload as JSON text."""
    approval = None
    if message.event == "approval_requested":
        approval = scopes.approval_key(message.payload.session_id, message.payload.approval_id)
    output = isinstance(message.payload, ui.WorkStreamEvent) and message.payload.type == "output"
    return m.UiFrame(message.event, encode(message.payload), message.scope, seq, approval, output)
