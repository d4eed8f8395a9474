"""Why an actor ended: the vocabulary of exit reasons.

A reason is one of the words below, or the exception that ended the actor.
"""

from typing import Final

Reason = str | BaseException

NORMAL: Final = "normal"
"""It was asked to stop (pykka's `stop()`), and did."""
SHUTDOWN: Final = "shutdown"
"""Its supervisor, or the end of its world, stopped it in order."""
KILLED: Final = "killed"
"""It was cancelled: brutally, or because it ignored its deadline."""
NOPROC: Final = "noproc"
"""It was dead already when somebody began to watch it or linked to it."""


class Shutdown(Exception):
    """Raise it in a handler to end in an orderly way: `on_stop()` runs, transient actors stay down."""


def is_expected(reason: Reason) -> bool:
    """OTP's `normal`, `shutdown` and `{shutdown, _}`: exits after which a transient child stays down."""
    return reason in (NORMAL, SHUTDOWN) or isinstance(reason, Shutdown)


def root_cause(error: BaseException) -> BaseException:
    """What a nursery wrapped in an exception group, when it is a single thing."""
    inner = getattr(error, "exceptions", ())
    return root_cause(inner[0]) if len(inner) == 1 else error


def describe(reason: Reason) -> str:
    """One line for logs and error texts: `killed`, or `ValueError: bad frame`."""
    if isinstance(reason, str):
        return reason
    text = str(reason).partition("\n")[0][:200]
    return f"{type(reason).__name__}: {text}" if text else type(reason).__name__
