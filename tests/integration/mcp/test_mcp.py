"""The MCP server, driven by the official client: the main job over HTTP and standard input, in both eras."""

import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.runner.conftest import Far
from tests.support.people import person, rest
from tests.support.service import JS, NodeClient, Town, open_node, open_town

MODERN = "2026-07-28"
READ_AND_DRIVE = {"list_sessions", "get_session", "read_session", "wait_for_session"} | {
    "start_session", "prompt_session", "stop_session",
}  # fmt: skip
APPROVALS = {"list_approvals", "decide_approval"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@attrs.define(eq=False)
class McpClient:
    """The official client in a process of its own."""

    node: NodeClient
    server: dict[str, Any]

    async def tell(self, *words: Any) -> dict[str, Any]:
        stdin = self.node._process.stdin
        assert stdin is not None
        await stdin.send_all(json.dumps(words).encode() + b"\n")
        return await self.node.line()

    async def tools(self) -> set[str]:
        return {one["name"] for one in (await self.tell("list"))["tools"]}

    async def call(self, name: str, **arguments: Any) -> Any:
        """What the tool returned; its text and its structure are the same."""
        found = await self.tell("call", name, arguments)
        assert not found.get("isError") and "error" not in found, found
        assert json.loads(found["content"][0]["text"]) == found["structuredContent"]
        return found["structuredContent"]


@asynccontextmanager
async def official(town: Town, token: str, way: str, mode: Any) -> AsyncIterator[McpClient]:
    if not (JS / "node_modules" / "@modelcontextprotocol" / "client").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    options: dict[str, Any] = {"mode": mode, "url": f"{town.url}/mcp", "token": token}
    if way == "stdio":
        arguments = ["-P", "-m", "townwatch", "mcp", "--state-dir", str(town.state), "--token", token]
        options = {"mode": mode, "command": sys.executable, "args": arguments, "env": {}}
    async with open_node(JS / "mcp.mjs", json.dumps(options)) as process:
        client = NodeClient(process)
        yield McpClient(client, await client.line())


@pytest.mark.parametrize(
    ("way", "mode"), [("http", {"pin": MODERN}), ("http", "legacy"), ("stdio", "auto"), ("stdio", "legacy")]
)
async def test_the_main_job(far: Far, way: str, mode: Any) -> None:
    token = await person(far.town, "robot", "operator", scopes=frozenset({"read", "drive", "decide"}))
    async with official(far.town, token, way, mode) as client:
        assert client.server["server"]["name"] == "townwatch" and "wait_for_session" in client.server["instructions"]
        assert await client.tools() == READ_AND_DRIVE | APPROVALS
        ask = f"{sys.executable} -P -m townwatch ask --category shell --risk high 'rm -rf build/'"
        made = await client.call(
            "start_session",
            directory=str(far.directory),
            goal="say hello",
            agent="command",
            command=["bash", "-c", f"echo hello; {ask} && echo allowed; sleep 1000"],
        )
        waited = await client.call("wait_for_session", sessionId=made["sessionId"], seconds=20)
        assert waited["why"] == "an approval waits for a decision"
        (asked,) = (await client.call("list_approvals", village="demo"))["approvals"]
        assert asked["summary"] == "rm -rf build/"
        decided = {"sessionId": made["sessionId"], "approvalId": asked["approvalId"]}
        await client.call("decide_approval", **decided, decision="allow")
        with trio.fail_after(20):
            while "allowed" not in (read := await client.call("read_session", sessionId=made["sessionId"]))["text"]:
                await trio.sleep(0.1)
        assert read["text"].startswith("hello\n") and not read["beginningIsMissing"]
        (listed,) = (await client.call("list_sessions"))["sessions"]
        assert (listed["sessionId"], listed["approvalsWaiting"]) == (made["sessionId"], 0)
        await client.call("stop_session", sessionId=made["sessionId"])
        ended = await client.call("wait_for_session", sessionId=made["sessionId"], until="ended", seconds=30)
        assert (ended["why"], ended["session"]["state"]) == ("ended", "COMPLETED")
        story = {"sessionId": made["sessionId"], "what": "events", "limit": 200}
        with trio.fail_after(20):  # its last event comes behind its last state
            while (await client.call("read_session", **story))["events"][-1]["type"] != "SESSION_ENDED":
                await trio.sleep(0.1)
        refused = await client.tell("call", "decide_approval", {**decided, "decision": "deny"})
        assert refused["isError"] and refused["content"][0]["text"].startswith("E_")


async def post(http: httpx.AsyncClient, method: str, params: Any = None, **headers: str) -> httpx.Response:
    """A modern request by hand; a header of None is left out."""
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**(params or {}), "_meta": META}}
    known = {"mcp-protocol-version": MODERN, "mcp-method": method, **headers}
    return await http.post("/mcp", json=body, headers=known)


async def names(http: httpx.AsyncClient) -> set[str]:
    return {one["name"] for one in (await post(http, "tools/list")).json()["result"]["tools"]}


