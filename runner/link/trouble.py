"""The ways in which a connection to the service ends, and what is said of each."""

import trio
import trio_websocket
from trio_websocket import ConnectionClosed, HandshakeError

from townwatch.contracts.codec import ContractError
from townwatch.contracts.faults import first_cause


class Refused(Exception):
    """The service does not want this runner; dialling again soon is no use. The message is its reason."""


TROUBLE = (
    OSError,
    HandshakeError,
    ConnectionClosed,
    ContractError,
    trio.TooSlowError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What ends a connection, and is mended by the next one."""


def refusal_of(error: BaseException) -> BaseException:
    """The answer to a handshake ends the library's own reader, so it comes out of the nursery and not of the call."""
    if not isinstance(error, trio_websocket.ConnectionRejected) or error.status_code not in (401, 403):
        return error
    text = (error.body or b"").decode(errors="replace")
    return Refused(f"HTTP {error.status_code} {text}".strip())


def brief(error: BaseException) -> str:
    """Return the reason in one line."""
    if isinstance(error, ConnectionClosed):
        return f"closed: {getattr(error.reason, 'code', '')} {getattr(error.reason, 'reason', '') or ''}".strip()
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is None and error.__cause__ is not None:  # of trio.open_tcp_stream
        error = first_cause(error.__cause__)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
