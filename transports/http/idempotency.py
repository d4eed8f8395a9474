"""Idempotency-Key: a POST that is sent again gets the first one's answer, and does nothing."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from townwatch.store import idempotency
from townwatch.transports.http.deps import Api
from townwatch.transports.http.operation import Operation
from townwatch.transports.http.problems import ProblemError, RestResponse, problem_of

KEY = re.compile(r"[\x21-\x7e]{1,200}")
REPLAYED = {"idempotency-replayed": "true"}


@attrs.frozen(kw_only=True)
class Claim:
    """A key, whose it is, and what it was used for."""

    owner: str
    key: str
    fingerprint: str


class Requested(Protocol):
    """The part of a request that tells it from others."""

    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def body(self) -> bytes: ...


def fingerprint(operation: Operation, request: Requested) -> str:
    """The same for the same request, and for no other."""
    parts = (operation.method.encode(), request.path.encode(), request.query.encode(), request.body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


async def once(api: Api, claim: Claim, do: Callable[[str], Awaitable[RestResponse]]) -> RestResponse:
    """`do`, or what it answered the first time. A refusal is not kept: it did nothing, so it may be asked again.

    What was cut off in the middle (a timeout, a caller who hung up, a process that died) is done again by the next
    request with the key, with the same claim id.
    """
    if not KEY.fullmatch(claim.key):
        raise ProblemError(400, "Idempotency-Key: must be 1 to 200 printable ASCII characters without spaces")
    now, database = api.context.clock.now_ms(), api.database
    known = await database.call(idempotency.begin, claim.owner, claim.key, claim.fingerprint, api.process, now)
    if isinstance(known, idempotency.Answered):
        return _again(claim, known)
    try:
        answer = await do(known.claim_id)
    except BaseException as error:
        done_nothing = isinstance(error, Exception) and not known.again and not _unsettled(error)
        leave = idempotency.abandon if done_nothing else idempotency.release
        with trio.CancelScope(shield=True):
            await database.call(leave, claim.owner, claim.key)
        raise
    with trio.CancelScope(shield=True):
        await database.call(idempotency.finish, claim.owner, claim.key, answer.status, answer.body.decode())
    return answer


def _unsettled(error: Exception) -> bool:
    """Return whether the operation may have been done in spite of the error."""
    return error.status == 504 if isinstance(error, ProblemError) else problem_of(error).status >= 500


def _again(claim: Claim, known: idempotency.Answered) -> RestResponse:
    if known.fingerprint != claim.fingerprint:
        raise ProblemError(409, "this Idempotency-Key was used for another request; use a new one")
    if known.status is None:
        raise ProblemError(409, "a request with this Idempotency-Key is still in progress; try again later")
    return RestResponse(known.status, (known.body or "").encode(), headers=dict(REPLAYED))