async def test_tools_are_those_of_the_tokens_scopes(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        reader = await person(town, "reader", "operator", scopes=frozenset({"read"}))
        driver = await person(town, "driver", "operator", scopes=frozenset({"read", "drive"}))
        decider = await person(town, "decider", "operator", scopes=frozenset({"read", "decide"}))
        for token, expected in (
            (reader, {name for name in READ_AND_DRIVE if name.split("_")[0] not in ("start", "prompt", "stop")}),
            (driver, READ_AND_DRIVE),
            (town.token, READ_AND_DRIVE),  # a sign-in has every scope, and was not given this one
        ):
            async with rest(town, token) as http:
                assert await names(http) == expected
                call = {"name": "decide_approval", "arguments": {}}
                refused = (await post(http, "tools/call", call, **{"mcp-name": "decide_approval"})).json()
                assert "scope decide" in refused["error"]["message"]
        async with rest(town, decider) as http:
            assert await names(http) > APPROVALS


async def test_who_has_no_right_in_a_village_learns_nothing_of_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        started = {"providerId": "codex", "providerVersion": "1", "workspacePath": "/w"}
        envelope = {"sessionId": "s1", "orgId": "demo", "ts": 1, "seq": 1}
        await runner.send({"type": "SESSION_STARTED", **envelope, **started})
        await runner.acked(1)
        stranger = await person(town, "stranger")
        async with rest(town, stranger) as http:
            for name in ("get_session", "read_session", "stop_session"):
                call = {"name": name, "arguments": {"sessionId": "s1"}}
                answer = (await post(http, "tools/call", call, **{"mcp-name": name})).json()["result"]
                assert answer["isError"] and "E_NOT_FOUND" in answer["content"][0]["text"]
            call = {"name": "list_sessions", "arguments": {}}
            listed = (await post(http, "tools/call", call, **{"mcp-name": "list_sessions"})).json()["result"]
            assert listed["structuredContent"] == {"sessions": [], "next": None}


async def test_the_door(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert (await http.get("/mcp")).status_code == 405
        assert (await post(http, "tools/list", origin="https://evil.example")).status_code == 403
        assert (await post(http, "tools/list", origin=town.url)).status_code == 200
        assert (await http.post("/mcp", content=b"{}")).status_code == 415
        for path in ("/mcp/x", "/mcpx"):
            assert (await http.post(path, json={})).status_code in (404, 405)
        async with rest(town) as nobody:
            refused = await post(nobody, "server/discover")
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        runner = json.loads((town.state / "runner.json").read_text())["token"]
        async with rest(town, runner) as machine:
            assert (await post(machine, "tools/list")).status_code == 403


@pytest.mark.parametrize(
    ("method", "headers", "status", "code"),
    [
        ("tools/list", {"mcp-method": "tools/call"}, 400, -32020),
        ("tools/list", {"mcp-protocol-version": "2025-11-25"}, 400, -32020),
        ("tools/call", {"mcp-name": "get_session"}, 400, -32020),
        ("tools/call", {}, 400, -32020),
        ("tools/call", {"mcp-name": f"=?base64?{base64.b64encode(b'list_sessions').decode()}?="}, 200, None),
        ("nothing/known", {}, 404, -32601),
        ("ping", {}, 404, -32601),
        ("server/discover", {}, 200, None),
    ],
)
async def test_headers_repeat_the_body(
    tmp_path: Path, method: str, headers: dict[str, str], status: int, code: int | None
) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        params = {"name": "list_sessions", "arguments": {}} if method == "tools/call" else {}
        answer = await post(http, method, params, **headers)
        found = answer.json()
        assert (answer.status_code, found.get("error", {}).get("code"), found["id"]) == (status, code, 7)
        if code is None:
            assert found["result"]["resultType"] == "complete"


async def test_what_is_no_request_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        version = {"mcp-protocol-version": "2025-11-25"}
        cases: list[tuple[Any, int, int]] = [
            (b"{", 400, -32700),
            ([], 400, -32600),
            ({"jsonrpc": "2.0", "id": 1}, 400, -32600),
            ({"jsonrpc": "2.0", "id": 1, "result": {}}, 400, -32600),
            ({"jsonrpc": "2.0", "id": None, "method": "ping"}, 400, -32600),
            ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "nothing"}}, 200, -32602),
            ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 5}}, 200, -32602),
        ]
        for body, status, code in cases:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"content-type": "application/json", **version}
            answer = await http.post("/mcp", content=content, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), body
        unknown = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        answer = await http.post("/mcp", json=unknown, headers={"mcp-protocol-version": "1900-01-01"})
        assert answer.json()["error"]["data"] == {
            "supported": [MODERN, "2025-11-25", "2025-06-18"],
            "requested": "1900-01-01",
        }
        call = {"name": "wait_for_session", "arguments": {"seconds": 5}}
        wrong = (await post(http, "tools/call", call, **{"mcp-name": "wait_for_session"})).json()["result"]
        assert wrong["isError"] and "sessionId" in wrong["content"][0]["text"]
