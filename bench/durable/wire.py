"""A runner's connection, cheap enough to drown the service: blocking for the handshake, then a non-blocking socket.

Speaks ``townwatch.runner.v1`` with frames written by hand, so that what is measured is the service.
"""

import base64
import os
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

_ACK = re.compile(rb'"sessionId":"([^"]+)","seq":(\d+)(?:,"window":(\d+))?')


class Refused(Exception):
    """The service did not take the connection, or ended it."""


class RunnerSocket:
    """One WebSocket to /runner. `window`: events in flight, as the service's welcome says."""

    def __init__(self, url: str, token: str, runner_id: str) -> None:
        place = urlsplit(url)
        assert place.hostname is not None
        self._socket = socket.create_connection((place.hostname, place.port or 80), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._mask = os.urandom(4)
        self._in, self._out = bytearray(), bytearray()
        self._shake_hands(place.netloc, place.path, token)
        hello: dict[str, object] = {"type": "hello", "runnerId": runner_id, "name": runner_id, "version": "bench"}
        self.say(msgspec.json.encode(hello))
        self.window = self._welcome()
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    @property
    def congested(self) -> bool:
        """Whether something waits for the kernel's buffer."""
        return bool(self._out)

    # --- out ------------------------------------------------------------------------------------------

    def say(self, text: bytes) -> None:
        """One masked text frame; what does not go at once goes with `flush`."""
        size = len(text)
        if size < 126:
            head = bytes((0x81, 0x80 | size))
        elif size < 1 << 16:
            head = b"\x81\xfe" + size.to_bytes(2, "big")
        else:
            head = b"\x81\xff" + size.to_bytes(8, "big")
        mask = (self._mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(text, "little") ^ int.from_bytes(mask, "little")
        self._out += head + self._mask + masked.to_bytes(size, "little")
        self.flush()

    def flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass

    # --- in -------------------------------------------------------------------------------------------

    def acks(self) -> Iterator[tuple[bytes, int]]:
        """(session, seq) of the acknowledgements that are there. Raises `Refused` for anything that went wrong."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        if not data:
            raise Refused("the service closed the connection")
        self._in += data
        for text in self._texts():
            if not text.startswith(b'{"type":"ack"'):
                raise Refused(text.decode())
            found = _ACK.search(text)
            assert found is not None
            if found[3] is not None:
                self.window = int(found[3])
            yield found[1], int(found[2])

    def _texts(self) -> Iterator[bytes]:
        """The text frames that are complete; pings are answered."""
        while len(self._in) >= 2:
            size, at = self._in[1] & 0x7F, 2
            if size >= 126:
                at = 4 if size == 126 else 10
                size = int.from_bytes(self._in[2:at], "big")
            if len(self._in) < at + size:
                return
            opcode, text = self._in[0] & 0x0F, bytes(self._in[at : at + size])
            del self._in[: at + size]
            if opcode == 0x1:
                yield text
            elif opcode == 0x8:
                raise Refused(f"closed: {text[2:].decode()}")
            elif opcode == 0x9:
                self._out += b"\x8a\x80\0\0\0\0" if not text else bytes((0x8A, 0x80 | len(text))) + b"\0\0\0\0" + text
                self.flush()

    def _shake_hands(self, host: str, path: str, token: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._in:
            self._receive()
        head, _, self._in = self._in.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Refused(head.decode())

    def _welcome(self) -> int:
        while True:
            for text in self._texts():
                message = msgspec.json.decode(text)
                if message["type"] != "welcome":
                    raise Refused(text.decode())
                return message["window"]
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise Refused("the service closed the connection")
        self._in += data
