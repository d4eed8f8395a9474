"""pykka's actor model as trio tasks. docs/actors.md teaches it; docs/pykka-differences.md lists what differs."""

from actors.runtime import dead_letters, telemetry
from actors.runtime._actor import TrioActor
from actors.runtime._errors import ActorDeadError, BlockingCallError, MailboxFull, MailboxOverflow
from actors.runtime._future import TrioFuture
from actors.runtime._mailbox import MailboxReport
from actors.runtime._messages import Down, Exit, System
from actors.runtime._reasons import KILLED, NOPROC, NORMAL, SHUTDOWN, Reason, Shutdown
from actors.runtime._ref import ActorRef
from actors.runtime._registry import whereis
from actors.runtime._spec import UNBOUNDED, MailboxSpec
from actors.runtime._world import World, current_world, open_world
from actors.runtime.introspection import ActorReport, TraceEntry, inspect, resume, suspend, trace

__all__ = [
    "KILLED", "NOPROC", "NORMAL", "SHUTDOWN", "UNBOUNDED", "ActorDeadError", "ActorRef", "ActorReport",
    "BlockingCallError", "Down", "Exit", "MailboxFull", "MailboxOverflow", "MailboxReport", "MailboxSpec", "Reason",
    "Shutdown", "System", "TraceEntry", "TrioActor", "TrioFuture", "World", "current_world", "dead_letters", "inspect",
    "open_world", "resume", "suspend", "telemetry", "trace", "whereis",
]  # fmt: skip
