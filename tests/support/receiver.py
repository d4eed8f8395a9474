"""A receiver of webhooks on a real socket: it answers, fails, hangs or lies, as the test says for each path."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import trio


@attrs.frozen
class Heard:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def signed_with(self, secret: str) -> bool:
        """Check the signature as the specification says it, apart from our own code."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = b".".join([self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 60
        return fresh and f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


@attrs.define(eq=False)
class Receiver:
    """`modes`: path → ok, fail, gone, hang, flood, trickle, redirect; ok where it has none."""

    url: str
    modes: dict[str, str] = attrs.field(factory=dict)
    heard: list[Heard] = attrs.field(factory=list)
    came: threading.Condition = attrs.field(factory=threading.Condition)
    over: threading.Event = attrs.field(factory=threading.Event)

    def wait(self, wanted: Callable[[list[Heard]], bool], seconds: float = 60) -> list[Heard]:
        """Return what was heard, when it is as wanted. Blocks."""
        with self.came:
            assert self.came.wait_for(lambda: wanted(self.heard), seconds), [(one.path, one.id) for one in self.heard]
            return list(self.heard)

    async def until(self, wanted: Callable[[list[Heard]], bool]) -> list[Heard]:
        return await trio.to_thread.run_sync(self.wait, wanted)

    def at(self, path: str) -> list[Heard]:
        return [one for one in self.heard if one.path == path]


@contextmanager
def open_receiver() -> Generator[Receiver]:
    """Listens on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            with receiver.came:
                receiver.heard.append(Heard(self.path, names, body))
                receiver.came.notify_all()
            self._answer(receiver.modes.get(self.path, "ok"))

        def _answer(self, mode: str) -> None:
            status = {"fail": 500, "gone": 410, "redirect": 307}.get(mode, 200)
            if mode == "hang":
                receiver.over.wait()
                return
            self.send_response(status)
            if mode == "redirect":
                self.send_header("location", f"{receiver.url}/elsewhere")
            if mode in ("flood", "trickle"):  # no length: it says it ends when the connection does, and never ends
                self.end_headers()
                self._never_end(mode)
                return
            self.send_header("content-length", "0")
            self.end_headers()

        def _never_end(self, mode: str) -> None:
            try:
                while not receiver.over.wait(0.02 if mode == "trickle" else 0):
                    self.wfile.write(b"x" if mode == "trickle" else b"x" * 65536)
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
