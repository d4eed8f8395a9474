"""A CLI of a later version: it says what a real one was recorded to say, then one message in a shape that nobody knows,
then what was recorded again.

Run under the name of the CLI, as the adapter starts it; the line ``odd`` in its terminal brings the odd message. What
the terminal gets is shown as ``heard …``.
"""

import base64
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TRACES = Path(__file__).parents[1] / "traces"
ODD = Path("odd")
LOOK_SECONDS = 0.05


def trace(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text().splitlines()]


def screen() -> None:
    print("I-am-the-screen", flush=True)
    for line in sys.stdin:
        if line.strip() == "odd":
            ODD.touch()
        print("heard", line.strip(), flush=True)


def wait_for_odd() -> None:
    while not ODD.exists():
        time.sleep(LOOK_SECONDS)


# --- codex: an app-server on a unix socket ----------------------------------------------------------------------------


def codex_says() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What comes behind the answer to thread/resume: up to the question, and behind it, its first message odd."""
    said = [one["m"] for one in trace("codex-0.171.0-app-server-late-client") if one["dir"] == "out"]
    at = next(number for number, one in enumerate(said) if "requestApproval" in one.get("method", ""))
    begin = next(number for number, one in enumerate(said) if "thread" in (one.get("result") or {}))
    rest = [one for one in said[at + 1 :] if "method" in one]
    odd = next(one for one in rest if one["method"] == "item/completed")
    return said[begin + 1 : at + 1], [{**odd, "params": {**odd["params"], "item": "another shape"}}, *rest]


def codex_server(path: str) -> None:
    """Serve one client after another. Not with a library: its import takes longer than all the rest."""
    recorded = [one["m"] for one in trace("codex-0.171.0-app-server-late-client")]
    answers: dict[int, Any] = {one["id"]: one["result"] for one in recorded if "result" in one}
    with tempfile.TemporaryDirectory() as short:  # as the real one: a unix socket's path has 108 bytes at most
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{short}/s")
        listener.listen()
        os.symlink(f"{short}/s", path)
        while True:
            client = WebSocket(listener.accept()[0])
            while (text := client.receive()) is not None:
                message = json.loads(text)
                number = {"initialize": 1, "thread/loaded/list": 2, "thread/resume": 3}.get(message.get("method"))
                if number is not None:
                    client.send({"id": message["id"], "result": answers[number]})
                if number == 3:
                    threading.Thread(target=codex_turn, args=[client], daemon=True).start()


def codex_turn(client: "WebSocket") -> None:
    before, after = codex_says()
    for one in before:
        client.send(one)
    wait_for_odd()
    for one in after:
        client.send(one)


class WebSocket:
    """The server's end of one, as far as small messages in one frame each go."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb")
        self._turn = threading.Lock()
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._file.readline()
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines() if b": " in line)
        key = next(line for line in head.splitlines() if line.lower().startswith(b"sec-websocket-key")).split(b": ")[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        assert fields[b"upgrade"] == b"websocket"
        answer = b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
        self._file.write(answer + b"\r\n\r\n")
        self._file.flush()

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        size = len(data)
        if size < 126:
            head = bytes([size])
        else:
            head = struct.pack("!BH", 126, size) if size < 65536 else struct.pack("!BQ", 127, size)
        with self._turn, suppress(OSError):
            self._file.write(b"\x81" + head + data)
            self._file.flush()

    def receive(self) -> bytes | None:
        """The next text; None at the end."""
        try:
            kind, length = self._file.read(2)
            length &= 127
            length = length if length < 126 else struct.unpack("!H", self._file.read(2))[0]
            mask, data = self._file.read(4), self._file.read(length)
        except (OSError, ValueError, struct.error):
            return None
        return None if kind & 15 == 8 else bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


# --- opencode: HTTP with a stream of events ---------------------------------------------------------------------------


def opencode_says() -> Iterator[dict[str, Any]]:
    said = trace("opencode-1.18.33-tui-sse")
    first = next(number for number, one in enumerate(said) if one["type"] == "permission.asked")
    yield from said[: first + 1]
    wait_for_odd()
    yield {**said[first + 1], "properties": "another shape"}
    yield from said[first + 1 :]


class OpenCode(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/event":
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for one in opencode_says():
                self.wfile.write(f"data: {json.dumps(one)}\n\n".encode())
                self.wfile.flush()
            return
        found: Any = {"/global/health": {"healthy": True, "version": "2.0.0"}, "/session/status": {}}.get(self.path, [])
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is the screen."""


# --- gemini: hooks that it runs ---------------------------------------------------------------------------------------


def gemini_says() -> Iterator[dict[str, Any]]:
    said = [one["stdin"] for one in trace("gemini-0.61.0-hooks-tui")]
    first = next(number for number, one in enumerate(said) if one.get("notification_type") == "ToolPermission")
    yield from said[: first + 1]
    wait_for_odd()
    yield {**said[first], "hook_event_name": "BeforeTool", "tool_name": {"another": "shape"}}
    yield from said[first + 1 :]


def gemini_hooks() -> None:
    defaults = json.loads(Path(os.environ["GEMINI_CLI_SYSTEM_DEFAULTS_PATH"]).read_text())
    for said in gemini_says():
        for entry in defaults["hooks"].get(said["hook_event_name"], []):
            for hook in entry["hooks"]:
                subprocess.run(hook["command"], shell=True, input=json.dumps(said).encode(), check=False)


def main(name: str, words: list[str]) -> None:
    """Play the CLI of this name."""
    if name == "codex" and words[:1] == ["app-server"]:
        return codex_server(words[-1].removeprefix("unix://"))
    if name == "opencode":
        server = ThreadingHTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), OpenCode)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if name == "gemini":
        threading.Thread(target=gemini_hooks, daemon=True).start()
    return screen()
