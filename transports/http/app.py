"""The REST application: the operations of all nouns, as a Litestar app for the bridge."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar, Request, Response
from litestar.handlers import HTTPRouteHandler

from contracts.codec import encode
from transports.http import docs_page
from transports.http.deps import Api
from transports.http.openapi import document
from transports.http.operation import Operation
from transports.http.problems import JSON, Answer, problem_of
from transports.http.routes import approvals, audit, auth, connections, members, runners, sessions, system, villages
from transports.http.serve import NO_STORE, Incoming, serve

PREFIXES = ("/api", "/healthz", "/readyz", "/metrics")
"""Paths that belong to this application."""
MAX_BODY = 1 << 20

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for noun in (auth, connections, villages, members, audit, sessions, approvals, runners, system)
    for operation in noun.routes.operations
)
"""Everything the API can do."""


def create_app(api: Api) -> Litestar:
    """The application. Errors of every kind are in the contract's form, the framework's own too."""
    documentation = encode(document(OPERATIONS, api.version))

    async def openapi_document() -> Answer:
        return Answer(200, documentation)

    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    handlers = [_handler(path, methods, api) for path, methods in by_path.items()]
    fixed = {"/api/openapi.json": openapi_document, **docs_page.answers()}
    handlers += [_fixed(path, answer) for path, answer in fixed.items()]
    return Litestar(
        route_handlers=handlers,
        openapi_config=None,
        logging_config=None,
        debug=False,
        exception_handlers={Exception: _on_error},
        request_max_body_size=MAX_BODY,
    )


def _handler(path: str, operations: dict[str, Operation], api: Api) -> HTTPRouteHandler:
    """All that can be done at one path: the framework's own OPTIONS and 405 then name every method."""

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        client: tuple[str, int] | None = request.scope["client"]
        incoming = Incoming(
            method=request.method,
            path=request.scope["path"],
            query=request.scope["query_string"].decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.body(),
            path_values={name: str(value) for name, value in request.path_params.items()},
            address=client[0] if client else None,
        )
        return _response(await serve(api, operations[request.method], incoming))

    template = path.replace("}", ":str}")
    return HTTPRouteHandler(template, http_method=list(operations), status_code=200)(handle)  # type: ignore


def _fixed(path: str, answer: Callable[[], Awaitable[Answer]]) -> HTTPRouteHandler:
    async def handle() -> Response[bytes]:
        return _response(await answer())

    return HTTPRouteHandler(path, http_method=["GET"], status_code=200)(handle)  # type: ignore[arg-type]


def _response(answer: Answer) -> Response[bytes]:
    return Response(
        content=answer.body, status_code=answer.status, media_type=answer.media_type, headers=answer.headers
    )


def _on_error(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What the framework itself refuses, or what failed outside of an operation."""
    answer = problem_of(error).answer()
    return Response(
        content=answer.body,
        status_code=answer.status,
        media_type=JSON,
        headers={**NO_STORE, **answer.headers},
    )
