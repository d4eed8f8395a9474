"""A request's way through an operation: who asks, how often, may they, is it well-formed, is it new, do it."""

from collections.abc import Mapping
from typing import Any

import attrs
import structlog
import trio

from access.gate import NotFound
from access.policy import Action, decide_service
from access.policy import Verdict as PolicyVerdict
from access.subject import ANONYMOUS, InvalidToken, Subject
from contracts.codec import encode
from store import audit, runners
from store.audit import Entry
from transports.http import keys
from transports.http.deps import Api
from transports.http.intake import body_of, query_of
from transports.http.operation import Call, Operation
from transports.http.problems import Answer, ProblemError, not_found, problem_of, unauthorized

log = structlog.get_logger("http")

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
AUDIT_SECONDS = 2.0


@attrs.frozen(kw_only=True)
class Incoming:
    """What of a request an operation looks at. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    path_values: Mapping[str, str]
    address: str | None


async def serve(api: Api, operation: Operation, incoming: Incoming) -> Answer:
    """The answer, whatever happens: errors too are answers."""
    try:
        with trio.fail_after(api.request_seconds):
            answer = await _serve(api, operation, incoming)
    except Exception as error:
        answer = problem_of(error).answer()
    return attrs.evolve(answer, headers={**NO_STORE, **answer.headers})


async def _serve(api: Api, operation: Operation, incoming: Incoming) -> Answer:
    if operation.sign_in:
        api.sign_ins.take(incoming.address or "", trio.current_time())
    subject = await _subject(api, operation, incoming)
    call = Call[Any, Any](
        api=api,
        operation=operation,
        subject=subject,
        path=incoming.path_values,
        address=incoming.address,
        body=None,
        query=None,
    )
    await _authorize(call)
    call.query = query_of(operation, incoming.query)
    headers = incoming.headers
    call.body = body_of(operation, incoming.body, headers.get("content-type"), headers.get("content-encoding"))
    key = headers.get("idempotency-key")
    if key is not None and operation.idempotent_by_key:
        owner = subject.user_id or f"runner:{subject.runner_id}"
        claim = keys.Claim(owner=owner, key=key, fingerprint=keys.fingerprint(operation, incoming))
        return await keys.once(api, claim, lambda: _do(call))
    return await _do(call)


# --- who, and how often ---------------------------------------------------------------------------


async def _subject(api: Api, operation: Operation, incoming: Incoming) -> Subject:
    if operation.who == "anybody":
        return ANONYMOUS
    subject = await api.authenticator.authenticate(_bearer(incoming.headers))
    if subject.kind == "runner" and operation.who != "runner":
        raise ProblemError(403, "a runner's token is good for the runner's own routes only")
    if subject.kind == "anonymous" and operation.who != "visitor":
        raise unauthorized("sign in first: this needs an Authorization header with a Bearer token")
    buckets = api.writes if operation.writes else api.reads
    buckets.take(subject.user_id or subject.runner_id or incoming.address or "", trio.current_time())
    return subject


def _bearer(headers: Mapping[str, str]) -> str | None:
    found = headers.get("authorization")
    if found is None:
        return None
    kind, _, token = found.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise InvalidToken("the Authorization header has no Bearer token")
    return token.strip()


# --- may they -------------------------------------------------------------------------------------


async def _authorize(call: Call[Any, Any]) -> None:
    operation = call.operation
    match operation.on:
        case "village":
            village_id = call.path["villageId"]
            await _check_village(call, operation.may, village_id, f"village {village_id[:200]!r}")
            call.village_id = village_id
        case "session":
            session_id = call.path["sessionId"]
            state = call.api.context.board.session(session_id)
            if state is None:
                raise not_found(f"session {session_id[:200]!r}")
            await _check_village(call, operation.may, state.village_id, f"session {session_id[:200]!r}")
            call.session = state
        case "runner":
            await _authorize_runner(call)
        case "service":
            call.api.gate.check_service(call.subject, operation.may)
        case "nothing":
            pass


async def _check_village(call: Call[Any, Any], action: Action, village_id: str, what: str) -> None:
    try:
        await call.api.gate.check(call.subject, action, "village", village_id)
    except NotFound:
        raise not_found(what) from None


async def _authorize_runner(call: Call[Any, Any]) -> None:
    """A runner of one village is its people's; one for all villages is the administrators', and members see it."""
    runner_id = call.path["runnerId"]
    what = f"runner {runner_id[:200]!r}"
    if call.subject.kind == "runner":
        if call.operation.who != "runner" or call.subject.runner_id != runner_id:
            raise not_found(what)
        runner = await call.api.database.read(runners.get, runner_id)
    else:
        printable = runner_id.isprintable() and runner_id.isascii()
        runner = await call.api.database.read(runners.get, runner_id) if printable else None
        if runner is not None and runner.village_id is not None:
            await _check_village(call, call.operation.may, runner.village_id, what)
        elif runner is not None and decide_service(call.subject, call.operation.may) is not PolicyVerdict.ALLOWED:
            raise ProblemError(403, "only an administrator may do that with a runner of all villages")
    if runner is None:
        raise not_found(what)
    call.runner = runner


# --- do it ----------------------------------------------------------------------------------------


async def _do(call: Call[Any, Any]) -> Answer:
    result = await call.operation.handler(call)
    if call.operation.audit is not None:
        await _note(call)
    if isinstance(result, Answer):
        return result
    return Answer(call.operation.status, encode(result))


async def _note(call: Call[Any, Any]) -> None:
    """Into the audit log. It was done: a caller who hangs up now must not keep it from being noted."""
    subject = call.subject
    entry = Entry(
        at_ms=call.now_ms,
        kind=subject.kind,
        action=call.operation.audit or "",
        user_id=subject.user_id,
        token_id=subject.token_id,
        village_id=call.village_id,
        session_id=call.session.session_id if call.has_session else None,
        target=call.target,
        address=call.address,
        details=call.notes or None,
    )
    with trio.move_on_after(AUDIT_SECONDS) as scope:
        scope.shield = True
        await call.api.database.call(audit.add, entry)
    if scope.cancelled_caught:
        log.error("audit_entry_late", action=entry.action)
