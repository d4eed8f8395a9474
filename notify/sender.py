"""The sender of calls: reads the event log, keeps each message as a row, delivers the rows to webhooks and to people.

The log is read by its own positions, and the position is moved in the transaction that stores the messages: a service
that is killed at any moment makes each message once. A message is sent at least once: killed between the receiver's
answer and the row that says so, the service sends it again, with the same id.
"""

import random
from collections.abc import Mapping
from functools import partial

import attrs
import structlog
import trio
from sqlalchemy import Connection

from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.contracts.faults import TablesUnavailable
from townwatch.notify.deliver import AttemptOutcome, Caller, PlannedAttempt, SendPlan
from townwatch.notify.occasions import EVENT_TYPES
from townwatch.notify.reader import audiences, messages_of
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.calls import deliveries, links, targets, webhooks
from townwatch.store.calls.deliveries import Delivery
from townwatch.store.database import Database
from townwatch.store.log.port import DurableLog

log = structlog.get_logger("calls")

LOOK_SECONDS = 0.25
"""How often the log's position is looked at, which is a number in memory."""
STEP = 5000
"""Events of the log that are looked through at a time."""
AT_ONCE = 32
"""Attempts under way, over all targets; one that fails has a single one."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
"""A target that failed is left alone for so long, twice as long each time: it keeps no place from others."""
AGAIN_SECONDS = 1.0
"""After which the tables are tried again while they are away."""
GROWTH, LONGEST_RETRY_SECONDS = 4, 36_000.0
FORGET_SECONDS = 3600.0
DAY_MS = 86_400_000
KEPT_DELIVERED_MS, KEPT_DEAD_MS = 7 * DAY_MS, 30 * DAY_MS


@attrs.frozen(kw_only=True)
class Retries:
    """`attempts` of a message until it is a dead letter, and the seconds between the first two; then four times as
    long each time, ten hours at most.
    """

    attempts: int
    first_seconds: float

    def after(self, attempt: int, wish: int | None) -> float | None:
        """Return the seconds until the next attempt, after this one (from 1); None: it was the last."""
        if attempt >= self.attempts:
            return None
        wait = min(self.first_seconds * GROWTH ** (attempt - 1), LONGEST_RETRY_SECONDS)
        return max(wait * random.uniform(0.9, 1.1), wish or 0)  # so that what failed together does not return together


@attrs.frozen
class TargetsChanged:
    """A webhook or channel was made or changed, or something is to be sent now. `target_id`: it is not left alone any
    more.
    """

    target_id: str | None = None


@attrs.define(eq=False)
class SenderBell:
    """Address of the sender, for those that change what it reads. Written by the sender when it starts."""

    sender: Ref | None = None

    def ring(self, target_id: str | None = None) -> None:
        """Tell the sender to look again; a sender that is away looks when it starts."""
        tell_if_alive(self.sender, TargetsChanged(target_id))


@attrs.define
class _Pause:
    until: float
    """By trio's clock."""
    failures: int


