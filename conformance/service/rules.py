"""The checks of the service kit. docs/client-protocol.md explains the rules at greater length."""

from functools import partial

from townwatch.conformance.report import WireRule, rules_of

_of = partial(rules_of, "docs/client-protocol.md")

RULES: dict[str, WireRule] = {
    **_of(
        "rest",
        ("rest.error", "An error is {error: {code, message}} with the right status, in JSON."),
        ("rest.bad_token", "A token that is not valid is a 401."),
        ("rest.bad_body", "A body that does not fit is a 400 that names the field."),
        ("rest.list", "A list is {items, next}."),
        ("rest.unknown_field", "A field that the service does not know is ignored."),
    ),
    **_of(
        "socketio",
        ("handshake", "Engine.IO's open packet names sid, pingInterval, pingTimeout and maxPayload."),
        ("handshake.bad_token", "A bad token is a connect_error with a message and data.code WS_INVALID_TOKEN."),
        ("join", "A join is acknowledged with {ok: true, room}."),
        ("join.refused", "A refusal is {ok: false, error: {code, message}}, the same as a ws_error event."),
        ("join.bad_payload", "A payload that does not fit is refused with E_BAD_PAYLOAD."),
        ("join.rate", "More joins than are allowed are refused with E_RATE_LIMIT and retryAfter."),
        ("event.unknown", "An event that the service does not know is ignored, and the connection stays."),
        ("field.unknown", "A field that the service does not know is ignored."),
        ("ping", "ping is acknowledged with nothing."),
    ),
    **_of(
        "events",
        ("event.shape", "Every event that is documented has its payload's fields, of the right types."),
        ("event.spawn", "agent_spawn comes before any other event of the session."),
        ("event.once", "A client that is in several rooms of an event gets it once."),
        ("event.order", "The events of a session come in the order of their seq."),
        ("event.left_out", "An optional field that is not known is left out, never null."),
        (
            "since.whole",
            "A join with since brings what was missed, from the next seq on, or a gap that says what is not.",
        ),
        ("since.positions", "The acknowledgement of a join with since has positions {sessionId: seq}."),
        ("terminal", "join_agent with terminal: true brings terminal_output, and no `output` of that agent besides."),
        ("input", "terminal_input is acknowledged, and what it brings about is shown."),
        ("session.end", "A session ends with session_end, then agent_disconnect."),
    ),
    **_of(
        "control",
        ("control.connected", "The first message is the event connected, with a clientId."),
        ("control.first_authenticate", "What needs a token is answered NOT_AUTHENTICATED before one was given."),
        ("control.bad_token", "A token that is not valid is answered AUTH_FAILED."),
        ("control.authenticated", "A good token is answered by the event authenticated, with a userId."),
        (
            "control.unknown_type",
            "An unknown type is answered UNKNOWN_MESSAGE_TYPE, no JSON INVALID_MESSAGE; the connection stays.",
        ),
        ("control.pong", "ping is answered with pong."),
        ("control.subscribed", "subscribe is answered by the event subscribed."),
        ("control.timestamp", "Every message has an ISO-8601 timestamp in UTC."),
        ("control.session", "A subscriber gets the session's output, its changes of state, and completed at its end."),
    ),
}
