"""The checks of the runner kit. docs/runner-protocol.md explains the rules at greater length."""

from functools import partial

from townwatch.conformance.report import WireRule, rules_of

_of = partial(rules_of, "docs/runner-protocol.md")

PROMISES: dict[str, WireRule] = {
    **_of(
        "connecting",
        ("connect.token", "The handshake carries the runner's token: Authorization: Bearer TOKEN."),
        ("hello.first", "The first message on each connection is hello."),
        ("hello.shape", "hello names runnerId, name, version, capabilities and sessions, with the right types."),
        ("hello.same_runner", "A runner keeps its runnerId from connection to connection."),
        (
            "hello.sessions",
            "hello lists each session of which events are not acknowledged, from firstSeq (not above what is"
            " acknowledged + 1) to lastSeq (not below what was sent).",
        ),
        ("connect.comes_back", "A connection that was lost is made again, wherever it was cut."),
        ("connect.refused", "A service that answers 503 is asked again."),
        ("connect.restart", "A connection that is closed with 1012 (the service restarts) is made again."),
        ("connect.pong", "A WebSocket ping is answered."),
    ),
    **_of(
        "connecting",
        ("hello.clock", "clock of hello and ts of heartbeats are the same clock, in milliseconds."),
        ("connect.silence", "A service that hangs, with its connection open, is noticed within 15 s."),
        ("hello.call", "call, where it is said, grows from connection to connection."),
        optional=True,
    ),
    **_of(
        "messages",
        ("frame.text", "Every message is one text frame with one JSON object that has a type that runners may send."),
        ("frame.size", "No frame is longer than 4 MiB."),
        ("unknown.field", "A field that the runner does not know is ignored."),
        ("unknown.type", "A message of a type that the runner does not know is ignored; the connection stays."),
        ("heartbeat.interval", "A heartbeat comes every heartbeatMs; two missed ones in a row mean offline."),
        ("heartbeat.sessions", "A session that runs is in activeSessions of the heartbeat."),
    ),
    **_of(
        "events",
        ("event.shape", "Every event is of a known type and has its fields, of the right types."),
        ("event.session", "The events of a started session carry the sessionId and orgId of its start command."),
        ("event.numbers", "seq counts from 1 within a session, by 1, in order."),
        ("event.milliseconds", "ts is in epoch milliseconds."),
        ("event.states", "The state changes only as the state machine of a session allows."),
        ("event.end", "SESSION_ENDED is a session's last event but for a DIFF_SUMMARY, and comes once."),
    ),
    **_of(
        "resuming",
        ("resume.no_loss", "After a lost connection the events from resumeFrom on come again: none is missing."),
        ("resume.no_doubling", "No event comes twice on one connection."),
        ("resume.from", "Events below resumeFrom, which the service has, are not sent again."),
        ("resume.same_event", "A seq stands for one event for ever: what is sent again is the same."),
        ("nack.dropped", "A nacked event is dropped and never sent again; those behind it are."),
    ),
    **_of(
        "window",
        ("window.kept", "At most `window` events are sent and not acknowledged."),
        ("window.heartbeat", "Heartbeats go on while the window is full."),
        ("window.goes_on", "An acknowledgement makes room: the runner sends on."),
    ),
    **_of(
        "commands",
        ("command.result", "Each command is answered by a result with its commandId; one that failed with a reason."),
        ("command.start", "start runs the session: SESSION_STARTED, then RUNNING."),
        ("command.once", "A command that comes again under its commandId is answered again and not done again."),
        ("command.unknown", "A command that the runner does not know is answered with ok: false and a reason."),
        ("command.no_session", "A command for a session that the runner has not is answered with ok: false."),
        ("command.after_cut", "A command whose result was lost with the connection is answered when it comes again."),
        ("command.stop", "stop ends the session within 30 s: STOPPING, a final state, SESSION_ENDED."),
    ),
    **_of(
        "commands",
        ("command.input", "input types into the session's terminal, and what it shows comes as TERMINAL_CHUNK."),
        ("command.pause", "pause and resume change the state to PAUSED_BY_HUMAN and back to RUNNING."),
        ("command.resize", "resize is carried out or answered with ok: false."),
        ("approval.asked", "What waits for a decision is told by APPROVAL_REQUESTED."),
        ("approval.decided", "approve is answered, and APPROVAL_RESOLVED tells the decision that was taken, once."),
        ("approval.final", "A decision stands: the opposite one, later, does not change it."),
        ("command.drain", "After drain, start is refused with a reason."),
        optional=True,
    ),
}
