"""Exit reasons, and the errors between a sender and an actor.

A reason is one of the words below, or the exception that ended the actor.
"""

from typing import Final

Reason = str | BaseException

NORMAL: Final = "normal"
"""The actor was asked to stop (pykka's `stop()`), and did."""
SHUTDOWN: Final = "shutdown"
"""The actor's supervisor, or the end of its world, stopped it in order."""
KILLED: Final = "killed"
"""The actor was cancelled: brutally, or because it ignored its deadline."""
NOPROC: Final = "noproc"
"""The actor had ended already when it was to be watched or linked."""


class Shutdown(Exception):
    """Raise it in a handler to end in an orderly way: `on_stop()` runs, transient actors stay down."""


class MailboxFull(Exception):
    """A bounded mailbox refused the message, or gave it up for a newer one."""


class MailboxOverflow(Exception):
    """The exit reason of an actor that was disconnected because its mailbox ran over (policy `disconnect`)."""


class BlockingCallError(RuntimeError):
    """A call that would block the trio loop which must produce its answer."""


def is_expected(reason: Reason) -> bool:
    """Return True for OTP's `normal`, `shutdown` and `{shutdown, _}`, after which a transient child stays down."""
    return reason in (NORMAL, SHUTDOWN) or isinstance(reason, Shutdown)


def root_cause(error: BaseException) -> BaseException:
    """Unwrap an exception group that holds a single exception, at any depth."""
    inner = getattr(error, "exceptions", ())
    return root_cause(inner[0]) if len(inner) == 1 else error


def describe(reason: Reason) -> str:
    """Return one line for logs and error texts: `killed`, or `ValueError: bad frame`."""
    if isinstance(reason, str):
        return reason
    text = str(reason).partition("\n")[0][:200]
    return f"{type(reason).__name__}: {text}" if text else type(reason).__name__
