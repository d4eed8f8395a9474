"""Feeding of the runner's frames to the sessions' actors, in order, with back-pressure; again where a session asks.

A task beside the link's mailbox, so that a slow session holds up neither acknowledgements nor commands.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
import trio

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.actors.session.ending import why_late
from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.oddities import mend
from townwatch.contracts.decoding.runner_events import decode_event, decode_known_event, peek_address
from townwatch.contracts.events import GREATEST_OF_RUNNERS, RunnerEvent, SessionStarted
from townwatch.contracts.link import Nack
from townwatch.contracts.village_ids import name_of
from townwatch.runtime import ActorDeadError
from townwatch.transports.runners.clock import RunnerClock
from townwatch.transports.runners.flight import BATCH_EVENTS, EventBatch, Flight
from townwatch.transports.runners.frames import unknown_fields
from townwatch.transports.runners.masking import INLINE_BYTES, EventMasker
from townwatch.transports.runners.ports import LinkSettings, RunnerIdentity

log = structlog.get_logger("links")

CALL_SECONDS = 10.0
AGAIN_SECONDS = 0.1
"""At least so long between two times that a session's events are sent again."""
RESEND_CAP_SECONDS = 60.0


class Unavailable(Exception):
    """The cast cannot take the events now; the runner should come back."""


class ResumeElsewhere(Exception):
    """A session needs events that only the runner has: it must say hello again and be told where to resume."""


