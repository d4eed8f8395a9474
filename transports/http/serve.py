"""A request's way through an operation: who asks, how often, may they, is it well-formed, is it new, do it."""

import time
from collections.abc import Mapping
from typing import Any

import attrs
import structlog
import trio

from townwatch.access.gate import NotFound
from townwatch.access.policy import Action, token_allows, why_token_refused
from townwatch.access.sign_in import ClientPlace
from townwatch.access.subject import ANONYMOUS, InvalidCredentials, Subject
from townwatch.contracts.codec import encode
from townwatch.contracts.networks import network_of
from townwatch.contracts.tracing.context import TraceContext
from townwatch.store import audit, runner_grants, runners
from townwatch.transports.http import idempotency, lookups
from townwatch.transports.http.deps import Api
from townwatch.transports.http.operation import Call, Operation
from townwatch.transports.http.problems import ProblemError, RestResponse, not_found, problem_of, unauthorized
from townwatch.transports.http.request_decoding import body_of, query_of

log = structlog.get_logger("http")

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
AUDIT_SECONDS = 2.0


@attrs.frozen(kw_only=True)
class ApiRequest:
    """The part of a request that an operation looks at. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    path_values: Mapping[str, str]
    address: str | None


async def serve(api: Api, operation: Operation, incoming: ApiRequest) -> RestResponse:
    """The answer, whatever happens: errors too are answers."""
    began_ns, header = time.time_ns(), incoming.headers.get("traceparent")
    place = api.trace(header) if operation.writes else None
    try:
        with trio.fail_after(api.request_seconds):
            answer = await _serve(api, operation, incoming, place)
    except Exception as error:
        answer = problem_of(error).answer()
    if place is not None:
        request = {"operation": operation.name, "route": f"{operation.method} {operation.path}", "header": header}
        api.context.measure("request", {**request, "place": place, "began_ns": began_ns, "status": answer.status})
    return attrs.evolve(answer, headers={**NO_STORE, **answer.headers})


async def _serve(api: Api, operation: Operation, incoming: ApiRequest, place: TraceContext | None) -> RestResponse:
    if operation.sign_in:
        api.sign_ins.take(network_of(incoming.address), trio.current_time())
    subject = await _subject(api, operation, incoming)
    call = Call[Any, Any](
        api=api,
        operation=operation,
        subject=subject,
        path=incoming.path_values,
        address=incoming.address,
        origin=incoming.headers.get("origin"),
        host=incoming.headers.get("host"),
        user_agent=incoming.headers.get("user-agent"),
        body=None,
        query=None,
        traceparent=None if place is None else place.header,
    )
    if not _is_open(api, operation, incoming):
        await _authorize(call)
    call.query = query_of(operation, incoming.query)
    headers = incoming.headers
    call.body = body_of(operation, incoming.body, headers.get("content-type"), headers.get("content-encoding"))
    if operation.on == "body":
        await _authorize_body(call)
    key = headers.get("idempotency-key")
    if key is not None and operation.idempotent_by_key:
        owner = subject.user_id or f"runner:{subject.runner_id}"
        claim = idempotency.Claim(owner=owner, key=key, fingerprint=idempotency.fingerprint(operation, incoming))

        async def do(claim_id: str) -> RestResponse:
            call.claim = claim_id
            return await _do(call)

        return await idempotency.once(api, claim, do)
    return await _do(call)


# --- who, and how often ---------------------------------------------------------------------------


async def _subject(api: Api, operation: Operation, incoming: ApiRequest) -> Subject:
    if _is_open(api, operation, incoming):
        return ANONYMOUS
    subject = await api.authenticator.authenticate(_bearer(incoming.headers))
    if subject.kind == "runner" and operation.who != "runner":
        raise ProblemError(403, "a runner's token is valid for the runner's own routes only")
    if subject.kind == "anonymous" and operation.who != "visitor":
        raise unauthorized("sign in first: this needs an Authorization header with a Bearer token")
    buckets = api.writes if operation.writes else api.reads
    buckets.take(subject.user_id or subject.runner_id or network_of(incoming.address), trio.current_time())
    place = ClientPlace(address=incoming.address, user_agent=incoming.headers.get("user-agent"))
    await api.token_places.note(subject, place)
    return subject


def _is_open(api: Api, operation: Operation, incoming: ApiRequest) -> bool:
    if operation.who == "any":
        return True
    return operation.open_when is not None and operation.open_when(api, incoming.headers, incoming.address)


def _bearer(headers: Mapping[str, str]) -> str | None:
    found = headers.get("authorization")
    if found is None:
        return None
    kind, _, token = found.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise InvalidCredentials("the Authorization header has no Bearer token")
    return token.strip()


# --- may they -------------------------------------------------------------------------------------


async def _authorize(call: Call[Any, Any]) -> None:
    """The token first, which tells nothing of what there is; then what it is to be done to."""
    operation, subject = call.operation, call.subject
    if subject.kind != "runner" and not token_allows(subject, operation.may):
        raise ProblemError(403, why_token_refused(subject, operation.may))
    match operation.on:
        case "village":
            key = await lookups.village(call, operation.done, call.path["villageId"])
            call.village_id, call.path = key, {**call.path, "villageId": key}
        case "session":
            session_id = call.path["sessionId"]
            state = call.api.context.board.session(session_id)
            if state is None:
                raise not_found(f"session {session_id[:200]!r}")
            await _check_village(call, operation.done, state.village_id, f"session {session_id[:200]!r}")
            call.session = state
        case "runner":
            await _authorize_runner(call)
        case "service" if subject.kind != "runner":
            call.api.gate.check_service(subject, operation.done)
        case "service" | "self" | "list" | "public":
            pass  # a runner's own, the asker's own, what one may see of all, what is for all
        case "body":
            pass  # as soon as the body is read
    if operation.guard is not None:
        operation.guard(call)


async def _authorize_body(call: Call[Any, Any]) -> None:
    """The village that the body names; where it may name none, the service."""
    name: str | None = call.body.village_id
    if name is None:
        call.api.gate.check_service(call.subject, Action.ADMIN)
        call.village_id = None
    else:
        call.village_id = await lookups.village(call, call.operation.done, name)


async def _check_village(call: Call[Any, Any], action: Action, village_id: str, what: str) -> None:
    try:
        await call.api.gate.check(call.subject, action, "village", village_id)
    except NotFound:
        raise not_found(what) from None


async def _authorize_runner(call: Call[Any, Any]) -> None:
    """Check a runner's operation: members of a village that it serves see it; to manage it takes an owner of all of
    them.
    """
    runner_id = call.path["runnerId"]
    what = f"runner {runner_id[:200]!r}"
    if call.subject.kind == "runner":
        if call.operation.who != "runner" or call.subject.runner_id != runner_id:
            raise not_found(what)
    else:
        try:
            await call.api.gate.check_runner(
                call.subject, call.operation.done, runner_id, any_owner=call.operation.any_owner
            )
        except NotFound:
            raise not_found(what) from None
    runner = await call.api.database.read(runners.get, runner_id)
    if runner is None:
        raise not_found(what)
    call.runner = runner
    if call.operation.audit is not None:  # where it is about one village, it is that village's to read
        grants = await call.api.database.read(runner_grants.of_runner, runner_id)
        call.village_id = grants[0].village_id if len(grants) == 1 else None


# --- do it ----------------------------------------------------------------------------------------


async def _do(call: Call[Any, Any]) -> RestResponse:
    result = await call.operation.handler(call)
    if call.operation.audit is not None and not call.noted:
        await _note(call)
    if isinstance(result, RestResponse):
        return result
    return RestResponse(call.operation.status, encode(result))


async def _note(call: Call[Any, Any]) -> None:
    """Note it in the audit log, before the answer. It was done: a caller who hangs up must not keep it from being
    noted.
    """
    entry = call.entry()
    with trio.move_on_after(AUDIT_SECONDS) as scope:
        scope.shield = True
        try:
            await call.api.database.call(audit.add, entry)
        except Exception as error:  # it was done: a database that cannot be written to now does not undo that
            log.error("audit_entry_waits", action=entry.action, reason=repr(error))
            call.api.keep_audit(entry)
    if scope.cancelled_caught:
        log.error("audit_entry_late", action=entry.action)
