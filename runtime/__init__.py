"""pykka's actor model as trio tasks. docs/actors.md teaches it; docs/pykka-differences.md lists what differs."""

from pykka import ActorDeadError

from townwatch.runtime import dead_letters, telemetry
from townwatch.runtime._actor import TrioActor
from townwatch.runtime._future import TrioFuture
from townwatch.runtime._messages import Ask, System
from townwatch.runtime._reasons import (
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    BlockingCallError,
    MailboxFull,
    MailboxOverflow,
    Reason,
    Shutdown,
)
from townwatch.runtime._ref import ActorRef, Down, Exit
from townwatch.runtime._spec import UNBOUNDED, MailboxReport, MailboxSpec
from townwatch.runtime._world import World, current_world, open_world
from townwatch.runtime.introspection import ActorReport, TraceEntry, inspect, resume, suspend, trace, whereis

__all__ = [
    "KILLED", "NOPROC", "NORMAL", "SHUTDOWN", "UNBOUNDED", "ActorDeadError", "ActorRef", "ActorReport", "Ask",
    "BlockingCallError", "Down", "Exit", "MailboxFull", "MailboxOverflow", "MailboxReport", "MailboxSpec", "Reason",
    "Shutdown", "System", "TraceEntry", "TrioActor", "TrioFuture", "World", "current_world", "dead_letters", "inspect",
    "open_world", "resume", "suspend", "telemetry", "trace", "whereis",
]  # fmt: skip
