"""What can go wrong with a request, and how the wire says it: a status and {error: {code, message, details?}}."""

import math
from typing import Any

import attrs
import structlog
import trio
from litestar.exceptions import HTTPException

from access.gate import Denied, NotFound
from access.subject import InvalidToken, WrongSecret
from actors.messages import ForeignSession, RunnerOffline, UnknownApproval
from actors.runtime import ActorDeadError, MailboxFull
from contracts import rest
from contracts.codec import ContractError, encode
from store.members import LastOwner
from supervision import RateLimited, Refused

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
    400: "The request is not as it should be; the message names the field.",
    401: "Who you are is not known: no token, or one that is no good.",
    403: "You may see this, and may not do that with it.",
    404: "There is no such thing, as far as you may know.",
    405: "This address has no such method; Allow says which it has.",
    409: "It contradicts what stands.",
    413: "The body is too long.",
    415: "The body is no JSON, or is compressed.",
    429: "Too much at once; try again after the seconds in Retry-After.",
    500: "A fault of the service; its log says more.",
    502: "The runner refused, and said why.",
    503: "The service cannot do this now, and says why.",
    504: "The runner did not answer in time: what became of it is not known yet.",
}


@attrs.frozen
class Answer:
    """A finished response."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: dict[str, str] = attrs.field(factory=dict)


@attrs.define(auto_exc=True)
class ProblemError(Exception):
    """Stops a request with an error answer. `code` None: the status's own."""

    status: int
    message: str
    code: str | None = None
    details: Any = None
    headers: dict[str, str] = attrs.field(factory=dict)

    def answer(self) -> Answer:
        """The response."""
        code = self.code or CODES.get(self.status, "E_INTERNAL")
        problem = rest.Problem(code=code, message=self.message, details=self.details)
        return Answer(self.status, encode(rest.ErrorAnswer(error=problem)), headers=dict(self.headers))


def not_found(what: str) -> ProblemError:
    """404, in the same words whether it is not there or may not be seen."""
    return ProblemError(404, f"there is no {what}")


def unauthorized(message: str) -> ProblemError:
    """401, and how to sign in."""
    return ProblemError(401, message, headers={"www-authenticate": "Bearer"})


def problem_of(error: BaseException) -> ProblemError:
    """The error answer of any exception; what is not expected is a 500 that says nothing, and a line in the log."""
    match error:
        case ProblemError():
            return error
        case ContractError(field=field, message=_, code="E_TOO_LARGE"):
            return ProblemError(413, str(error))
        case ContractError(field=field):
            return ProblemError(400, str(error), error.code, {"field": field} if field else None)
        case WrongSecret():
            return unauthorized(str(error))
        case InvalidToken():
            return unauthorized("the token is not good; sign in again")
        case Denied():
            return ProblemError(403, str(error))
        case NotFound() | UnknownApproval():
            return ProblemError(404, str(error))
        case LastOwner() | ForeignSession():
            return ProblemError(409, str(error))
        case RunnerOffline():
            return ProblemError(409, str(error), "E_RUNNER_OFFLINE")
        case RateLimited():
            return _too_much(str(error), error.retry_after)
        case Refused():
            return _too_much(str(error), error.retry_after)
        case ActorDeadError() | MailboxFull() | trio.TooSlowError():
            log.warning("request_not_served", reason=repr(error))
            why = "the part of the service that does this is restarting or busy; try again"
            return ProblemError(503, why, headers={"retry-after": "1"})
        case HTTPException():
            return _of_framework(error)
        case _:
            log.error("request_failed", exc_info=error)
            return ProblemError(500, "the service failed at this; its log says more")


def _too_much(message: str, retry_after: float | None) -> ProblemError:
    seconds = max(1, math.ceil(retry_after if retry_after is not None else 1))
    return ProblemError(429, message, headers={"retry-after": str(seconds)})


def _of_framework(error: HTTPException) -> ProblemError:
    match error.status_code:
        case 404:
            return ProblemError(404, "there is no such address; /api/docs lists what there is")
        case 405:
            allowed = _allowed(error)
            message = f"this address has no such method; it has {allowed}"
            return ProblemError(405, message, headers={"allow": allowed})
        case 413:
            return ProblemError(413, "the body is too long")
        case status if 400 <= status < 500:
            return ProblemError(400, "the request is not one that can be read")
        case _:
            log.error("framework_failed", exc_info=error)
            return ProblemError(500, "the service failed at this; its log says more")


def _allowed(error: HTTPException) -> str:
    headers: dict[str, str] = dict(error.headers or {})
    found = {name.lower(): value for name, value in headers.items()}.get("allow", "")
    return ", ".join(sorted({part.strip() for part in found.split(",") if part.strip() not in ("", "OPTIONS")}))
