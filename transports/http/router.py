"""Find the operation for a request's method and path, run it, and turn its answer into the edge's response."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

import attrs

from townwatch.transports.edge.http import Request, Response
from townwatch.transports.http.cors import cors
from townwatch.transports.http.deps import Api
from townwatch.transports.http.operation import Operation
from townwatch.transports.http.problems import ProblemError, RestResponse, problem_of
from townwatch.transports.http.serve import NO_STORE, ApiRequest, serve

MAX_BODY = 1 << 20


@attrs.define(eq=False)
class _Node:
    """One position in the paths. `methods`: what ends here, a finished answer or an operation."""

    literal: "dict[str, _Node]" = attrs.field(factory=dict)
    parameter: "_Node | None" = None
    methods: dict[str, Operation | RestResponse] = attrs.field(factory=dict)


class Router:
    """An edge handler that serves a table of operations, and some finished answers, by their paths.

    A template's `{name}` takes one whole segment. Segments are unquoted after the path is split, so an escaped slash
    stays within its segment. Literal segments win over parameters. HEAD is served as GET; the edge leaves the body out.
    """

    def __init__(
        self, api: Api, operations: Iterable[Operation], fixed: Mapping[str, RestResponse] | None = None
    ) -> None:
        """Build the table.

        Raises:
            ValueError: if two entries have the same method and path.
        """
        self._api = api
        self._root = _Node()
        for operation in operations:
            self._add(operation.method, operation.path, operation)
        for path, answer in (fixed or {}).items():
            self._add("GET", path, answer)

    def _add(self, method: str, path: str, target: Operation | RestResponse) -> None:
        node = self._root
        for part in path.strip("/").split("/"):
            if not part.startswith("{"):
                node = node.literal.setdefault(part, _Node())
                continue
            if node.parameter is None:
                node.parameter = _Node()
            node = node.parameter
        if node.methods.setdefault(method, target) is not target:
            raise ValueError(f"{method} {path}: is in the table already")

    async def __call__(self, request: Request) -> Response:
        """Answer one request. Errors become answers, too."""
        response = await self._respond(request)
        response.headers.extend(cors(request, self._api.allowed_origins))
        return response

    async def _respond(self, request: Request) -> Response:
        try:
            answer = await self._answer(request)
        except ProblemError as problem:
            answer = _refusal(problem)
        response = _response(answer)
        if answer.download is None:
            return response
        try:
            return await answer.download.open(response)
        except Exception as error:
            return _response(_refusal(problem_of(error)))

    async def _answer(self, request: Request) -> RestResponse:
        segments = [unquote(part) for part in request.raw_path.removesuffix("/").split("/")[1:]]
        node = _find(self._root, segments)
        if node is None:
            raise ProblemError(404, "there is no such address; /api/docs lists what there is")
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return RestResponse(204, headers={**NO_STORE, "allow": ", ".join(sorted({*node.methods, "OPTIONS"}))})
        target = node.methods.get(method)
        if target is None:
            allow = ", ".join(sorted(node.methods))
            raise ProblemError(
                405, f"this address has no method {method[:20]}; it has {allow}", headers={"allow": allow}
            )
        if isinstance(target, RestResponse):
            return target
        if len(request.body) > MAX_BODY:
            raise ProblemError(413, f"the body has {len(request.body)} bytes; at most {MAX_BODY} are read")
        return await serve(self._api, target, _incoming(request, method, target, segments))


def _find(node: _Node, segments: list[str]) -> _Node | None:
    """Return the node for the segments, where something ends; literals are tried first."""
    if not segments:
        return node if node.methods else None
    first, rest = segments[0], segments[1:]
    literal = node.literal.get(first)
    found = None if literal is None else _find(literal, rest)
    if found is None and first and node.parameter is not None:
        found = _find(node.parameter, rest)
    return found


def _incoming(request: Request, method: str, operation: Operation, segments: list[str]) -> ApiRequest:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    template = operation.path.strip("/").split("/")
    return ApiRequest(
        method=method,
        path="".join("/" + quote(segment, safe="") for segment in segments),
        query=request.query,
        headers=headers,
        body=request.body,
        path_values={part[1:-1]: value for part, value in zip(template, segments, strict=True) if part[0] == "{"},
        address=request.client,
    )


def _refusal(problem: ProblemError) -> RestResponse:
    answer = problem.answer()
    return attrs.evolve(answer, headers={**NO_STORE, **answer.headers})


def _response(answer: RestResponse) -> Response:
    """The edge adds Content-Length; an answer without a body has no Content-Type either."""
    content_type = [("content-type", answer.media_type)] if answer.status != 204 else []
    return Response(answer.status, answer.body, [*content_type, *answer.headers.items()])
