"""WebSocket frames that go out (RFC 6455 section 5.2): built once, shared by every connection that gets them."""

import base64
import hashlib
import struct

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def build_frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """One whole, unmasked frame. `compressed`: the payload is deflated (RSV1, RFC 7692)."""
    first = 0x80 | opcode | (0x40 if compressed else 0)
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """A close frame; without a code, an empty one."""
    if code is None:
        return build_frame(CLOSE, b"")
    return build_frame(CLOSE, struct.pack("!H", code) + reason.encode()[:123])


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
