"""Settings of a mailbox, and its report."""

import math
from collections.abc import Callable, Hashable
from typing import Any, Literal

import attrs

Policy = Literal["wait", "refuse", "drop_oldest", "coalesce", "disconnect"]
POLICIES: tuple[Policy, ...] = ("wait", "refuse", "drop_oldest", "coalesce", "disconnect")


@attrs.frozen
class MailboxSpec:
    """Bound of a mailbox, and what happens to a message that does not fit.

    capacity: messages that may wait; at least 1; math.inf: no bound. System messages and stops always fit.
    policy:
      wait         `send()` and `call()` wait for room, threads are held up; a plain `tell()` in a trio task, which
                   cannot wait, raises MailboxFull
      refuse       the sender gets MailboxFull
      drop_oldest  the message that waited longest makes room; if it was an ask, its asker gets MailboxFull
      coalesce     a message replaces a waiting one with the same `key(message)`, in its place in the queue; a key of
                   None is never replaced; a message that does not fit and replaces nothing is refused
      disconnect   all waiting messages are given up and the actor ends with MailboxOverflow: a slow consumer is cut
    """

    capacity: float = 1024
    policy: Policy = "wait"
    key: Callable[[Any], Hashable] | None = None

    def __attrs_post_init__(self) -> None:
        if not self.capacity >= 1:
            raise ValueError(f"mailbox capacity must be at least 1, not {self.capacity!r}")
        if self.policy not in POLICIES:
            raise ValueError(f"unknown mailbox policy {self.policy!r}: use one of {', '.join(POLICIES)}")
        if (self.key is not None) != (self.policy == "coalesce"):
            raise ValueError("a mailbox needs `key` with the policy coalesce, and only with it")


UNBOUNDED = MailboxSpec(capacity=math.inf)
"""pykka's own mailbox: it keeps all that comes."""


@attrs.frozen
class MailboxReport:
    """A mailbox at one moment. depth, capacity, high_water: messages. oldest: seconds the first has waited."""

    depth: int
    capacity: float
    policy: str
    high_water: int
    dropped: int
    dropped_by: dict[str, int]
    accepted: int
    handled: int
    refused: int
    dead: int
    oldest: float
