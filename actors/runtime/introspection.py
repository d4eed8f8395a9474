"""Looking at a living actor without stopping it."""

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import attrs
import trio

from actors.runtime._envelope import Envelope
from actors.runtime._mailbox import MailboxReport
from actors.runtime._messages import System
from actors.runtime._reasons import describe

if TYPE_CHECKING:
    from actors.runtime._ref import ActorRef

State = Literal["up", "starting", "suspended", "down", "dead"]


@attrs.frozen
class ActorReport:
    """One actor at one moment. state: `up`, `starting`, `suspended`, `down` (between two incarnations) or `dead`.

    in_hand: type of the message being handled, for in_hand_for seconds. end: why it ended for good.
    """

    actor: str
    path: str | None
    urn: str
    incarnation: int
    state: State
    mailbox: MailboxReport
    in_hand: str | None
    in_hand_for: float
    end: str | None


@attrs.frozen
class TraceEntry:
    """One handled message. at: trio time when handling began; waited, took: seconds; outcome: `ok` or the error."""

    at: float
    message_type: str
    kind: Literal["tell", "ask", "system"]
    waited: float
    took: float
    outcome: str


class Tracer:
    """Writes down what an actor handles, the latest `limit` messages of it. Types and times, never contents."""

    def __init__(self, now: Any, limit: int) -> None:
        self.entries: deque[TraceEntry] = deque(maxlen=limit)
        self._now = now
        self._open: tuple[Envelope, float] | None = None

    def begin(self, envelope: Envelope) -> None:
        """A message is in hand."""
        self._open = (envelope, self._now())

    def end(self, outcome: str) -> None:
        """It was handled. A second call for the same message, or one for a message begun before, says nothing."""
        if self._open is None:
            return
        (envelope, at), self._open = self._open, None
        kind = "system" if isinstance(envelope.message, System) else "ask" if envelope.reply_to else "tell"
        name, now = type(envelope.message).__name__, self._now()
        self.entries.append(TraceEntry(at, name, kind, max(0.0, at - envelope.sent_at), now - at, outcome))


def inspect(ref: "ActorRef[Any]") -> ActorReport:
    """The actor as data, now. Sends no message: an actor that hangs can be looked at."""
    actor = ref._actor_weakref()
    life = actor._life if actor is not None else None
    hand = life.in_hand if life is not None else None
    return ActorReport(
        actor=ref.actor_class.__name__,
        path=ref.path,
        urn=ref.actor_urn,
        incarnation=ref.incarnation,
        state=state_of(ref),
        mailbox=ref.actor_inbox.report(),
        in_hand=type(hand.message).__name__ if hand is not None else None,
        in_hand_for=max(0.0, ref.actor_inbox.now() - life.in_hand_since) if life and hand is not None else 0.0,
        end=describe(ref.end_reason) if ref.end_reason is not None else None,
    )


def state_of(ref: "ActorRef[Any]") -> State:
    """What an actor is doing, in one word."""
    actor = ref._actor_weakref()
    if not ref.is_alive():
        return "dead"
    if actor is None or actor.actor_stopped.is_set():
        return "down"
    if not actor._life.serving:
        return "starting"
    return "suspended" if ref.actor_inbox.suspended else "up"


def suspend(ref: "ActorRef[Any]") -> None:
    """Let the actor finish the message in hand and then handle only system messages, until `resume()` or a restart."""
    ref.actor_inbox.world.on_loop(ref.actor_inbox.suspend)


def resume(ref: "ActorRef[Any]") -> None:
    """Undo `suspend()`."""
    ref.actor_inbox.world.on_loop(ref.actor_inbox.resume)


async def trace(ref: "ActorRef[Any]", seconds: float, limit: int = 1000) -> list[TraceEntry]:
    """What the actor handles in the next seconds: the latest `limit` messages. Ends with the incarnation at hand."""
    actor = ref._actor_weakref()
    if actor is None:
        return []
    tracer = actor._life.tracer = Tracer(ref.actor_inbox.now, limit)
    try:
        await trio.sleep(seconds)
    finally:
        if actor._life.tracer is tracer:
            actor._life.tracer = None
    return list(tracer.entries)
