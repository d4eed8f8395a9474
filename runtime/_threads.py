"""The entry of a mailbox for other threads.

A thread that finds room reserves it and goes on at once: its message is handed over by `run_sync_soon`, in the order
sent. Only when there is no reserved room left does it wait for the loop, and under the policy `refuse` it does not.
"""

import threading
from collections.abc import Sized
from typing import Protocol

import trio
from pykka import ActorDeadError

from townwatch.runtime import dead_letters
from townwatch.runtime._messages import ActorStop, Envelope, System
from townwatch.runtime._reasons import MailboxFull
from townwatch.runtime._spec import MailboxSpec
from townwatch.runtime._world import World


class Inbox(Protocol):
    """The part of a mailbox that this module uses."""

    closed: str | None
    capacity: float
    reserved: int
    refused: int

    @property
    def queue(self) -> Sized: ...
    @property
    def spec(self) -> MailboxSpec: ...
    @property
    def world(self) -> World: ...
    @property
    def label(self) -> str: ...
    def offer(self, envelope: Envelope) -> None: ...
    async def send(self, envelope: Envelope) -> None: ...


_lock = threading.Lock()


def put(mailbox: Inbox, envelope: Envelope) -> None:
    """Put a message into a mailbox from a thread that is not the mailbox's own.

    Raises:
        ActorDeadError: the actor has ended.
        MailboxFull: the mailbox is full and its policy does not let the thread wait.
    """
    if mailbox.closed is not None:
        raise ActorDeadError(mailbox.closed)
    if isinstance(envelope.message, System | ActorStop):
        room = 0
    else:
        with _lock:
            room = 1 if len(mailbox.queue) + mailbox.reserved < mailbox.capacity else None
            mailbox.reserved += room or 0
    try:
        if room is not None:
            mailbox.world.token.run_sync_soon(_deliver, mailbox, envelope, room)
        else:
            _wait_for_the_loop(mailbox, envelope)
    except (trio.RunFinishedError, trio.Cancelled):
        raise ActorDeadError(f"{mailbox.label} not found: the trio run of this actor is over") from None


def _wait_for_the_loop(mailbox: Inbox, envelope: Envelope) -> None:
    """Let the loop decide about a mailbox that looks full from here, and wait for its answer."""
    if mailbox.spec.policy == "refuse" or trio.lowlevel.in_trio_run():
        with _lock:
            mailbox.refused += 1
        raise MailboxFull(f"{mailbox.label} has {mailbox.capacity} messages waiting")
    if mailbox.spec.policy == "wait":
        trio.from_thread.run(mailbox.send, envelope, trio_token=mailbox.world.token)
    else:
        trio.from_thread.run_sync(mailbox.offer, envelope, trio_token=mailbox.world.token)


def _deliver(mailbox: Inbox, envelope: Envelope, room: int) -> None:
    """Hand the message over, on the loop. The sender went on long ago: only its future can still be told."""
    if room:
        with _lock:
            mailbox.reserved -= room
    try:
        mailbox.offer(envelope)
    except (ActorDeadError, MailboxFull) as error:
        if envelope.reply_to is not None:
            envelope.fail(error)  # an ask that was refused late is refused all the same: its asker is told
        elif not isinstance(envelope.message, System | ActorStop):
            dead_letters.post(envelope.message, mailbox.label, "late")
