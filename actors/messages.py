"""Messages between actors. Frozen data; every message names who it is for in its docstring.

Answers (`Durable`, `Acked`…) are `System` messages: they overtake, so that two actors cannot wait for each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from townwatch.actors.client_messages import (
    CameBack as CameBack,
    Dismiss as Dismiss,
    FromClient as FromClient,
    PingNow as PingNow,
    RecheckAccess as RecheckAccess,
    RightsChanged as RightsChanged,
    RoomsRecovered as RoomsRecovered,
    TokenEnded as TokenEnded,
)
from townwatch.actors.house_messages import (
    HouseRenamed as HouseRenamed,
    Houses as Houses,
    ShowHouse as ShowHouse,
)
from townwatch.actors.orders import (
    AgentWaits as AgentWaits,
    Decide as Decide,
    Describe as Describe,
    End as End,
    Input as Input,
    JudgeAgain as JudgeAgain,
    KeyboardExpired as KeyboardExpired,
    KeyboardLeft as KeyboardLeft,
    Land as Land,
    LandDone as LandDone,
    Ordered as Ordered,
    Pause as Pause,
    Released as Released,
    Reported as Reported,
    Resize as Resize,
    Resume as Resume,
    RunnerOffline as RunnerOffline,
    SessionLost as SessionLost,
    SessionOver as SessionOver,
    SettleAgain as SettleAgain,
    StillAsked as StillAsked,
    Stop as Stop,
    TakeBack as TakeBack,
    UnknownApproval as UnknownApproval,
    Unsupported as Unsupported,
    UseKeyboard as UseKeyboard,
    WorktreeRemoved as WorktreeRemoved,
)
from townwatch.actors.ports import Ref
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.link import Command, Heartbeat, Hello, Result
from townwatch.contracts.records import LogRecord
from townwatch.contracts.scopes import ApprovalKey
from townwatch.contracts.ui import Scope
from townwatch.runtime import System

# --- runner connection → session ------------------------------------------------------------------


@attrs.frozen
class IncomingEvent:
    """One decoded event and the very bytes it came in."""

    event: e.RunnerEvent
    body: bytes


@attrs.frozen
class Batch:
    """To a session: events in order. `link` gets the acks. `lenient`: a hole is recorded, not asked for. `follows`: the
    seq that the runner sent before the first of these; a hole after it is the runner's own, one before it is ours.
    """

    link: Ref
    events: Sequence[IncomingEvent]
    lenient: bool = False
    follows: int | None = None


@attrs.frozen
class ResumeSession:
    """To a session: its runner is on `link` and has events from `first_seq` on. Answer: the seq to resume from."""

    link: Ref
    first_seq: int


# --- session → runner connection -----------------------------------------------------------------


@attrs.frozen
class Acked(System):
    """To a link: everything of the session up to `seq` is durable."""

    session_id: str
    seq: int


@attrs.frozen
class ResendFrom(System):
    """To a link: send this session's events again from after `seq` on (a session that lost what it had in hand)."""

    session_id: str
    seq: int


@attrs.frozen
class EventRefused(System):
    """To a link: this event will never be accepted."""

    session_id: str
    seq: int
    code: str
    message: str


@attrs.frozen
class SendCommand(System):
    """To a link: a command for the runner."""

    command: Command


@attrs.frozen
class PoliciesChanged(System):
    """To a runner, and from it to its link: rules of villages that it serves changed, or only leases of budgets."""

    allowances: bool = False


@attrs.frozen
class CloseLink(System):
    """To a link: close the connection and say why. `retry`: whether the runner should come back."""

    reason: str
    retry: bool = True


# --- session ↔ journal ---------------------------------------------------------------------------


@attrs.frozen
class Append:
    """To the journal: make these durable, then tell `reply_to` `Durable`."""

    records: Sequence[LogRecord]
    reply_to: Ref


@attrs.frozen
class Durable(System):
    """To a session: its events up to `seq` are on the disk."""

    seq: int


@attrs.frozen
class SaveSnapshot:
    """To the journal: where a restart begins."""

    key: str
    position: int
    body: bytes


# --- session → router → village, agent -----------------------------------------------------------


@attrs.frozen
class Forward:
    """To the router, and on to the village and the agent: durable events of a session in order, and the session's state
    after them. The publishing actor translates: each message once, and only if a client listens. Without events: there
    may be some that were lost on the way; read them back.
    """

    state: SessionState
    events: Sequence[e.RunnerEvent]

    @property
    def first(self) -> int:
        """The seq of the first of these events; without any: the one after the state."""
        return self.events[0].seq if self.events else self.state.seq + 1


