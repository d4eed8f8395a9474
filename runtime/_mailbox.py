"""The mailbox: pykka's inbox with a bound, a policy, a system lane and counters.

Everything happens on the loop of the actor's world, so nothing here is locked, except `_threads.py`, through which
threads come in. The law that the tests hold it to, for ordinary messages (not system messages, not stops):

    accepted = handled (or in hand) + dropped (by policy) + dead (letters) + depth
"""

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol

import attrs
import trio
from pykka import ActorDeadError

from townwatch.runtime import _threads, telemetry
from townwatch.runtime._messages import INTERNAL, ActorStop, Envelope, System
from townwatch.runtime._reasons import MailboxFull, MailboxOverflow, Reason
from townwatch.runtime._spec import MailboxReport, MailboxSpec
from townwatch.runtime._world import World


class MailboxOwner(Protocol):
    """The address whose mailbox it is, as far as the mailbox needs it."""

    @property
    def label(self) -> str: ...
    def kill(self, reason: Reason) -> None: ...


class _SharedEmpty(deque[Envelope]):
    """The queue of every mailbox in which nothing waits: a deque of its own is 0.6 KiB. It takes nothing in."""

    def append(self, _item: Envelope) -> None:
        raise AssertionError("a shared queue takes nothing in")

    appendleft = append


EMPTY = _SharedEmpty()


@attrs.define(eq=False)
class _Waiting:
    """A task that waits for room. The mailbox moves its envelope in for it, so that order is kept."""

    envelope: Envelope
    task: trio.lowlevel.Task | None
    error: BaseException | None = None


