"""WebSocket frames that go out (RFC 6455 section 5.2): built once, shared by every connection that gets them."""

import base64
import hashlib
import struct

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
REASON_BYTES = 123
"""Room for a reason in a close frame."""


def build_frame(opcode: int, payload: bytes, *, compressed: bool = False, mask: bytes = b"") -> bytes:
    """Build a frame. `compressed`: the payload is deflated (RSV1, RFC 7692). `mask`: four bytes, from a client."""
    first = 0x80 | opcode | (0x40 if compressed else 0)
    length = len(payload)
    masked = 0x80 if mask else 0
    if mask:
        payload = mask + xor(payload, mask)
    if length < 126:
        return bytes((first, masked | length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, masked | 126, length) + payload
    return struct.pack("!BBQ", first, masked | 127, length) + payload


def close_payload(code: int | None = None, reason: str = "") -> bytes:
    """Build a close frame's payload: the code and as much of the reason as fits, cut between characters."""
    if code is None:
        return b""
    return struct.pack("!H", code) + reason.encode()[:REASON_BYTES].decode(errors="ignore").encode()


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """A close frame; without a code, an empty one."""
    return build_frame(CLOSE, close_payload(code, reason))


def xor(data: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Mask or unmask a payload: all at once, as one long number."""
    size = len(data)
    if not size or not any(mask):
        return bytes(data)
    long = (bytes(mask) * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(long, "little")).to_bytes(size, "little")


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
