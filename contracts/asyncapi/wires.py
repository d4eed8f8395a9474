"""The wires as data: which messages go which way. Each names the classes that the codec uses."""

from collections.abc import Mapping
from typing import Any

import attrs

from townwatch.contracts import control, joins, link, lists, ui

Messages = Mapping[str, tuple[type[Any], ...]]
"""Name of a message → the classes that its payload may have; none: it has no payload."""


@attrs.frozen(kw_only=True)
class Wire:
    """One channel. `sent`: by the service. `received`: by the service."""

    name: str
    address: str
    title: str
    description: str
    sent: Messages
    received: Messages


def _tagged(*classes: type[Any]) -> Messages:
    return {cls.TYPE: (cls,) for cls in classes}


SOCKETIO = Wire(
    name="socketio",
    address="/socket.io/",
    title="Socket.IO",
    description=(
        "Socket.IO protocol 5 over Engine.IO 4, namespace /. A message is an event with one argument, its payload. The"
        " token is in the handshake: auth.token, or token in the query; without one a client may look at public"
        " villages. Each event that a client sends may ask for an acknowledgement: {ok: true, …} or the payload of"
        " ws_error. Events go to rooms, which a client enters by the join events."
    ),
    sent={
        "agent_spawn": (ui.AgentSpawn,),
        "agent_disconnect": (ui.AgentDisconnect,),
        "work_stream_event": (ui.WorkStreamEvent,),
        "work_stream": (ui.WorkStreamLine,),
        "agent_update": (ui.AgentUpdate,),
        "alert_raised": (ui.AlertMessage,),
        "bug_bot_spawn": (ui.BugBot,),
        "bug_bot_progress": (ui.BugBotProgress,),
        "bug_bot_resolved": (ui.BugBot,),
        "house.activity": (ui.HouseActivity,),
        "house_changed": (lists.HouseChanged,),
        "terminal_output": (ui.TerminalOutput,),
        "usage_tick": (ui.UsageTickMessage,),
        "approval_requested": (ui.ApprovalMessage,),
        "approval_resolved": (ui.ApprovalMessage,),
        "approval_decided": (ui.ApprovalDecided,),
        "keyboard": (ui.KeyboardMessage,),
        "presence": (ui.PresenceMessage,),
        "gap": (ui.GapMessage,),
        "server_ping": (),
        "ws_error": (joins.RefusalMessage,),
    },
    received={**{name: (event.payload,) for name, event in joins.PAYLOADS.items()}, "ping": ()},
)
CONTROL = Wire(
    name="control",
    address="/ws",
    title="Control plane",
    description=(
        "Plain JSON text frames. First authenticate, then subscribe to sessions and runners. A client that has not"
        " authenticated within 10 seconds is closed with 1008, a silent one after 60 with 1001."
    ),
    sent=_tagged(
        control.SessionMessage, control.TerminalMessage, control.EventMessage, control.Pong, control.ControlError
    ),
    received=_tagged(*control.CONTROL_MESSAGES),
)
RUNNER = Wire(
    name="runner",
    address="/runner",
    title="Runner link",
    description=(
        f"Protocol {link.PROTOCOL}: JSON text frames, a runner's token in the Authorization header. The runner says"
        " hello, the service answers welcome; events are numbered by the runner within their session and kept by it"
        " until they are acknowledged; a command is repeated until its result came. docs/wire-additions.md has the"
        " rules that no schema says."
    ),
    sent=_tagged(link.Welcome, link.Ack, link.Nack, link.Command, link.Policies, link.Allowances, link.LinkError),
    received=_tagged(link.Hello, link.Events, link.Heartbeat, link.Result, link.AllowancesHeld, link.OpenQuestions),
)
WIRES = (SOCKETIO, CONTROL, RUNNER)
