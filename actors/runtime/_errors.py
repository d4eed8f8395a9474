"""What can go wrong between a sender and an actor."""

from pykka import ActorDeadError

__all__ = ["ActorDeadError", "BlockingCallError", "MailboxFull", "MailboxOverflow"]


class MailboxFull(Exception):
    """A bounded mailbox refused the message, or gave it up for a newer one."""


class MailboxOverflow(Exception):
    """The exit reason of an actor that was disconnected because its mailbox ran over (policy `disconnect`)."""


class BlockingCallError(RuntimeError):
    """A call that would block the trio loop which must produce its answer."""