class CallSender(TaskOwner):
    """Message: TargetsChanged. The rows are the truth; what is in memory here may be lost at any moment."""

    def __init__(
        self,
        context: Context,
        database: Database,
        event_log: DurableLog,
        callers: Mapping[str, Caller],
        retries: Retries,
        bell: SenderBell,
        page: str = "",
    ) -> None:
        """`callers`: by what the ids of their targets begin with. `page`: scheme and host of the page, "" where that
        is not known.
        """
        super().__init__()
        self._context = context
        self._database = database
        self._event_log = event_log
        self._callers = callers
        self._retries = retries
        self._page = page
        self._bell = bell
        self._changed, self._due = trio.Event(), trio.Event()
        self._idle = False
        """Whether there was no target that is on, when they were read last."""
        self._changes = 0
        self._under_way: dict[int, str] = {}
        """Delivery → target."""
        self._attempts = 0
        self._pauses: dict[str, _Pause] = {}

    def on_start(self) -> None:
        self._bell.sender = self.actor_ref
        self.tasks.start_soon(self._read_on)
        self.tasks.start_soon(self._send_on)
        self.tasks.start_soon(self._forget_on)

    def on_receive(self, message: TargetsChanged) -> None:
        if message.target_id is not None:
            self._pauses.pop(message.target_id, None)
        self._idle = False
        self._changes += 1
        self._changed.set()
        self._due.set()

    # --- the log becomes rows ---------------------------------------------------------------------

    async def _read_on(self) -> None:
        position: int | None = None
        while True:
            self._changed, rest = trio.Event(), LOOK_SECONDS
            try:
                if position is None:
                    position = await self._database.read(webhooks.position)
                position = await self._read(position)
            except (TablesUnavailable, OSError) as error:
                log.error("calls_wait", reason=str(error))
                rest = AGAIN_SECONDS
            with trio.move_on_after(rest):
                await self._changed.wait()

    async def _read(self, position: int) -> int:
        """Make rows of what came after `position`; return the new one."""
        end = self._event_log.position
        if end < position:  # the log is another one: its positions begin anew
            log.warning("calls_log_replaced", was=position, now=end)
            await self._database.call(webhooks.move, end)
            return end
        if end == position or self._idle:
            return position
        changes = self._changes
        oldest = await self._database.read(targets.oldest)
        if oldest is None:
            self._idle = changes == self._changes  # else one may have been made while the rows were read
            return position
        position = max(position, min(oldest, end))
        while position < end:
            until = min(position + STEP, end)
            records = await trio.to_thread.run_sync(self._event_log.of_types, EVENT_TYPES, position, until)
            villages = list(dict.fromkeys(record.village_id for record in records))
            told = await self._database.read(audiences, villages) if villages else {}
            found = [one for record in records for one in messages_of(record, told, self._context, self._page)]
            now = self._context.clock.now_ms()
            await self._database.call(deliveries.take, found, now, until)
            position = until
            if found:
                self._due.set()
        return position

    # --- rows become requests ---------------------------------------------------------------------

    async def _send_on(self) -> None:
        while True:
            self._due = trio.Event()
            try:
                rest = await self._begin_what_is_due()
            except TablesUnavailable:
                rest = AGAIN_SECONDS
            with trio.move_on_after(rest):
                await self._due.wait()

    async def _begin_what_is_due(self) -> float:
        """Begin attempts; return the seconds until there may be another one."""
        now_ms, now = self._context.clock.now_ms(), trio.current_time()
        found, later = await self._database.read(deliveries.waiting_targets, now_ms)
        rest = float("inf") if later is None else (later - now_ms) / 1000
        random.shuffle(found)  # where places are few, none is always the last
        for target_id in found:
            pause = self._pauses.get(target_id)
            if pause is not None and pause.until > now:
                rest = min(rest, pause.until - now)
                continue
            caller = self._callers[target_id.partition("_")[0]]
            busy = [one for one, target in self._under_way.items() if target == target_id]
            failing = pause is not None and pause.failures > 0
            room = min((1 if failing else caller.at_once) - len(busy), AT_ONCE - self._attempts)
            if room > 0:
                wait = await self._begin(caller, target_id, now_ms, room, busy)
                rest = min(rest, float("inf") if wait is None else wait)
        return max(rest, 0.01)

    async def _begin(self, caller: Caller, target_id: str, now_ms: int, room: int, busy: list[int]) -> float | None:
        """Begin attempts for one target; return the seconds that it is left alone."""
        wanted = room if caller.at_once > 1 else caller.looks_at
        due = await self._database.read(deliveries.due_of, target_id, now_ms, wanted, busy)
        plan = await caller.plan(target_id, due, now_ms)
        if plan.void or plan.postponed:
            await self._database.call(_put_off, plan, now_ms)
        for attempt in plan.attempts[:room]:
            self._under_way.update((one.delivery_id, target_id) for one in attempt.deliveries)
            self._attempts += 1
            self.tasks.start_soon(self._attempt, target_id, attempt)
        if plan.rest is not None:
            self._pauses[target_id] = _Pause(trio.current_time() + plan.rest, 0)
        return 0.0 if plan.void or plan.postponed else plan.rest  # there may be more to look at

    async def _attempt(self, target_id: str, attempt: PlannedAttempt) -> None:
        try:
            outcome = await attempt.send()
            self._note(target_id, outcome)
            await self._database.call(partial(self._settle_all, target_id, attempt, outcome))
        except TablesUnavailable:  # it is still waiting: the receiver gets it once more
            self._note(target_id, AttemptOutcome(error="the tables are away"))
        finally:
            self._attempts -= 1
            for one in attempt.deliveries:
                del self._under_way[one.delivery_id]
            self._due.set()

    def _note(self, target_id: str, outcome: AttemptOutcome) -> None:
        """Leave a target that failed alone for a while."""
        if outcome.error is None:
            self._pauses.pop(target_id, None)
            return
        pause = self._pauses.setdefault(target_id, _Pause(0.0, 0))
        seconds = min(PAUSE_SECONDS * 2**pause.failures, LONGEST_PAUSE_SECONDS)
        pause.failures, pause.until = min(pause.failures + 1, 20), trio.current_time() + seconds

    def _settle_all(
        self, target_id: str, attempt: PlannedAttempt, outcome: AttemptOutcome, connection: Connection
    ) -> None:
        for one in attempt.deliveries:
            self._settle(target_id, one, outcome, connection)
        if outcome.gone:
            targets.switch_off(connection, target_id, outcome.error or "")

    def _settle(self, target_id: str, delivery: Delivery, outcome: AttemptOutcome, connection: Connection) -> None:
        now = self._context.clock.now_ms()
        state, then = "delivered", now
        if outcome.error is not None:
            wait = (
                None
                if outcome.gone or outcome.hopeless
                else self._retries.after(delivery.attempts + 1, outcome.retry_after)
            )
            state, then = ("dead", now) if wait is None else ("waiting", now + int(wait * 1000))
            log.warning(
                "call_failed",
                target=target_id,
                message=delivery.message_id,
                attempt=delivery.attempts + 1,
                reason=outcome.error,
                given_up=wait is None,
            )
        deliveries.settle(
            connection,
            delivery.delivery_id,
            state=state,
            next_ms=then,
            status=outcome.status,
            error=outcome.error,
        )

    async def _forget_on(self) -> None:
        while True:
            now = self._context.clock.now_ms()
            try:
                await self._database.call(deliveries.forget, now - KEPT_DELIVERED_MS, now - KEPT_DEAD_MS)
                await self._database.call(links.forget, now)
            except TablesUnavailable as error:
                log.warning("calls_not_tidied", reason=str(error))
            await trio.sleep(FORGET_SECONDS)


def _put_off(connection: Connection, plan: SendPlan, now_ms: int) -> None:
    for delivery_id, why in plan.void:
        deliveries.withdraw(connection, delivery_id, why, now_ms)
    for delivery_id, until in plan.postponed:
        deliveries.postpone(connection, delivery_id, until)
