"""A person's client: a Socket.IO connection over a WebSocket, as thin as can be."""

import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from bench.durable.town import Town


class Person:
    """Connected and signed in. Reads nothing by itself."""

    def __init__(self, town: Town) -> None:
        place = urlsplit(town.url)
        assert place.hostname is not None
        self._socket = socket.create_connection((place.hostname, place.port or 80), 30)
        self._socket.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b'0{"sid"' not in self.receive():
            pass
        self._say("40" + json.dumps({"token": town.token()}))

    def ask(self, event: str, payload: Any) -> None:
        """Emit it, to be acknowledged as number 1."""
        self._say("421" + json.dumps([event, payload]))

    def receive(self) -> bytes:
        """What is there, frames and all. Raises `ConnectionError` at the end."""
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the service closed the connection")
        return data

    def watch(self) -> None:
        """Join the village and read what comes, in a thread, until `close`."""
        self.ask("join_village", {"villageId": "demo"})
        threading.Thread(target=self._drain, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _drain(self) -> None:
        try:
            while True:
                if self.receive().endswith(b"\x81\x012"):  # a ping, when it comes alone
                    self._say("3")
        except OSError:
            return

    def _say(self, text: str) -> None:
        """A text frame; the mask is zero."""
        data = text.encode()
        assert len(data) < 1 << 16
        head = bytes((0x81, 0x80 | len(data))) if len(data) < 126 else b"\x81\xfe" + len(data).to_bytes(2, "big")
        self._socket.sendall(head + b"\0\0\0\0" + data)