class Feeder:
    """Every session's flight on this connection, and the frames that wait."""

    def __init__(
        self,
        context: Context,
        identity: RunnerIdentity,
        link: Ref,
        settings: LinkSettings,
        nack: Callable[[Nack], None],
        clock: RunnerClock,
        *,
        lenient: bool,
    ) -> None:
        self._context = context
        self._identity = identity
        self._link = link
        self._settings = settings
        self._nack = nack
        self._clock = clock
        self._lenient = lenient
        self._masker = EventMasker()
        self._frames: deque[list[msgspec.Raw]] = deque()
        self._flights: dict[str, Flight] = {}
        self._spool_from: dict[str, int] = {}
        self._foreign: dict[str, str] = {}
        self._tell_mended: Callable[..., Any] = log.info
        self._wake = trio.Event()
        self._room = trio.Event()
        self.events_waiting = 0
        self.events_held = 0
        self.bytes_held = 0

    @property
    def in_flight(self) -> int:
        """Events received and not durable yet."""
        return self.events_waiting + self.events_held

    @property
    def is_full(self) -> bool:
        """Return whether so much is held that reading must stop."""
        return self.bytes_held > self._settings.held_bytes

    # --- from the link ----------------------------------------------------------------------------

    def offer(self, events: list[msgspec.Raw]) -> None:
        """A frame's events, in order."""
        self._frames.append(events)
        self.events_waiting += len(events)
        self.bytes_held += sum(map(_size, events))
        self._wake.set()

    async def room(self, events: int) -> None:
        """Wait until less than `held_bytes` and fewer than `events` events are on their way."""
        while self.is_full or self.in_flight >= events:
            self._room = trio.Event()
            await self._room.wait()

    def acked(self, session_id: str, seq: int) -> tuple[int, int]:
        """Let go of what the journal has. Return how many events and bytes that were."""
        flight = self._flights.get(session_id)
        if flight is None:
            return 0, 0
        events, size = flight.trim(seq)
        if events:
            flight.moved_at, flight.resend_after = trio.current_time(), self._settings.resend
        self._let_go(events, size)
        return events, size

    def release(self, session_id: str, seq: int) -> None:
        """The session refused this event: it will never be durable."""
        flight = self._flights.get(session_id)
        size = None if flight is None else flight.drop(seq)
        if size is not None:
            self._let_go(1, size)

    def any_ack(self) -> tuple[str, int] | None:
        """A session and how far it is durable: something true to say when there is only a window to tell."""
        return next(((flight.session_id, flight.acked) for flight in self._flights.values()), None)

    def rewind(self, session_id: str, after: int) -> None:
        """A session wants everything after `after` again."""
        flight = self._flights.get(session_id)
        if flight is None:
            return
        now = trio.current_time()
        flight.rewind(after, max(now, flight.again_at + AGAIN_SECONDS))
        self._wake.set()

    def patrol(self) -> None:
        """Hand over again, now and then, what was handed over long ago and never became durable."""
        now = trio.current_time()
        for flight in self._flights.values():
            if flight.held and flight.again is None and now - flight.moved_at >= flight.resend_after:
                flight.moved_at, flight.resend_after = now, min(RESEND_CAP_SECONDS, flight.resend_after * 2)
                flight.rewind(max(flight.acked, flight.resume_from - 1), now)
                self._wake.set()

    # --- sessions ---------------------------------------------------------------------------------

    async def held(
        self, session_id: str, village_id: str, first_seq: int, started: SessionStarted | None = None
    ) -> Flight:
        """The session's actor knows that its runner is here; the flight says where to resume. `started`: the event
        that may name the agent. Raises `ForeignSession` or `Unavailable`.
        """
        ref = await self._ensure(session_id, village_id, started)
        await self._ask_held(ref, first_seq)
        state = self._context.board.session(session_id)
        durable = 0 if state is None else state.seq
        # Not what the session says, which counts what it has in hand: the runner lets go of all before resumeFrom.
        resume_from = max(durable + 1, first_seq)
        flight = Flight(session_id, village_id, ref, resume_from, first_seq, durable)
        if self._lenient:
            flight.last = 0  # such a runner may repeat what we have: the session drops it
        flight.moved_at, flight.resend_after = trio.current_time(), self._settings.resend
        self._flights[session_id] = flight
        return flight

    def expect(self, session_id: str, first_seq: int) -> None:
        """Note where the spool of a session begins that only `hello` named so far."""
        self._spool_from[session_id] = max(1, first_seq)

    async def _ensure(self, session_id: str, village_id: str, started: SessionStarted | None = None) -> Ref:
        wanted = m.EnsureSession(
            session_id,
            village_id,
            self._identity.runner_id,
            agent_id=None if started is None else started.agent_id,
            agent_name=None if started is None else started.agent_name,
        )
        try:
            return await self._context.router_call(wanted)
        except m.ForeignSession:
            raise
        except Exception as error:
            raise Unavailable(f"the session's actor could not be started ({type(error).__name__})") from error

    async def _ask_held(self, ref: Ref, first_seq: int) -> int:
        try:
            return await ref.call(m.ResumeSession(self._link, first_seq), timeout=CALL_SECONDS)
        except Exception as error:
            raise Unavailable(f"the session did not say where to resume ({type(error).__name__})") from error

    # --- the task ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled. Raises `Unavailable` and `ResumeElsewhere`."""
        while True:
            self._wake = trio.Event()
            due = await self._send_again()
            if self._frames:
                await self._frame(self._frames.popleft())
                continue
            if due is None:
                await self._wake.wait()
            else:
                with trio.move_on_at(due):
                    await self._wake.wait()

    async def _send_again(self) -> float | None:
        """Do the rewinds that are due. When the next one is; None where there is none."""
        next_due: float | None = None
        for flight, after in [(flight, flight.again) for flight in self._flights.values()]:
            if after is None:
                continue
            if flight.again_at > trio.current_time():
                next_due = min(next_due or flight.again_at, flight.again_at)
                continue
            flight.again = None
            await self._rewound(flight, after)
        return next_due

    async def _rewound(self, flight: Flight, after: int) -> None:
        if flight.beyond_reach(after) and not self._lenient:
            raise ResumeElsewhere(f"session {flight.session_id} needs its events from {after + 1} on")
        log.info("events_sent_again", session=flight.session_id, after=after, events=len(flight.held))
        self._context.measure("rewind", {})
        hole_at_start = after + 1 < flight.resume_from
        for run in list(flight.runs(after)):
            await self._hand_over(flight, run, lenient=hole_at_start)
            hole_at_start = False

    async def _frame(self, raws: list[msgspec.Raw]) -> None:
        """Decode, sort out, hand over: neighbours of one session become one message."""
        flight: Flight | None = None
        run: EventBatch | None = None
        number = unbroken = 0
        for raw in raws:
            size = _size(raw)
            number, unbroken = number + 1, unbroken + size
            if number % 64 == 0 or unbroken > INLINE_BYTES:
                await trio.lowlevel.checkpoint()  # a window's worth in one frame must not stop the loop
                unbroken = size
            self.events_waiting -= 1
            decoded = self._decode(raw)
            if decoded is None or not await self._belongs(decoded[0]):
                self._let_go(0, size)
                continue
            event, body = self._clock.set_right(*decoded)
            incoming = await self._masker.incoming(event, body)
            mine = self._flights[event.session_id]
            previous = mine.last
            if not mine.take(incoming):
                self._repeated(mine, event, size)
                continue
            self.events_held += 1
            self.bytes_held += len(incoming.body) - size  # what is let go later is what is kept
            if run is None or mine is not flight or event.seq != previous + 1 or len(run.events) >= BATCH_EVENTS:
                await self._hand_over(flight, run)
                flight, run = mine, EventBatch(previous, [])
            run.events.append(incoming)
        await self._hand_over(flight, run)

    def _decode(self, raw: msgspec.Raw) -> tuple[RunnerEvent, bytes] | None:
        """The event and the body to store; None for a malformed one, which the runner is told."""
        try:
            event = decode_known_event(raw)
            if event is not None:
                return event, bytes(raw)
            event = decode_event(raw)
        except ContractError as error:
            return self._mended(raw, error)
        if unknown := unknown_fields(type(event), raw):
            self._context.measure("unknown_field", {"count": unknown})
        return event, bytes(raw)

    def _mended(self, raw: msgspec.Raw, error: ContractError) -> tuple[RunnerEvent, bytes] | None:
        """An odd value is replaced and counted; what cannot be understood is refused."""
        body = mend(bytes(raw), self._context.clock.now_ms())
        if body is None:
            address = peek_address(raw)
            self._refuse(address.session_id, address.seq, error.code, str(error))
            return None
        event = decode_event(body)
        self._context.measure("mended", {"type": event.TYPE})
        session, seq = event.session_id, event.seq
        tell, self._tell_mended = self._tell_mended, log.debug  # once a connection: a runner may be odd all day
        tell("event_mended", runner=self._identity.runner_id, session=session, seq=seq, reason=str(error))
        return event, body

    async def _belongs(self, event: RunnerEvent) -> bool:
        """Return whether this runner may send the event, by its grants as they are now, never by a field alone."""
        if event.seq > GREATEST_OF_RUNNERS:
            self._refuse(event.session_id, event.seq, "E_BAD_PAYLOAD", f"seq: at most {GREATEST_OF_RUNNERS}")
            return False
        ended = self._context.board.session(event.session_id)
        if ended is not None and ended.ended_by is not None and ended.runner_id == self._identity.runner_id:
            self._refuse(event.session_id, event.seq, "E_SESSION_ENDED", why_late(ended))
            return False
        flight = self._flights.get(event.session_id)
        village_id = self._village_of(event) if flight is None else flight.village_id
        why = None
        if village_id is None or not self._identity.may_use(village_id):
            why = "orgId: this runner may not send events of this village"
        elif name_of(village_id) != event.org_id and not self._lenient:
            why = "orgId: the session belongs to another village"
        elif flight is None:
            why = await self._open(event, village_id)
        if why is not None:
            self._refuse(event.session_id, event.seq, "E_FORBIDDEN", why)
        return why is None

    def _village_of(self, event: RunnerEvent) -> str | None:
        """Return the key of the village that the session is in; of a new one, that orgId names if this runner serves
        it. In the dialect without acknowledgements orgId is no village: it is in the one that the runner was enrolled
        for.
        """
        state = self._context.board.session(event.session_id)
        if state is not None:
            return state.village_id
        granted = self._identity.villages()
        return next(iter(granted.values()), None) if self._lenient else granted.get(event.org_id)

    async def _open(self, event: RunnerEvent, village_id: str) -> str | None:
        """The first event of a session on this connection. What speaks against it, or None."""
        if event.session_id in self._foreign:
            return self._foreign[event.session_id]
        known = self._context.board.session(event.session_id) is not None
        first_seq = self._spool_from.get(event.session_id, 0 if known or self._lenient else event.seq)
        try:
            started = event if isinstance(event, SessionStarted) else None
            await self.held(event.session_id, village_id, first_seq, started)
        except m.ForeignSession as error:
            return self._not_mine(event.session_id, error)
        return None

    def _not_mine(self, session_id: str, error: m.ForeignSession) -> str:
        """Return why events of this session are refused, and remember it."""
        told = isinstance(error, (m.TooManySessions, m.DeletedSession))
        why = f"sessionId: {error}" if told else "sessionId: the session belongs to another runner or village"
        if len(self._foreign) < self._settings.window:
            self._foreign[session_id] = why
        return why

    async def _hand_over(self, flight: Flight | None, run: EventBatch | None, *, lenient: bool = False) -> None:
        if flight is None or run is None or not run.events:
            return
        batch = m.Batch(self._link, run.events, lenient or self._lenient, None if self._lenient else run.follows)
        try:
            await flight.ref.send(batch)
        except ActorDeadError:
            await self._revive(flight)

    async def _revive(self, flight: Flight) -> None:
        """The session's actor is gone for good: find or make its successor and give it what is held."""
        try:
            flight.ref = await self._ensure(flight.session_id, flight.village_id)
        except m.ForeignSession as error:  # it was deleted, with its village for instance
            self._drop(flight, self._not_mine(flight.session_id, error))
            return
        resume_from = await self._ask_held(flight.ref, flight.acked + 1)
        flight.rewind(resume_from - 1, trio.current_time())

    def _drop(self, flight: Flight, why: str) -> None:
        """Refuse what is held of a session that is this runner's no more."""
        self._flights.pop(flight.session_id, None)
        held, size = list(flight.held), flight.held_bytes
        flight.held.clear()
        flight.held_bytes = 0
        for incoming in held:
            self._refuse(flight.session_id, incoming.event.seq, "E_FORBIDDEN", why)
        self._let_go(len(held), size)

    # --- small print ------------------------------------------------------------------------------

    def _refuse(self, session_id: str, seq: int, code: str, message: str) -> None:
        self._context.measure("nack", {"code": code})
        log.warning("event_refused", runner=self._identity.runner_id, session=session_id[:200], seq=seq, reason=message)
        self._nack(Nack(session_id=session_id, seq=seq, code=code, message=message))

    def _repeated(self, flight: Flight, event: RunnerEvent, size: int) -> None:
        """Acknowledge a repeated event again where it is durable: the acknowledgement was lost."""
        self._let_go(0, size)
        self._context.measure("repeat", {})
        if event.seq <= flight.acked:
            self._link.tell(m.Acked(flight.session_id, flight.acked))

    def _let_go(self, events: int, size: int) -> None:
        self.events_held -= events
        self.bytes_held -= size
        self._room.set()


def _size(raw: msgspec.Raw) -> int:
    return len(memoryview(raw))
