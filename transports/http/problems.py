"""Errors of requests and their form on the wire: a status and {error: {code, message, details?}}."""

import math
from typing import Any, Protocol

import attrs
import structlog
import trio

from townwatch.access.gate import Denied, NotFound
from townwatch.access.subject import InvalidCredentials, WrongSecret
from townwatch.actors.messages import (
    AgentWaits,
    ForeignSession,
    RunnerOffline,
    SessionOver,
    UnknownApproval,
    Unsupported,
)
from townwatch.actors.people.keyboard import KeyboardHeld
from townwatch.actors.ports import TooManyPromises
from townwatch.contracts import rest
from townwatch.contracts.answers import AnswerDiffers, AnswerRefused
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.faults import FilesDamaged, TablesUnavailable
from townwatch.runtime import ActorDeadError, MailboxFull
from townwatch.store.members import LastOwner
from townwatch.supervision import LimitReached, RateLimited
from townwatch.transports.edge.http import Response

log = structlog.get_logger("http")

JSON = "application/json"
NDJSON = "application/x-ndjson"
CODES = {
    400: "E_BAD_PAYLOAD",
    401: "E_UNAUTH",
    403: "E_FORBIDDEN",
    404: "E_NOT_FOUND",
    405: "E_METHOD",
    409: "E_CONFLICT",
    413: "E_TOO_LARGE",
    415: "E_MEDIA_TYPE",
    429: "E_RATE_LIMIT",
    500: "E_INTERNAL",
    502: "E_RUNNER",
    503: "E_UNAVAILABLE",
    504: "E_RUNNER_TIMEOUT",
}
"""The code of each status, where nothing more exact is said."""
MEANINGS = {
    400: "The request is not valid; the message names the field.",
    401: "The token is missing, wrong or expired; sign in, or send another one.",
    403: "Not allowed with this token or this role; the message says what is needed.",
    404: "Not found, or not visible to you.",
    405: "This address does not support the method; the Allow header lists those it supports.",
    409: "Conflicts with the current state; the message says with what.",
    413: "The body is too long.",
    415: "The body has to be uncompressed JSON.",
    429: "A rate limit is reached; try again after the seconds in Retry-After.",
    500: "The service failed; its log has the details.",
    502: "The runner refused; the message has its reason.",
    503: "The service cannot do this now; the message says why. Try again later.",
    504: "The runner did not answer in time; the result is not known yet.",
}
"""The meaning of each status, for the OpenAPI document."""


class Body(Protocol):
    """A body that is made while it is sent."""

    async def open(self, answer: Response) -> Response:
        """Return the answer with this body. Raises what keeps it from being begun."""
        ...


@attrs.frozen
class RestResponse:
    """Finished response, or one whose body a `download` makes while it is sent."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: dict[str, str] = attrs.field(factory=dict)
    download: Body | None = None


@attrs.define(auto_exc=True)
class ProblemError(Exception):
    """Error that ends a request with an error answer. `code` None: the default code of the status."""

    status: int
    message: str
    code: str | None = None
    details: Any = None
    headers: dict[str, str] = attrs.field(factory=dict)

    def answer(self) -> RestResponse:
        """The response."""
        code = self.code or CODES.get(self.status, "E_INTERNAL")
        problem = rest.Problem(code=code, message=self.message, details=self.details)
        return RestResponse(self.status, encode(rest.ErrorAnswer(error=problem)), headers=dict(self.headers))


def not_found(what: str) -> ProblemError:
    """Make a 404, in the same words whether the thing is missing or may not be seen."""
    return ProblemError(404, f"there is no {what}")


def unauthorized(message: str) -> ProblemError:
    """Make a 401 that names the scheme to sign in with."""
    return ProblemError(401, message, headers={"www-authenticate": "Bearer"})


def problem_of(error: BaseException) -> ProblemError:
    """Return the error answer for any exception; an unexpected one becomes a 500 without details, and a log line."""
    match error:
        case ProblemError():
            return error
        case ContractError(field=field, message=_, code="E_TOO_LARGE"):
            return ProblemError(413, str(error))
        case ContractError(field=field):
            return ProblemError(400, str(error), error.code, {"field": field} if field else None)
        case WrongSecret():
            return unauthorized(str(error))
        case InvalidCredentials():
            return unauthorized("the token is wrong or expired; sign in again")
        case Denied():
            return ProblemError(403, str(error))
        case NotFound() | UnknownApproval():
            return ProblemError(404, str(error))
        case LastOwner() | ForeignSession():
            return ProblemError(409, str(error))
        case AnswerDiffers():
            return ProblemError(409, str(error), "E_ANSWER_DIFFERS")
        case AnswerRefused():
            return ProblemError(403, str(error), "E_ANSWER_REFUSED")
        case KeyboardHeld():
            return ProblemError(409, str(error), "E_KEYBOARD")
        case AgentWaits():
            return ProblemError(409, str(error), "WAITING")
        case SessionOver():
            return ProblemError(409, str(error), "E_SESSION_ENDED")
        case Unsupported():
            return ProblemError(409, str(error), "E_UNSUPPORTED")
        case TooManyPromises():
            return ProblemError(409, str(error), "E_RUNNER_BUSY")
        case RunnerOffline():
            return ProblemError(409, str(error), "E_RUNNER_OFFLINE")
        case RateLimited():
            return _too_much(str(error), error.retry_after)
        case LimitReached():
            return _too_much(str(error), error.retry_after)
        case ActorDeadError() | MailboxFull() | trio.TooSlowError():
            log.warning("request_not_served", reason=repr(error))
            why = "the part of the service that does this is restarting or busy; try again"
            return ProblemError(503, why, headers={"retry-after": "1"})
        case TablesUnavailable():
            return ProblemError(503, str(error), headers={"retry-after": str(max(1, math.ceil(error.retry_after)))})
        case FilesDamaged():
            log.error("request_not_served", reason=str(error))
            return ProblemError(503, str(error), headers={"retry-after": "60"})
        case _:
            log.error("request_failed", exc_info=error)
            return ProblemError(500, "the service failed; its log has the details")


def _too_much(message: str, retry_after: float | None) -> ProblemError:
    seconds = max(1, math.ceil(retry_after if retry_after is not None else 1))
    return ProblemError(429, message, headers={"retry-after": str(seconds)})
