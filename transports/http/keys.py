"""Idempotency-Key: a POST that is sent again gets the first one's answer, and does nothing."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from store import idempotency
from transports.http.deps import Api
from transports.http.operation import Operation
from transports.http.problems import Answer, ProblemError

KEY = re.compile(r"[\x21-\x7e]{1,200}")
REPLAYED = {"idempotency-replayed": "true"}


@attrs.frozen(kw_only=True)
class Claim:
    """A key, whose it is, and what it was used for."""

    owner: str
    key: str
    fingerprint: str


class Requested(Protocol):
    """What of a request tells it from others."""

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


async def once(api: Api, claim: Claim, do: Callable[[], Awaitable[Answer]]) -> Answer:
    """`do`, or what it answered the first time. A refusal is not kept: it did nothing, so it may be asked again."""
    if not KEY.fullmatch(claim.key):
        raise ProblemError(400, "Idempotency-Key: must be 1 to 200 printable ASCII characters without spaces")
    now = api.context.clock.now_ms()
    known = await api.database.call(idempotency.begin, claim.owner, claim.key, claim.fingerprint, now)
    if known is not None:
        return _again(claim, known)
    try:
        answer = await do()
    except Exception as error:
        if not isinstance(error, trio.TooSlowError):  # then nobody knows whether it happened, and the key stays taken
            await api.database.call(idempotency.abandon, claim.owner, claim.key)
        raise
    with trio.CancelScope(shield=True):
        await api.database.call(idempotency.finish, claim.owner, claim.key, answer.status, answer.body.decode())
    return answer


def _again(claim: Claim, known: idempotency.Answered) -> Answer:
    if known.fingerprint != claim.fingerprint:
        raise ProblemError(409, "this Idempotency-Key was used for another request; take a new one")
    if known.status is None:
        raise ProblemError(409, "a request with this Idempotency-Key is under way, or what became of it is not known")
    return Answer(known.status, (known.body or "").encode(), headers=dict(REPLAYED))
