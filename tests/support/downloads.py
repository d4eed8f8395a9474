"""Long sessions in the journal of a service that has not started yet, and readers of any speed."""

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from tests.support.cast import event
from townwatch.contracts.codec import encode
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import LogRecord

ETHERNET_SEGMENT = 1448
CHUNK_BYTES = 32_000


def write_session(state: Path, session_id: str, size: int) -> None:
    """A session whose terminal printed about `size` bytes, no two of its lines alike."""
    state.mkdir(parents=True, exist_ok=True)
    with EventLog.open(state / "journal.db", "normal", reserve_bytes=0) as log:
        records: list[LogRecord] = []
        for seq in range(1, max(1, size // CHUNK_BYTES) + 1):
            text = "".join(f"{seq}:{line} {'.' * 30}\r\n" for line in range(CHUNK_BYTES // 40))[:CHUNK_BYTES]
            body = {**event("TERMINAL_CHUNK", seq, data=text, stream="stdout"), "sessionId": session_id}
            records.append(LogRecord(session_id, seq, "demo", "TERMINAL_CHUNK", 1000.0 + seq, encode(body)))
        log.append(records)


@attrs.define
class Reading:
    """What a reader got: the head, the body as it was on the wire, and whether it ended as HTTP says."""

    head: bytes
    body: bytes
    whole: bool

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


def connect(
    url: str, ca: str | None = None, *, segment: int = ETHERNET_SEGMENT, buffer: int | None = None
) -> socket.socket:
    """A connection whose peer sends segments of this size; `buffer` bounds what the kernel holds for its reader."""
    place = urlsplit(url)
    sock = socket.socket()
    sock.settimeout(60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect((place.hostname, place.port))
    if ca is None:
        return sock
    return ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname="127.0.0.1")


def ask(sock: socket.socket, path: str, token: str | None) -> None:
    """Send a GET."""
    who = f"authorization: Bearer {token}\r\n" if token else ""
    sock.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{who}\r\n".encode())


def read(sock: socket.socket, pause: Callable[[int], float] = lambda _read: 0.0, piece: int = 65536) -> Reading:
    """Read one answer to its end; `pause(bytes so far)` is waited before each read."""
    data = bytearray()

    def more() -> bool:
        time.sleep(pause(len(data)))
        try:
            got = sock.recv(piece)
        except (ConnectionError, ssl.SSLError):
            return False
        data.extend(got)
        return bool(got)

    while b"\r\n\r\n" not in data:
        if not more():
            return Reading(bytes(data), b"", False)
    head, _, _ = bytes(data).partition(b"\r\n\r\n")
    begin = len(head) + 4
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in fields:
        end = begin + int(fields[b"content-length"])
        while len(data) < end and more():
            pass
        return Reading(head, bytes(data[begin:end]), len(data) >= end)
    parts: list[bytes] = []
    at = begin
    while True:
        while (line := data.find(b"\r\n", at)) < 0:
            if not more():
                return Reading(head, b"".join(parts), False)
        size = int(data[at:line], 16)
        at = line + 2
        while len(data) < at + size + 2:
            if not more():
                return Reading(head, b"".join(parts), False)
        if not size:
            return Reading(head, b"".join(parts), True)
        parts.append(bytes(data[at : at + size]))
        at += size + 2
