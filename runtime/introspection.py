"""Find a living actor, and look at it without stopping it."""

from collections import deque
from typing import Any, Literal, TypeVar, overload

import attrs
import pykka
import trio

from townwatch.runtime import _world
from townwatch.runtime._messages import Envelope, System
from townwatch.runtime._reasons import describe
from townwatch.runtime._ref import ActorRef
from townwatch.runtime._spec import MailboxReport
from townwatch.runtime.kernel import actor_behind, incarnation_of

State = Literal["up", "starting", "suspended", "down", "dead"]

A = TypeVar("A", bound=pykka.Actor)


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
    """A record of the latest `limit` messages that an actor handled. Types and times, never contents."""

    def __init__(self, now: Any, limit: int) -> None:
        self.entries: deque[TraceEntry] = deque(maxlen=limit)
        self._now = now
        self._open: tuple[Envelope, float] | None = None

    def begin(self, envelope: Envelope) -> None:
        """Note that a message is in hand."""
        self._open = (envelope, self._now())

    def end(self, outcome: str) -> None:
        """Note that the message in hand was handled. Ignored where none was begun."""
        if self._open is None:
            return
        (envelope, at), self._open = self._open, None
        kind = "system" if isinstance(envelope.message, System) else "ask" if envelope.reply_to else "tell"
        name, now = type(envelope.message).__name__, self._now()
        self.entries.append(TraceEntry(at, name, kind, max(0.0, at - envelope.sent_at), now - at, outcome))


@overload
def whereis(path: str) -> Any | None: ...
@overload
def whereis(path: str, actor: type[A]) -> ActorRef[A] | None: ...
def whereis(path: str, actor: Any = None) -> Any | None:
    """Return the address of the living actor of that path, or None.

    A supervised actor's path is made of ids from the top: `root/villages/village:demo`. It outlives even the restart
    of a supervisor, after which the children have new addresses: code that holds one for long asks again on Down.

    Args:
        actor: its class, for the type checker: the address is then an `ActorRef[actor]`.

    Raises:
        TypeError: the actor of that path is of another class.
    """
    ref = _world.find(path)
    if ref is not None and actor is not None and not issubclass(ref.actor_class, actor):
        raise TypeError(f"the actor {path!r} is a {ref.actor_class.__name__}, not a {actor.__name__}")
    return ref


def inspect(ref: ActorRef[Any]) -> ActorReport:
    """Return the actor as data, now. Sends no message: an actor that hangs can be looked at."""
    current = incarnation_of(ref)
    hand = current.in_hand if current is not None else None
    return ActorReport(
        actor=ref.actor_class.__name__,
        path=ref.path,
        urn=ref.actor_urn,
        incarnation=ref.incarnation,
        state=state_of(ref),
        mailbox=ref.actor_inbox.report(),
        in_hand=type(hand.message).__name__ if hand is not None else None,
        in_hand_for=max(0.0, ref.actor_inbox.now() - current.in_hand_since) if current and hand is not None else 0.0,
        end=describe(ref.end_reason) if ref.end_reason is not None else None,
    )


def state_of(ref: ActorRef[Any]) -> State:
    """Return the actor's state in one word."""
    actor = actor_behind(ref)
    if not ref.is_alive():
        return "dead"
    if actor is None or actor.actor_stopped.is_set():
        return "down"
    if not ref.is_up:
        return "starting"
    return "suspended" if ref.actor_inbox.suspended else "up"


def suspend(ref: ActorRef[Any]) -> None:
    """Let the actor finish the message in hand and then handle only system messages, until `resume()` or a restart."""
    ref.actor_inbox.world.on_loop(ref.actor_inbox.suspend)


def resume(ref: ActorRef[Any]) -> None:
    """Undo `suspend()`."""
    ref.actor_inbox.world.on_loop(ref.actor_inbox.resume)


async def trace(ref: ActorRef[Any], duration: float, limit: int = 1000) -> list[TraceEntry]:
    """Return what the current incarnation handles in the next `duration` seconds: the latest `limit` messages."""
    incarnation = incarnation_of(ref)
    if incarnation is None:
        return []
    tracer = incarnation.tracer = Tracer(ref.actor_inbox.now, limit)
    try:
        await trio.sleep(duration)
    finally:
        if incarnation.tracer is tracer:
            incarnation.tracer = None
    return list(tracer.entries)
