"""The agent's side of the Agent Client Protocol, version 1, on standard input and output.

A session of the editor becomes a session of the service at its first prompt: until then there is nothing to run.
"""

import secrets
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, cast

import attrs
import trio

from townwatch import __version__
from townwatch.cli.acp.thread import EditorThread, PromptFailed, ThreadOptions
from townwatch.cli.acp.updates import Json, prompt_text
from townwatch.client import NotReached, ServiceError, TownwatchClient
from townwatch.contracts.rest import SessionView
from townwatch.runner.agents.jsonrpc import METHOD_NOT_FOUND, Rpc, RpcRequest
from townwatch.runner.agents.shape import ShapeError

PROTOCOL_VERSION = 1
MAX_LINE = 64 << 20
INVALID_PARAMS, INTERNAL, AUTH_REQUIRED, NO_SUCH, PARSE_ERROR = -32602, -32603, -32000, -32002, -32700
LISTED = 100
PREFIX = "acp-"
"""Of the names of sessions that no prompt has started yet; their agents are called so, too."""


class BadRequest(Exception):
    """A request that cannot be answered; `code` is JSON-RPC's."""

    def __init__(self, message: str, code: int = INVALID_PARAMS) -> None:
        super().__init__(message)
        self.code = code


@attrs.define(eq=False)
class AcpFace:
    """One editor."""

    client: TownwatchClient
    options: ThreadOptions
    threads: dict[str, EditorThread] = attrs.field(factory=dict[str, EditorThread])
    editor: str = "editor"
    _writing: trio.Lock = attrs.field(factory=trio.Lock)
    _rpc: Rpc = attrs.field(init=False)
    _nursery: trio.Nursery = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rpc = Rpc(self._write, {"jsonrpc": "2.0"})

    async def run(self) -> None:
        """Serve until standard input ends. Sessions run on: the page shows them, and session/load finds them again."""
        async with trio.open_nursery() as self._nursery:
            async for line in _lines():
                try:
                    request = await self._rpc.take(line)
                except ShapeError as error:
                    await self._rpc.refuse(cast(Any, None), PARSE_ERROR, str(error))
                    continue
                if request is None:
                    continue
                if request.method == "session/cancel":
                    thread = self.threads.get(str(request.params.get("sessionId")))
                    if thread is not None:
                        self._nursery.start_soon(thread.cancel)
                elif request.id is not None:
                    self._nursery.start_soon(self._serve, request)
            self._nursery.cancel_scope.cancel()

    async def _write(self, message: bytes) -> None:
        def write() -> None:
            sys.stdout.buffer.write(message + b"\n")
            sys.stdout.buffer.flush()

        async with self._writing:
            with trio.CancelScope(shield=True):  # half a line would break every later one
                await trio.to_thread.run_sync(write)

    async def _serve(self, request: RpcRequest) -> None:
        assert request.id is not None
        try:
            result = await self._answer(request)
        except BadRequest as bad:
            await self._rpc.refuse(request.id, bad.code, str(bad))
        except PromptFailed as failed:
            await self._rpc.refuse(request.id, INTERNAL, str(failed))
        except ServiceError as refused:
            code = AUTH_REQUIRED if refused.status == 401 else NO_SUCH if refused.status == 404 else INTERNAL
            await self._rpc.refuse(request.id, code, f"{refused}" + (f" ({refused.code})" if refused.code else ""))
        except NotReached as lost:
            await self._rpc.refuse(request.id, INTERNAL, str(lost))
        else:
            await self._rpc.answer(request.id, result)

    async def _answer(self, request: RpcRequest) -> Json:
        params = dict(request.params)
        match request.method:
            case "initialize":
                return self._initialize(params)
            case "authenticate":
                return {}
            case "session/new":
                return self._new(params)
            case "session/load":
                await self._load(params)
                return {}
            case "session/list":
                return await self._list(params)
            case "session/prompt":
                return {"stopReason": await self._prompt(params)}
            case "session/close":
                await self._thread(params).close()
                del self.threads[str(params.get("sessionId"))]
                return {}
            case other:
                raise BadRequest(f"{other} is not offered", METHOD_NOT_FOUND)

    def _initialize(self, params: Json) -> Json:
        info: Any = params.get("clientInfo")
        if isinstance(info, dict):
            self.editor = str(cast(Json, info).get("name") or self.editor)[:80]
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
                "mcpCapabilities": {"http": False, "sse": False},
                "sessionCapabilities": {"list": {}, "close": {}},
            },
            "agentInfo": {"name": "townwatch", "title": "Townwatch", "version": __version__},
            "authMethods": [],
        }

    def _new(self, params: Json) -> Json:
        name = f"{PREFIX}{secrets.token_hex(6)}"
        self.threads[name] = self._make(name, self._directory(params), f"{self.editor} {name}")
        return {"sessionId": name}

    def _directory(self, params: Json) -> str:
        directory = params.get("cwd")
        if not isinstance(directory, str) or not directory.startswith("/"):
            raise BadRequest("cwd: an absolute path is expected")
        return self.options.directory or directory

    def _make(self, name: str, directory: str, agent_name: str) -> EditorThread:
        return EditorThread(
            name=name,
            directory=directory,
            client=self.client,
            options=self.options,
            rpc=self._rpc,
            following=self._nursery,
            agent_name=agent_name,
        )

    async def _prompt(self, params: Json) -> str:
        thread = self._thread(params)
        blocks: Any = params.get("prompt")
        if not isinstance(blocks, list):
            raise BadRequest("prompt: a list of content blocks is expected")
        try:
            text = prompt_text([cast(Json, one) for one in cast("list[Any]", blocks) if isinstance(one, dict)])
        except ValueError as error:
            raise BadRequest(str(error)) from None
        return await thread.prompt(text)

    def _thread(self, params: Json) -> EditorThread:
        thread = self.threads.get(str(params.get("sessionId")))
        if thread is None:
            raise BadRequest(f"there is no session {params.get('sessionId')} here; load it first", NO_SUCH)
        return thread

    async def _load(self, params: Json) -> None:
        name = str(params.get("sessionId"))
        directory = self._directory(params)
        view = await self._find(name)
        thread = self._make(name, directory, view.agent_name)
        self.threads[name] = thread
        await thread.load(view)

    async def _find(self, name: str) -> SessionView:
        """Return the session of a name: one of the service's, or the newest that an editor's name has become."""
        if not name.startswith(PREFIX):
            return await self.client.session(name).view()
        for view in await self.client.sessions(live=False):
            if view.agent_name.endswith(f" {name}"):
                return view
        raise BadRequest(f"no session {name}: it was never given a prompt, or is no longer kept", NO_SUCH)

    async def _list(self, params: Json) -> Json:
        wanted = params.get("cwd")
        sessions: list[Json] = []
        for view in await self.client.sessions(village=self.options.village, live=False):
            where = view.workspace_path or view.repo_path
            if not where.startswith("/") or (wanted is not None and where != wanted):
                continue
            at = view.activity_at or view.created_at
            when = {} if at is None else {"updatedAt": datetime.fromtimestamp(at / 1000, UTC).isoformat()}
            title = f"{view.agent_name} ({view.state.lower()})"
            sessions.append({"sessionId": view.session_id, "cwd": where, "title": title, **when})
        return {"sessions": sessions[:LISTED]}


async def _lines() -> AsyncGenerator[bytes]:
    """Yield the lines of standard input that have something in them."""
    while line := await trio.to_thread.run_sync(sys.stdin.buffer.readline, MAX_LINE, abandon_on_cancel=True):
        if line.strip():
            yield line
