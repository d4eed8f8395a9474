"""What the cast says to each other. Frozen data; every message names who it is for in its docstring.

Messages that answer an earlier one (`Durable`, `Standing`…) are `System` messages: they overtake and never wait for
room, so that two actors that talk both ways cannot wait for each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from actors.ports import Ref
from actors.runtime import System
from actors.session_state import SessionState
from contracts import events as e
from contracts.link import Command, Heartbeat, Hello, Result
from contracts.records import LogRecord
from contracts.ui import Scope

# --- runner connection → session ------------------------------------------------------------------


@attrs.frozen
class Incoming:
    """One decoded event and the very bytes it came in."""

    event: e.RunnerEvent
    body: bytes


@attrs.frozen
class Batch:
    """To a session: events in order. `link` gets the acks. `lenient`: a hole is recorded, not sent again (ack-less
    dialect). `follows`: the seq that the runner sent before the first of these; a hole after it is the runner's own
    (recorded), a hole before it is ours: a session restarted in between and must ask again.
    """

    link: Ref
    events: Sequence[Incoming]
    lenient: bool = False
    follows: int | None = None


@attrs.frozen
class Held:
    """To a session: its runner is (back) on `link` and has events from `first_seq` on. Answer: the seq to resume
    from.
    """

    link: Ref
    first_seq: int


@attrs.frozen
class RunnerBack(System):
    """To a session, from its runner's actor: it has a connection, and takes commands."""


# --- session → runner connection -----------------------------------------------------------------


@attrs.frozen
class Acked(System):
    """To a link: everything of the session up to `seq` is durable."""

    session_id: str
    seq: int


@attrs.frozen
class Rewind(System):
    """To a link: send this session's events again from after `seq` on (a session that lost what it had in hand)."""

    session_id: str
    seq: int


@attrs.frozen
class Refused(System):
    """To a link: this event will never be accepted."""

    session_id: str
    seq: int
    code: str
    message: str


@attrs.frozen
class Order(System):
    """To a link: a command for the runner."""

    command: Command


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
    after them. Who publishes translates: each message once, and only where somebody is to see it. Without events: there
    may be some that were lost on the way; read them back.
    """

    state: SessionState
    events: Sequence[e.RunnerEvent]

    @property
    def first(self) -> int:
        """The seq of the first of these events; without any: the one after the state."""
        return self.events[0].seq if self.events else self.state.seq + 1


@attrs.frozen
class Outgoing:
    """One UI message, encoded once."""

    event: str
    payload: bytes
    scope: Scope
    seq: int
    approval_id: str | None = None
    """Of an `approval_requested`: which."""


# --- people → session ----------------------------------------------------------------------------


@attrs.frozen
class Input:
    """To a session: what somebody typed. `mode` raw sends it as it is, line adds Enter."""

    data: str
    mode: str = "raw"


@attrs.frozen
class Resize:
    cols: int
    rows: int


@attrs.frozen
class Stop:
    graceful: bool = True
    by: str | None = None


@attrs.frozen
class Pause:
    pass


@attrs.frozen
class Resume:
    pass


@attrs.frozen
class Decide:
    """To a session: a person's decision. The first one wins; the answer is the `Standing` that stands."""

    approval_id: str
    decision: e.Decision
    by: str
    note: str | None = None


@attrs.frozen
class Describe:
    """To a session, an agent or a runner: what are you? Answer: its state."""


class RunnerOffline(Exception):
    """The command needs a connected runner and there is none."""


class UnknownApproval(Exception):
    """The session never asked for that."""


# --- runners -------------------------------------------------------------------------------------


@attrs.frozen
class LinkUp:
    """To a runner: a connection said hello. Answer: None. An older connection of the same runner is closed."""

    link: Ref
    hello: Hello
    lenient: bool = False


@attrs.frozen
class Beat:
    """To a runner: its heartbeat. None: its connection stands, and it is we who do not read it now."""

    heartbeat: Heartbeat | None


@attrs.frozen
class Settled:
    """To a runner: the result of a command."""

    result: Result


@attrs.frozen
class Send:
    """To a runner: deliver this command. Answer: the runner's `Result` when `wait`, else None once it is on its way."""

    command: Command
    wait: bool = False
    keep: bool = True
    """Keep it for the next connection when the runner is away; else `RunnerOffline`."""


@attrs.frozen
class SessionRestarted:
    """To a runner: this session starts over after `seq`; what came later must be sent again."""

    session_id: str
    seq: int


@attrs.frozen
class OfflineCheck:
    """To a runner, by itself: has anything been heard since `link_generation`?"""

    generation: int


@attrs.frozen
class RunnerStatus:
    """To a village: a runner of its sessions came or went."""

    runner_id: str
    status: str


@attrs.frozen
class DiskChanged:
    """To a village: `context.disk` refuses now, or takes again."""


# --- router --------------------------------------------------------------------------------------


@attrs.frozen
class EnsureSession:
    """To the router: the session's actor, made if need be. Raises `ForeignSession` where it belongs to another
    runner.
    """

    session_id: str
    village_id: str
    runner_id: str
    agent_id: str | None = None
    agent_name: str | None = None


@attrs.frozen
class LocateSession:
    """To the router: the session's actor, woken from its snapshot if need be; None where nobody knows it."""

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
    """Somebody deleted it: nobody wants to know more of it."""


class TooManySessions(ForeignSession):
    """The runner has as many live sessions as a runner may have: this one is nobody's."""


# --- clients -------------------------------------------------------------------------------------


@attrs.frozen
class Enter:
    """To a village or an agent: let this client into the room, between two messages. Answer: `Entered`."""

    client_id: str
    room: str


@attrs.frozen
class Entered:
    """`positions`: session → the last seq published to the room before the client came in. `screen`: an agent's."""

    positions: Mapping[str, int]
    screen: Sequence[Outgoing] = ()


@attrs.frozen
class ShowHouse:
    """To a village: let this client into the repo room and send it the house's activity."""

    client_id: str
    repo_id: str


@attrs.frozen
class Houses:
    """To a village: its houses. Answer: a list of `HouseActivity` with their names."""


@attrs.frozen
class ResolveAlert:
    """To a village: the alert is done with; its bug bot goes home."""

    alert_id: str


@attrs.frozen
class Flush:
    """To oneself: do now what was put off."""


@attrs.frozen
class LookBack:
    """To the router itself: is anything durable that nobody was shown?"""


@attrs.frozen
class FromClient:
    """To a client: an event its person sent. Answer: the ack."""

    event: str
    data: Any


@attrs.frozen
class PingNow:
    """To a client, by a timer: measure the round trip."""


@attrs.frozen
class Recovered:
    """To a client whose connection came back with these rooms. Answer: whether it may still be in all of them."""

    rooms: Sequence[str]


@attrs.frozen
class TokenEnded(System):
    """To a client: this token is worth nothing any more. Who came in with it leaves."""

    token_id: str


@attrs.frozen
class Dismiss(System):
    """To a client: somebody closed this connection, for this reason."""

    reason: str


@attrs.frozen
class Evict(System):
    """To a client: leave every room that you may not be in any more."""