class Mailbox:
    """The messages that wait for one actor, over all its incarnations."""

    __slots__ = (
        "accepted",
        "capacity",
        "closed",
        "dead",
        "dropped",
        "handled",
        "high_water",
        "keyed",
        "now",
        "overflow",
        "owner",
        "queue",
        "receiver",
        "refused",
        "reserved",
        "spec",
        "stop_asked",
        "suspended",
        "system",
        "thread",
        "waiting",
        "waker",
        "world",
    )  # fmt: skip

    def __init__(self, spec: MailboxSpec, world: World) -> None:
        self.spec = spec
        self.world = world
        self.owner: MailboxOwner | None = None
        self.thread = world.thread
        self.now = world.now
        self.capacity = spec.capacity
        self.queue: deque[Envelope] = EMPTY
        """the messages that wait; `_own_queue()` before one is put into it"""
        self.system: deque[Envelope] | None = None
        self.waiting: deque[_Waiting] | None = None
        self.keyed: dict[Hashable, Envelope] | None = {} if spec.key else None
        self.receiver: trio.lowlevel.Task | None = None
        """the actor's task, while it waits for a message"""
        self.waker: Callable[[], None] | None = None
        """Instead of a receiver while the actor sleeps: starts a task for it."""
        self.closed: str | None = None
        self.stop_asked = False
        self.overflow = False
        self.suspended = False
        self.reserved = 0
        self.accepted = self.handled = self.refused = self.dead = self.high_water = 0
        self.dropped: dict[str, int] | None = None

    @property
    def label(self) -> str:
        """The owner's name, for errors and logs."""
        return self.owner.label if self.owner is not None else "mailbox"

    # -- coming in

    def put(self, envelope: Any) -> None:
        """pykka's entry. Never blocks a trio task; a thread is held up by a full mailbox of the policy `wait`."""
        if not isinstance(envelope, Envelope):
            envelope = Envelope(envelope.message, envelope.reply_to, self.now())
        if threading.get_ident() == self.thread:
            self.offer(envelope)
        else:
            _threads.put(self, envelope)

    def offer(self, envelope: Envelope) -> None:
        """Take the message in, on the loop. Raises ActorDeadError or MailboxFull."""
        message = envelope.message
        if self.closed is not None:
            self.refused += not isinstance(message, System | ActorStop)
            raise ActorDeadError(self.closed)
        if isinstance(message, System):
            if self.system is None:
                self.system = deque()
            self.system.append(envelope)
        elif isinstance(message, ActorStop):
            self._own_queue().append(envelope)
        else:
            if self.keyed is not None and self._coalesced(envelope):
                return
            if len(self.queue) + self.reserved >= self.capacity:
                self._make_room(envelope)
            self._append(envelope)
        if self.receiver is not None or self.waker is not None:
            self.wake()

    def _own_queue(self) -> deque[Envelope]:
        if self.queue is EMPTY:
            self.queue = deque()
        return self.queue

    def _append(self, envelope: Envelope) -> None:
        queue = self.queue
        if queue is EMPTY:
            queue = self.queue = deque()
        queue.append(envelope)
        self.accepted += 1
        if len(queue) > self.high_water:
            self.high_water = len(queue)

    async def send(self, envelope: Envelope) -> None:
        """`offer()` that waits for room under the policy `wait`, in turn. A checkpoint like any of trio's sends."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.must_wait(envelope):
            await self.enter(envelope)
        else:
            self.offer(envelope)
            await trio.lowlevel.cancel_shielded_checkpoint()

    def must_wait(self, envelope: Envelope) -> bool:
        """Return True if a sender of this message would have to wait: for room, or for the loop of another trio run."""
        if threading.get_ident() != self.thread:
            return True
        full = len(self.queue) + self.reserved >= self.capacity
        unbounded = self.closed is not None or isinstance(envelope.message, System | ActorStop)
        return full and self.spec.policy == "wait" and not unbounded

    async def enter(self, envelope: Envelope) -> None:
        """Wait for room behind the senders that came before."""
        if threading.get_ident() != self.thread:  # another trio loop: let a thread wait for it there
            return await trio.to_thread.run_sync(_threads.put, self, envelope)
        self.waiting = self.waiting if self.waiting is not None else deque()
        ticket = _Waiting(envelope, trio.lowlevel.current_task())
        self.waiting.append(ticket)

        def abort(_: Any) -> trio.lowlevel.Abort:
            ticket.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if ticket.error is not None:
            raise ticket.error

    def _admit_waiting(self) -> None:
        """Room was made: move in what waited longest for it."""
        waiting = self.waiting
        while waiting and len(self.queue) + self.reserved < self.capacity:
            ticket = waiting.popleft()
            if ticket.task is not None:
                task, ticket.task = ticket.task, None
                self._append(ticket.envelope)
                trio.lowlevel.reschedule(task)

    # -- policies

    def _make_room(self, envelope: Envelope) -> None:
        """Apply the policy of a full mailbox. Returns if there is room now, raises MailboxFull if not."""
        match self.spec.policy:
            case "drop_oldest":
                for index, victim in enumerate(self.queue):
                    if not isinstance(victim.message, ActorStop):
                        del self.queue[index]
                        return self._drop(victim, "drop_oldest", "evicted by a newer message")
                raise self._refusal(envelope)
            case "disconnect":
                if not self.overflow:
                    self.overflow = True
                    self.drain(self._disconnect)
                    if self.owner is not None:
                        self.owner.kill(MailboxOverflow(f"{self.label}: {self.capacity} messages were waiting"))
                raise self._refusal(envelope)
            case _:
                raise self._refusal(envelope)

    def _disconnect(self, envelope: Envelope) -> None:
        self._drop(envelope, "disconnect", "the actor was too slow and is disconnected")

    def _refusal(self, envelope: Envelope) -> MailboxFull:
        self.refused += 1
        kind = type(envelope.message).__name__
        telemetry.emit("mailbox_full", actor=self.label, policy=self.spec.policy, capacity=self.capacity, message=kind)
        return MailboxFull(f"{self.label} has {len(self.queue)} of {self.capacity} messages waiting: {kind} refused")

    def _drop(self, envelope: Envelope, policy: str, why: str) -> None:
        self.dropped = self.dropped if self.dropped is not None else {}
        self.dropped[policy] = self.dropped.get(policy, 0) + 1
        envelope.fail(MailboxFull(f"{self.label}: {why}"))

    def drop_in_hand(self, envelope: Envelope) -> None:
        """Count the message in hand at a crash as dropped, for actors that choose so."""
        self._drop(envelope, "crash", "the actor crashed on it")

    def _coalesced(self, envelope: Envelope) -> bool:
        assert self.keyed is not None
        key = self._key_of(envelope)
        if key is None:
            return False
        older = self.keyed.get(key)
        if older is None:
            if len(self.queue) + self.reserved < self.capacity:
                self.keyed[key] = envelope
            return False
        self._drop(Envelope(older.message, older.reply_to), "coalesce", "superseded by a newer message")
        older.message, older.reply_to, older.sent_at = envelope.message, envelope.reply_to, envelope.sent_at
        self.accepted += 1
        return True

    # -- going out

    def take(self) -> Envelope | None:
        """Return the next message, system messages first, or None. Does not wait."""
        if self.system is not None:
            envelope = self.system.popleft()
            if not self.system:
                self.system = None  # an empty deque is 0.6 KiB, and most mailboxes have none waiting
            return envelope
        if not self.queue or self.suspended:
            return None
        envelope = self.queue.popleft()
        if type(envelope.message) is not ActorStop:
            self.handled += 1
        if self.keyed:
            self._forget_key(envelope)
        if self.waiting:
            self._admit_waiting()
        return envelope

    def _key_of(self, envelope: Envelope) -> Hashable:
        """Return the key that the message coalesces by; stops and calls by proxy have none."""
        if self.spec.key is None or type(envelope.message) in INTERNAL:
            return None
        return self.spec.key(envelope.message)

    def _forget_key(self, envelope: Envelope) -> None:
        assert self.keyed is not None
        key = self._key_of(envelope)
        if self.keyed.get(key) is envelope:
            del self.keyed[key]

    def get(self) -> Envelope:
        """pykka's exit: the next message, or IndexError."""
        return self.take() or self.queue.popleft()

    def empty(self) -> bool:
        """Return True when nothing waits, not even a system message."""
        return not (self.queue or self.system)

    def wait_for_message(self) -> Awaitable[Any]:
        """Await it until there is something to do. Always one checkpoint, and only one.

        Not a coroutine itself: a parked actor holds one frame less, and a message wakes one less.
        """
        if self.system or self.stop_asked or (self.queue and not self.suspended):
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105
        self.receiver = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(self._abort_receive)  # noqa: ASYNC105

    def _abort_receive(self, _: Any) -> trio.lowlevel.Abort:
        self.receiver = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """Wake the actor's task, or start a new one where it hibernates."""
        if self.receiver is not None:
            task, self.receiver = self.receiver, None
            trio.lowlevel.reschedule(task)
        elif self.waker is not None:
            waker, self.waker = self.waker, None
            waker()

    def hibernate(self, waker: Callable[[], None]) -> bool:
        """Return True if nothing waits: then `waker()` is called, once, when there is something to do."""
        if not self.empty() or self.stop_asked or self.waiting or self.suspended:
            return False
        self.queue, self.waker = EMPTY, waker
        return True

    def put_back(self, envelope: Envelope) -> None:
        """Return the message in hand to the front, for the next incarnation; it is over the bound if need be."""
        self._own_queue().appendleft(envelope)

    # -- from outside

    def ask_to_stop(self) -> None:
        """Stop the actor after the message in hand, for its supervisor. What waits is kept."""
        self.stop_asked = True
        self.wake()

    def suspend(self) -> None:
        """Hold ordinary messages back; system messages and a supervisor's stop still come through."""
        self.suspended = True

    def resume(self) -> None:
        """Let ordinary messages through again."""
        self.suspended = False
        self.wake()

    def reopen(self) -> None:
        """Make ready for the next incarnation: forget how the last one was stopped."""
        self.stop_asked = self.overflow = self.suspended = False

    def drain(self, give_up: Callable[[Envelope], None]) -> None:
        """Take all ordinary messages out, `give_up(envelope)` each; stops are answered with None."""
        stops = [envelope for envelope in self.queue if isinstance(envelope.message, ActorStop)]
        others = [envelope for envelope in self.queue if not isinstance(envelope.message, ActorStop)]
        self.queue = deque(stops) if stops else EMPTY
        if self.keyed:
            self.keyed.clear()
        for envelope in others:
            give_up(envelope)
        self._admit_waiting()

    def close(self, why: str) -> None:
        """Refuse all that comes from now on; senders that wait for room get ActorDeadError."""
        self.closed = why
        for ticket in self.waiting or ():
            if ticket.task is not None:
                task, ticket.task = ticket.task, None
                ticket.error = ActorDeadError(why)
                self.refused += 1
                trio.lowlevel.reschedule(task)
        self.waiting = None

    def report(self) -> MailboxReport:
        """Depth, bound and counters, as data."""
        oldest = self.queue[0].sent_at if self.queue else None
        return MailboxReport(
            depth=len(self.queue),
            capacity=self.capacity,
            policy=self.spec.policy,
            high_water=self.high_water,
            dropped=sum((self.dropped or {}).values()),
            dropped_by=dict(self.dropped or {}),
            accepted=self.accepted,
            handled=self.handled,
            refused=self.refused,
            dead=self.dead,
            oldest=max(0.0, self.now() - oldest) if oldest is not None else 0.0,
        )

    def __len__(self) -> int:
        return len(self.queue)
