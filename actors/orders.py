"""Orders of people to a session, with answers and refusals: messages to the session's actor."""

from collections.abc import Sequence
from typing import Any

import attrs
import trio

from townwatch.contracts import events as e
from townwatch.contracts.answers import Answerer
from townwatch.contracts.landing import LandOrder
from townwatch.contracts.link import Result
from townwatch.runtime import System


@attrs.frozen
class Input:
    """To a session: a person's input. `mode` raw sends it as it is, line adds Enter."""

    data: str
    mode: str = "raw"
    claim: str | None = None
    by: str | None = None
    """The user who types."""
    traceparent: str | None = None
    """Place in a trace; of the other orders as well."""


@attrs.frozen
class Resize:
    cols: int
    rows: int
    by: str | None = None
    """The user whose terminal has this size."""
    traceparent: str | None = None


@attrs.frozen
class Stop:
    """To a session. The answer to each of these orders is `Ordered`. `entry`: into the audit log, with the promise.
    `claim`: the same over every attempt of one request, so that it is one command.
    """

    graceful: bool = True
    by: str | None = None
    entry: Any = None
    traceparent: str | None = None


@attrs.frozen
class Pause:
    entry: Any = None
    claim: str | None = None
    traceparent: str | None = None


@attrs.frozen
class Resume:
    entry: Any = None
    claim: str | None = None
    traceparent: str | None = None


@attrs.frozen
class Land:
    """To a session, live or ended: a person wants its changes committed, pushed or merged."""

    order: LandOrder
    entry: Any = None
    claim: str | None = None
    traceparent: str | None = None


@attrs.frozen
class LandDone:
    """To a session: its runner's result of a `Land`. Its row is the session's to settle. `waits`: people are asked, and
    another result brings the outcome.
    """

    result: Result
    waits: bool = False


@attrs.frozen
class Ordered:
    """Progress of an order. `waiting`: sent to a runner that is there; its event is set with the result.
    None: promised to a runner that is away, or done before.
    """

    command_id: str
    waiting: Any = None
    done: bool = False


@attrs.frozen
class End:
    """To a session: the service ends it, for this reason. Answer: a `trio.Event` that is set when that is durable.
    `by`: a user's name, or the rule. `stop`: whether its runner is to be told to stop what may still run of it.
    """

    reason: str
    by: str
    stop: bool = True


class SettleAgain(System):
    """To a session itself: settle in the tables what could not be settled while they were away."""


@attrs.frozen
class SessionLost(System):
    """To a session: its runner says that it does not have it (any more)."""

    reason: str


@attrs.frozen
class Decide:
    """To a session: a person's decision. The first one wins; the answer is the `Decision` on record."""

    approval_id: str
    decision: e.Decision
    by: str
    note: str | None = None
    person: Answerer | None = None
    """Who decides; None: the service itself."""
    stop: bool = False
    """Whether a denied session is to stop; else only the one call is denied."""
    entry: Any = None
    option_id: str | None = None
    answers: dict[str, Any] | None = None
    updated_input: Any = None
    hold_ms: int = 0
    """How long an allow is kept back; it can be taken back until then."""
    traceparent: str | None = None


@attrs.frozen
class StillAsked(System):
    """To a session: what waits in it for a decision, as its runner asks it."""

    approvals: Sequence[e.ApprovalRequest]


class JudgeAgain(System):
    """To a session: compare the questions that wait with the rules as they are now."""


@attrs.frozen
class TakeBack:
    """To a session: undo a held allow. Answer: None; raises `Released` where its runner may have it."""

    approval_id: str
    entry: Any = None


@attrs.frozen
class UseKeyboard:
    """To a session: a person's act on its keyboard. Answer: `people.keyboard.Keyboard`; raises `KeyboardHeld`."""

    action: str
    user_id: str
    name: str
    client_id: str
    to: str | None = None
    to_name: str | None = None
    over: bool = False


@attrs.frozen
class KeyboardLeft(System):
    """To a session: a connection is gone, and may have held the keyboard."""

    client_id: str


class KeyboardExpired(System):
    """To a session itself: the lease of a connection that is gone may be over."""


class Released(Exception):
    """The decision is not held any more: its runner has it, or may have."""


@attrs.frozen
class WorktreeRemoved:
    """To a session that has ended: its runner has removed the worktree that was made for it."""


@attrs.define(eq=False)
class Reported:
    """To a session: what a bridge reports of it, masked, in order; the session numbers it. Answer: the last number.
    Raises `SessionOver`.
    """

    events: Sequence[e.RunnerEvent]
    durable: trio.Event = attrs.field(factory=trio.Event)
    """Set when all of them are on the disk."""
    first: int | None = None
    """The number of the first one: kept where the message is handled again after a crash."""


@attrs.frozen
class Describe:
    """To a session, an agent or a runner: what are you? Answer: its state."""


class RunnerOffline(Exception):
    """The command needs a connected runner and there is none."""


class SessionOver(RunnerOffline):
    """The session has ended: there is nothing to be told to it."""


class AgentWaits(Exception):
    """Text was to be typed into the dialog of an agent that waits for a decision."""


class Unsupported(Exception):
    """The session's runner cannot do that at all."""


class UnknownApproval(Exception):
    """The session never asked for that."""
