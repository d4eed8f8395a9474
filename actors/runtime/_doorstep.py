"""Where messages from other threads come in.

A thread that finds room reserves it and goes on at once: its message is handed over by `run_sync_soon`, in the order
sent. Only when there is no reserved room left does it wait for the loop, and under the policy `refuse` it does not.
"""

import threading
from typing import TYPE_CHECKING

import trio
from pykka import ActorDeadError

from actors.runtime import dead_letters
from actors.runtime._envelope import Envelope
from actors.runtime._errors import MailboxFull
from actors.runtime._messages import ActorStop, System

if TYPE_CHECKING:
    from actors.runtime._mailbox import Mailbox

_lock = threading.Lock()


def put(mailbox: "Mailbox", envelope: Envelope) -> None:
    """Bring a message in from a thread that is not the mailbox's own."""
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


def _wait_for_the_loop(mailbox: "Mailbox", envelope: Envelope) -> None:
    """Full, as far as a thread can see: let the loop decide, and wait for what it says."""
    if mailbox.spec.policy == "refuse" or trio.lowlevel.in_trio_run():
        with _lock:
            mailbox.refused += 1
        raise MailboxFull(f"{mailbox.label} has {mailbox.capacity} messages waiting")
    if mailbox.spec.policy == "wait":
        trio.from_thread.run(mailbox.send, envelope, trio_token=mailbox.world.token)
    else:
        trio.from_thread.run_sync(mailbox.offer, envelope, trio_token=mailbox.world.token)


def _deliver(mailbox: "Mailbox", envelope: Envelope, room: int) -> None:
    """On the loop, some time after the sender went on: only its future can still be told."""
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
