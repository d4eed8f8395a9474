"""Messages made of an event of the log: for webhooks, for people's channels, and for those who are next in order."""

from collections.abc import Iterator, Mapping, Sequence

import attrs
from sqlalchemy import Connection

from townwatch.actors.context import Context
from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import ApprovalRequested, RunnerEvent
from townwatch.contracts.records import LogRecord
from townwatch.contracts.ui import default_agent_id
from townwatch.contracts.village_ids import name_of
from townwatch.notify.call import ESCALATED, call_of, to_text
from townwatch.notify.occasions import CallOrigin, body_of, kinds_of, message_id
from townwatch.store.calls import channels, webhooks
from townwatch.store.calls.channels import Channel, Escalation
from townwatch.store.calls.deliveries import CallMessage
from townwatch.store.calls.webhooks import Webhook

MINUTE_MS = 60_000
GRACE_MS = 1000
"""What a rule or a person at the page answers at once is not told."""


@attrs.frozen(kw_only=True)
class CallTargets:
    """Those that are told of a village's events. `channels`: with the role of their person."""

    hooks: Sequence[Webhook] = ()
    channels: Sequence[tuple[Channel, str]] = ()
    escalation: Escalation


def audiences(connection: Connection, villages: Sequence[str]) -> dict[str, CallTargets]:
    """Return who is told, by key of the village."""
    hooks = webhooks.enabled(connection)
    return {
        village: CallTargets(
            hooks=hooks.get(village, []),
            channels=channels.of_members(connection, village),
            escalation=channels.escalation_of(connection, village),
        )
        for village in villages
    }


def messages_of(
    record: LogRecord, told: Mapping[str, CallTargets], context: Context, page: str
) -> Iterator[CallMessage]:
    """Yield the messages of one record of the log."""
    audience = told[record.village_id]
    hooks = [one for one in audience.hooks if one.from_position < record.position]
    people = [one for one in audience.channels if one[0].from_position < record.position]
    if not hooks and not people:
        return
    try:
        event = decode_event(record.body)
    except ContractError:  # it was logged when it was read first
        return
    state = context.board.session(record.session_id)
    origin = CallOrigin(
        village=name_of(record.village_id),
        agent_id=default_agent_id(record.session_id) if state is None else state.agent_id,
        agent_name=None if state is None else state.agent_name,
        page=page,
    )
    for kind in kinds_of(event):
        wanted = [one for one in hooks if kind in one.kinds.split()]
        body = body_of(event, kind, origin, record.stored_ms) if wanted else ""
        yield from (_message(record, one.webhook_id, kind, body) for one in wanted)
        yield from _to_people(record, event, kind, origin, people)
    if isinstance(event, ApprovalRequested):
        yield from _passed_on(record, event, origin, people, audience.escalation)


def _to_people(
    record: LogRecord, event: RunnerEvent, kind: str, origin: CallOrigin, people: Sequence[tuple[Channel, str]]
) -> Iterator[CallMessage]:
    """Yield the calls to those who want this kind. Of a failure, who wants both kinds is called once."""
    wanted = [one for one, _ in people if kind in one.kinds_in(record.village_id)]
    if kind == "session.ended" and "session.failed" in kinds_of(event):
        wanted = [one for one in wanted if "session.failed" not in one.kinds_in(record.village_id)]
    body = to_text(call_of(event, kind, origin, record.village_id, record.stored_ms)) if wanted else ""
    for one in wanted:
        wait = max(GRACE_MS, one.after_seconds * 1000) if kind == "approval.requested" else 0
        yield _message(record, one.channel_id, kind, body, record.stored_ms + wait)


def _passed_on(
    record: LogRecord,
    event: ApprovalRequested,
    origin: CallOrigin,
    people: Sequence[tuple[Channel, str]],
    escalation: Escalation,
) -> Iterator[CallMessage]:
    """Yield the calls that are made without an answer: all of them wait from now on, and most are never made."""
    if escalation.minutes == 0:
        return
    owners = {channel.user_id for channel, role in people if role == "owner"}
    steps = [({user}, escalation.wait_of(user)) for user in escalation.people] or [(owners, escalation.minutes)]
    until = event.approval.timeout_at
    minutes = 0
    for users, wait in steps:
        minutes += wait
        when = record.stored_ms + minutes * MINUTE_MS
        if until is not None and until <= when:
            return
        reached = [one for one, role in people if one.user_id in users and role != "viewer"]
        reached = [one for one in reached if ESCALATED in one.kinds_in(record.village_id)]
        body = (
            to_text(call_of(event, ESCALATED, origin, record.village_id, record.stored_ms, minutes)) if reached else ""
        )
        for one in reached:
            yield _message(record, one.channel_id, ESCALATED, body, when)


def _message(record: LogRecord, target_id: str, kind: str, body: str, not_before_ms: int = 0) -> CallMessage:
    return CallMessage(
        target_id=target_id,
        message_id=message_id(record.session_id, record.seq, kind),
        kind=kind,
        body=body,
        session_id=record.session_id,
        not_before_ms=not_before_ms,
    )
