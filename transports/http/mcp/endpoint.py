"""POST /mcp: who asks, the message, and its answer. Every tool goes through the REST router with the caller's token."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
import trio

from townwatch.access.policy import token_allows
from townwatch.access.subject import Subject
from townwatch.contracts.codec import ContractError, decode_json, encode
from townwatch.transports.edge.http import Request, Response
from townwatch.transports.http.deps import Api
from townwatch.transports.http.mcp import protocol
from townwatch.transports.http.mcp.protocol import Json, McpError, McpRequest
from townwatch.transports.http.mcp.tools import LONGEST_WAIT_SECONDS, TOOLS, McpTool, OperationAnswer, ToolFailed
from townwatch.transports.http.problems import JSON, ProblemError, problem_of, unauthorized

log = structlog.get_logger("mcp")

PATH = "/mcp"
CALLS_OF_ONE = 16
"""Calls of one person that may be under way."""
CALL_SECONDS = LONGEST_WAIT_SECONDS + 40.0
Handler = Callable[[Request], Awaitable[Response]]


class McpEndpoint:
    """An edge handler. It keeps nothing between two requests."""

    def __init__(self, api: Api, rest: Handler) -> None:
        """`rest`: the router of the REST API."""
        self._api = api
        self._rest = rest
        self._server = {"name": "townwatch", "title": "Townwatch", "version": api.version}
        self._under_way: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        """Answer one request. Errors become answers, too."""
        try:
            return await self._answer(request)
        except Exception as error:
            problem = problem_of(error)
            answer = problem.answer()
            return Response(answer.status, answer.body, [("content-type", JSON), *answer.headers.items()])

    async def _answer(self, request: Request) -> Response:
        if request.path.rstrip("/") != PATH:
            raise ProblemError(404, f"there is no such address; MCP is at {PATH}")
        self._check_origin(request)
        if request.method != "POST":
            raise ProblemError(405, "MCP messages are sent with POST", headers={"allow": "POST"})
        if request.header("content-type").partition(";")[0].strip().lower() != JSON:
            raise ProblemError(415, f"the body must be {JSON}")
        subject = await self._subject(request)
        message: Any = None
        try:
            message = _decoded(request.body)
            found = protocol.request_of(message, dict(request.headers))
            if found.id is None:
                return Response(202)
            return _json(200, await self._serve(found, request, subject))
        except McpError as error:
            return _json(error.status, error.answer(protocol.id_of(message)))

    def _check_origin(self, request: Request) -> None:
        """A page of another origin must not drive a service that its visitor's machine can reach."""
        origin, host = request.only("origin"), request.header("host")
        own = (f"http://{host}", f"https://{host}", *self._api.allowed_origins)
        if origin is not None and origin not in own:
            raise ProblemError(403, "pages of this origin may not use the service")

    async def _subject(self, request: Request) -> Subject:
        kind, _, token = request.header("authorization").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise unauthorized("MCP needs an Authorization header with a Bearer token; make one at /api/tokens")
        subject = await self._api.authenticator.authenticate(token.strip())
        if subject.user_id is None or subject.kind not in ("user", "api_token"):
            raise ProblemError(403, "MCP is for people's tokens, not for those of runners and sessions")
        self._api.reads.take(subject.user_id, trio.current_time())
        return subject

    async def _serve(self, found: McpRequest, request: Request, subject: Subject) -> Json:
        match found.method:
            case "initialize" if not found.modern:
                return found.result(protocol.initialized(found.params, self._server), self._server)
            case "ping" if not found.modern:
                return found.result({}, self._server)
            case "server/discover" if found.modern:
                return found.result(protocol.discovered(self._server), self._server)
            case "tools/list":
                tools = [tool.described() for tool in TOOLS.values() if _offered(tool, subject)]
                return found.result(protocol.listed(tools, modern=found.modern), self._server)
            case "tools/call":
                return found.result(await self._call(found, request, subject), self._server)
            case method:
                status = 404 if found.modern else 200
                raise McpError(protocol.NO_METHOD, f"Method not found: {method[:100]}", status)

    async def _call(self, found: McpRequest, request: Request, subject: Subject) -> Json:
        name, arguments = found.params.get("name"), found.params.get("arguments", {})
        tool = TOOLS.get(name) if isinstance(name, str) else None
        if tool is None or not _offered(tool, subject):
            told = f"Unknown tool: {str(name)[:100]}" if tool is None else _why_not(tool)
            raise McpError(protocol.INVALID_PARAMS, told, 200)
        if not isinstance(arguments, dict):
            raise McpError(protocol.INVALID_PARAMS, "arguments must be an object", 200)
        who = subject.user_id or ""
        if self._under_way[who] >= CALLS_OF_ONE:
            return _failed(f"{CALLS_OF_ONE} calls of yours are under way; wait for one of them")
        self._under_way[who] += 1
        try:
            with trio.fail_after(CALL_SECONDS):
                value = await tool.call(self._asker(request), cast(Json, arguments))
        except (ToolFailed, ContractError) as error:
            return _failed(str(error))
        except trio.TooSlowError:
            return _failed("the service did not answer in time; it may still do this")
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]
        return {
            "content": [{"type": "text", "text": encode(value).decode()}],
            "structuredContent": value,
            "isError": False,
        }

    def _asker(self, request: Request) -> Callable[[str, str, Any], Awaitable[OperationAnswer]]:
        """Return a way to ask the operations with the token of a request, from its address."""
        token = request.header("authorization")

        async def ask(method: str, path: str, body: Any) -> OperationAnswer:
            raw, _, query = path.partition("?")
            headers = [("authorization", token), ("host", request.header("host"))]
            if body is not None:
                headers.append(("content-type", JSON))
            answer = await self._rest(
                Request(
                    method=method,
                    path=raw,
                    raw_path=raw,
                    query=query,
                    headers=headers,
                    client=request.client,
                    scheme=request.scheme,
                    body=b"" if body is None else encode(body),
                )
            )
            return OperationAnswer(answer.status, decode_json(answer.body, max_bytes=1 << 26) if answer.body else None)

        return ask


def _offered(tool: McpTool, subject: Subject) -> bool:
    """Return whether a token may use a tool. What decides for agents is for tokens that were made for that."""
    return token_allows(subject, tool.scope) and (not tool.given or subject.kind == "api_token")


def _why_not(tool: McpTool) -> str:
    given = " that was made with it: a person's sign-in does not do" if tool.given else ""
    return f"{tool.name} needs an API token with the scope {tool.scope.value}{given}"


def _failed(message: str) -> Json:
    return {"content": [{"type": "text", "text": message}], "isError": True}


def _decoded(body: bytes) -> Any:
    try:
        return decode_json(body)
    except ContractError as error:
        raise McpError(protocol.PARSE_ERROR, f"Parse error: {error}") from None


def _json(status: int, value: Json) -> Response:
    headers = [("content-type", JSON), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
    return Response(status, encode(value), headers)
