"""The sender of webhooks: reads the event log, keeps each message as a row, delivers the rows.

The log is read by its own positions, and the position is moved in the transaction that stores the messages: a service
that is killed at any moment makes each message once. A message is sent at least once: killed between the receiver's
answer and the row that says so, the service sends it again, with the same id.
"""

import random
from functools import partial

import attrs
import structlog
import trio
from sqlalchemy import Connection

from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.faults import TablesUnavailable
from townwatch.contracts.records import LogRecord
from townwatch.contracts.ui import default_agent_id
from townwatch.contracts.village_ids import name_of
from townwatch.notify.deliver import AttemptOutcome, Courier
from townwatch.notify.occasions import EVENT_TYPES, CallOrigin, body_of, kinds_of, message_id
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.calls import deliveries, webhooks
from townwatch.store.calls.deliveries import Delivery, WebhookMessage
from townwatch.store.calls.webhooks import Webhook
from townwatch.store.database import Database
from townwatch.store.log.port import DurableLog

log = structlog.get_logger("webhooks")

LOOK_SECONDS = 0.25
"""How often the log's position is looked at, which is a number in memory."""
STEP = 5000
"""Events of the log that are looked through at a time."""
AT_ONCE, AT_ONCE_EACH = 32, 4
"""Attempts under way, over all webhooks and of one; one that fails has a single one."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
"""A webhook that failed is left alone for so long, twice as long each time: it keeps no place from others."""
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
class WebhooksChanged:
    """A webhook was made or changed, or something is to be sent now. `webhook_id`: it is not left alone any more."""

    webhook_id: str | None = None


@attrs.define(eq=False)
class SenderBell:
    """Address of the sender, for those that change what it reads. Written by the sender when it starts."""

    sender: Ref | None = None

    def ring(self, webhook_id: str | None = None) -> None:
        """Tell the sender to look again; a sender that is away looks when it starts."""
        tell_if_alive(self.sender, WebhooksChanged(webhook_id))


@attrs.define
class _Pause:
    until: float
    """By trio's clock."""
    failures: int