@attrs.frozen
class UiFrame:
    """One UI message, encoded once."""

    event: str
    payload: bytes
    scope: Scope
    seq: int
    approval: ApprovalKey | None = None
    """Id of the approval that an `approval_requested` is about."""
    output: bool = False
    """Whether it is a copy of the terminal's text in the work stream: not for those who watch the terminal."""


# --- runners -------------------------------------------------------------------------------------


@attrs.frozen
class LinkUp:
    """To a runner: a connection said hello. Answer: None. An older connection of the same runner is closed."""

    link: Ref
    hello: Hello
    lenient: bool = False


@attrs.frozen
class HeartbeatReceived:
    """To a runner: its heartbeat, for its sessions. None: its connection stands, and we do not read it now."""

    heartbeat: Heartbeat | None


@attrs.frozen
class CommandResult:
    """To a runner: the result of a command."""

    result: Result


@attrs.frozen
class Send:
    """To a runner: deliver this command. Answer: the runner's `Result` when `wait`, else None once it is on its way."""

    command: Command
    wait: bool = False
    keep: bool = True
    """Keep it for the next connection when the runner is away; else `RunnerOffline`."""
    promised: bool = False
    """True if the command is a row of the promises; it is dropped when the row is settled."""


@attrs.frozen
class CanDo:
    """To a runner: may this kind of command be promised? Raises `Unsupported`; Answer: whether it is connected."""

    command: str


@attrs.frozen
class LookAgain(System):
    """To a runner: there may be a promised command that it was not given."""


@attrs.frozen
class SessionRestarted:
    """To a runner: this session starts over after `seq`; what came later must be sent again."""

    session_id: str
    seq: int


@attrs.frozen
class RunnerStatus:
    """To a village: a runner of its sessions came or went."""

    runner_id: str
    status: str


@attrs.frozen
class DiskChanged:
    """To a village: `context.disk` refuses now, or takes again."""


@attrs.frozen
class Announce:
    """To a village: tell the people of an agent, and with `village` of the whole village, what is no event of a log."""

    event: str
    payload: Any
    agent_id: str
    village: bool = True


@attrs.frozen
class HoldsChanged(System):
    """To the releases: a decision is held."""


@attrs.frozen
class ShowNotice:
    """To a village: `context.notices` has changed."""


# --- router --------------------------------------------------------------------------------------


@attrs.frozen
class EnsureSession:
    """To the router: the session's actor, made if need be. Raises `ForeignSession` where it belongs to another runner.
    `provider_id`: what an ordered one will run."""

    session_id: str
    village_id: str
    runner_id: str
    agent_id: str | None = None
    agent_name: str | None = None
    provider_id: str | None = None


@attrs.frozen
class LocateSession:
    """To the router: the session's actor, woken from its snapshot if need be; None if it is unknown."""

    session_id: str


@attrs.frozen
class EnsureRunner:
    """To the router: the runner's actor, made if need be."""

    runner_id: str


@attrs.frozen
class EnsureVillage:
    """To the router: the village's actor, made if need be."""

    village_id: str


@attrs.frozen
class EnsureAgent:
    """To the router: the agent's actor, made if need be."""

    agent_id: str
    village_id: str


class ForeignSession(Exception):
    """The session belongs to another runner or village."""


class DeletedSession(ForeignSession):
    """The session was deleted: its events are dropped."""


class TooManySessions(ForeignSession):
    """The runner has as many live sessions as a runner may have: this one is not accepted."""


# --- clients -------------------------------------------------------------------------------------


@attrs.frozen
class Enter:
    """To a village or an agent: let this client into the room, and a village's `output`. Answer: `Entered`.

    `since`: session → the last seq that the client has seen; where that is near, an agent makes no screen for it.
    """

    client_id: str
    room: str
    output: bool = True
    since: Mapping[str, int] = attrs.field(factory=dict[str, int])


@attrs.frozen
class Entered:
    """`positions`: session → the last seq published to the room before the client came in. `screen`: an agent's."""

    positions: Mapping[str, int]
    screen: Sequence[UiFrame] = ()


@attrs.frozen
class ResolveAlert:
    """To a village: a session's alert is done with; its bug bot goes home."""

    session_id: str
    alert_id: str


@attrs.frozen
class Flush:
    """To oneself: do now what was put off."""


@attrs.frozen
class CheckUnpublished:
    """To the router itself: is anything durable that was not published?"""