class WebhookSender(TaskOwner):
    """Message: WebhooksChanged. The rows are the truth; what is in memory here may be lost at any moment."""

    def __init__(
        self,
        context: Context,
        database: Database,
        event_log: DurableLog,
        courier: Courier,
        retries: Retries,
        bell: SenderBell,
        page: str = "",
    ) -> None:
        """`page`: scheme and host of the page, "" where that is not known."""
        super().__init__()
        self._context = context
        self._database = database
        self._event_log = event_log
        self._courier = courier
        self._retries = retries
        self._page = page
        self._bell = bell
        self._changed, self._due = trio.Event(), trio.Event()
        self._idle = False
        """Whether there was no webhook that is on, when they were read last."""
        self._changes = 0
        self._under_way: dict[int, str] = {}
        """Delivery → webhook."""
        self._pauses: dict[str, _Pause] = {}

    def on_start(self) -> None:
        self._bell.sender = self.actor_ref
        self.tasks.start_soon(self._read_on)
        self.tasks.start_soon(self._send_on)
        self.tasks.start_soon(self._forget_on)

    def on_receive(self, message: WebhooksChanged) -> None:
        if message.webhook_id is not None:
            self._pauses.pop(message.webhook_id, None)
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
                log.error("webhooks_wait", reason=str(error))
                rest = AGAIN_SECONDS
            with trio.move_on_after(rest):
                await self._changed.wait()

    async def _read(self, position: int) -> int:
        """Make rows of what came after `position`; return the new one."""
        end = self._event_log.position
        if end < position:  # the log is another one: its positions begin anew
            log.warning("webhooks_log_replaced", was=position, now=end)
            await self._database.call(webhooks.move, end)
            return end
        if end == position or self._idle:
            return position
        changes = self._changes
        on = await self._database.read(webhooks.enabled)
        if not on:
            self._idle = changes == self._changes  # else one may have been made while the rows were read
            return position
        oldest = min(one.from_position for hooks in on.values() for one in hooks)
        position = max(position, min(oldest, end))
        while position < end:
            until = min(position + STEP, end)
            records = await trio.to_thread.run_sync(self._event_log.of_types, EVENT_TYPES, position, until)
            found = [message for record in records for message in self._messages(record, on)]
            now = self._context.clock.now_ms()
            await self._database.call(deliveries.take, found, now, until)
            position = until
            if found:
                self._due.set()
        return position

    def _messages(self, record: LogRecord, on: dict[str, list[Webhook]]) -> list[WebhookMessage]:
        hooks = [one for one in on.get(record.village_id, ()) if one.from_position < record.position]
        if not hooks:
            return []
        try:
            event = decode_event(record.body)
        except ContractError:  # it was logged when it was read first
            return []
        state = self._context.board.session(record.session_id)
        origin = CallOrigin(
            village=name_of(record.village_id),
            agent_id=default_agent_id(record.session_id) if state is None else state.agent_id,
            agent_name=None if state is None else state.agent_name,
            page=self._page,
        )
        found: list[WebhookMessage] = []
        for kind in kinds_of(event):
            wanted = [one for one in hooks if kind in one.kinds.split()]
            body = body_of(event, kind, origin, record.stored_ms) if wanted else ""
            for one in wanted:
                found.append(
                    WebhookMessage(
                        webhook_id=one.webhook_id,
                        message_id=message_id(record.session_id, record.seq, kind),
                        kind=kind,
                        body=body,
                        session_id=record.session_id,
                    )
                )
        return found

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
        hooks, later = await self._database.read(deliveries.waiting_hooks, now_ms)
        rest = float("inf") if later is None else (later - now_ms) / 1000
        random.shuffle(hooks)  # where places are few, none is always the last
        for webhook_id in hooks:
            pause = self._pauses.get(webhook_id)
            if pause is not None and pause.until > now:
                rest = min(rest, pause.until - now)
                continue
            busy = [one for one, hook in self._under_way.items() if hook == webhook_id]
            room = (AT_ONCE_EACH if pause is None else 1) - len(busy)
            room = min(room, AT_ONCE - len(self._under_way))
            if room > 0:
                await self._begin(webhook_id, now_ms, room, busy)
        return max(rest, 0.01)

    async def _begin(self, webhook_id: str, now_ms: int, room: int, busy: list[int]) -> None:
        webhook = await self._database.read(webhooks.by_id, webhook_id)
        due = await self._database.read(deliveries.due_of, webhook_id, now_ms, room, busy)
        if webhook is None or not webhook.enabled:
            return
        for one in due:
            self._under_way[one.delivery_id] = webhook_id
            self.tasks.start_soon(self._attempt, webhook, one)

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> None:
        try:
            outcome = await self._courier.deliver(webhook, delivery, self._context.clock.now_ms())
            self._note(webhook.webhook_id, outcome)
            await self._database.call(partial(self._settle, webhook, delivery, outcome))
        except TablesUnavailable:  # it is still waiting: the receiver gets it once more
            self._note(webhook.webhook_id, AttemptOutcome(error="the tables are away"))
        finally:
            del self._under_way[delivery.delivery_id]
            self._due.set()

    def _note(self, webhook_id: str, outcome: AttemptOutcome) -> None:
        """Leave a webhook that failed alone for a while."""
        if outcome.error is None:
            self._pauses.pop(webhook_id, None)
            return
        pause = self._pauses.setdefault(webhook_id, _Pause(0.0, 0))
        seconds = min(PAUSE_SECONDS * 2**pause.failures, LONGEST_PAUSE_SECONDS)
        pause.failures, pause.until = min(pause.failures + 1, 20), trio.current_time() + seconds

    def _settle(self, webhook: Webhook, delivery: Delivery, outcome: AttemptOutcome, connection: Connection) -> None:
        now = self._context.clock.now_ms()
        state, then = "delivered", now
        if outcome.error is not None:
            wait = None if outcome.gone else self._retries.after(delivery.attempts + 1, outcome.retry_after)
            state, then = ("dead", now) if wait is None else ("waiting", now + int(wait * 1000))
            log.warning(
                "webhook_failed",
                webhook=webhook.webhook_id,
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
        if outcome.gone:
            webhooks.switch_off(connection, webhook.webhook_id, outcome.error or "")

    async def _forget_on(self) -> None:
        while True:
            now = self._context.clock.now_ms()
            try:
                await self._database.call(deliveries.forget, now - KEPT_DELIVERED_MS, now - KEPT_DEAD_MS)
            except TablesUnavailable as error:
                log.warning("webhooks_not_tidied", reason=str(error))
            await trio.sleep(FORGET_SECONDS)
