"""WebSocket frames that come in (RFC 6455 section 5, RFC 7692): bytes to whole messages, without I/O.

Between two messages a reader holds nothing: thousands of connections are idle, and the state of a parser that is made
for both sides, all opcodes' events and any extension was a tenth of what each of them cost.
"""

import codecs
import struct
import zlib
from typing import Any, Literal

import attrs

from townwatch.transports.websocket.close_codes import SENDABLE
from townwatch.transports.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, xor
from townwatch.transports.websocket.pace import MessageLimits

CONTINUATION = 0
PIECE = -1
"""A fragment of a message that is not whole yet."""
FLUSH = b"\x00\x00\xff\xff"
"""The end of each deflated message, which is not sent."""
FULL_WINDOW = -15
_UTF8 = codecs.getincrementaldecoder("utf-8")


class FrameError(Exception):
    """The peer broke the protocol, or a limit: close with this code."""

    def __init__(self, code: Literal[1002, 1007, 1008, 1009], reason: str) -> None:
        super().__init__(reason)
        self.code = code


Found = tuple[int, Any]
"""Opcode, and what it brought: text as str or as checked UTF-8, bytes of BINARY, PING and PONG, (code, reason) | None
of CLOSE, None of PIECE.
"""


@attrs.define(eq=False)
class _Message:
    """A message that has begun. `checks`: text, as far as it has come."""

    opcode: int
    inflater: Any
    checks: Any
    parts: list[bytes] = attrs.field(factory=list[bytes])
    size: int = 0
    empty: int = 0


class FrameReader:
    """One direction of one connection. `feed` what came, then `take` until it returns None."""

    __slots__ = ("_at", "_buffer", "_client", "_decodes", "_deflated", "_limits", "_message")

    def __init__(
        self, limits: MessageLimits, *, deflated: bool = False, decodes: bool = True, client: bool = False
    ) -> None:
        """deflated: permessage-deflate is agreed on. decodes: text is given as str, else as bytes of checked UTF-8.
        client: this side is the client, and the frames that come are not masked.
        """
        self._limits = limits
        self._deflated = deflated
        self._decodes = decodes
        self._client = client
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._message: _Message | None = None

    def limit(self, limits: MessageLimits) -> None:
        """Change the limits of what comes next."""
        self._limits = limits

    def feed(self, data: bytes) -> None:
        if not self._buffer:
            self._buffer = data
            return
        if isinstance(self._buffer, bytes):  # a frame in pieces: appending must not copy what is there each time
            self._buffer = bytearray(self._buffer)
        del self._buffer[: self._at]
        self._buffer += data
        self._at = 0

    def take(self) -> Found | None:
        """The next frame's message; None when more bytes are needed. Raises `FrameError`."""
        head = self._head()
        if head is None:
            return None
        first, start, length = head
        body = start if self._client else start + 4
        if len(self._buffer) < body + length:
            return None
        data = self._buffer[body : body + length]
        data = bytes(data) if self._client else xor(data, self._buffer[start:body])
        self._at = body + length
        if self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
        if first & 0x08:
            return _control(first & 0x0F, data)
        return self._data(first, data)

    def _head(self) -> tuple[int, int, int] | None:
        """(first byte, where the mask or the payload begins, length of the payload), checked; None when it is not all
        there.
        """
        buffer, at = self._buffer, self._at
        there = len(buffer) - at
        if there < 2:
            return None
        first, length = buffer[at], buffer[at + 1] & 0x7F
        self._check(first, masked=bool(buffer[at + 1] & 0x80), short=length < 126)
        if length < 126:
            start = at + 2
        elif length == 126:
            if there < 4:
                return None
            (length,), start = struct.unpack_from("!H", buffer, at + 2), at + 4
            _demand(length > 125, "a length of more bytes than it needs")
        else:
            if there < 10:
                return None
            (length,), start = struct.unpack_from("!Q", buffer, at + 2), at + 10
            _demand(0xFFFF < length < 1 << 63, "a length of more bytes than it needs, or than there can be")
        known = self._message.size if self._message is not None and not first & 0x08 else 0
        if known + length > self._limits.message_bytes:
            raise self._too_big()
        return first, start, length

    def _check(self, first: int, *, masked: bool, short: bool) -> None:
        opcode, control = first & 0x0F, bool(first & 0x08)
        _demand(masked != self._client, f"frames of a {'server are not' if masked else 'client are'} masked")
        _demand(opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), "an opcode that does not exist")
        _demand(not first & 0x30, "reserved bits")
        _demand(not first & 0x40 or (self._deflated and opcode in (TEXT, BINARY)), "a reserved bit")
        if control:
            _demand(short and bool(first & 0x80), "control frames are short and whole")
        else:
            begun = self._message is not None
            _demand((opcode == CONTINUATION) == begun, "a continuation of nothing, or a message within another")

    def _data(self, first: int, data: bytes) -> Found:
        """A frame of a message: the message, if that was the last."""
        message = self._message
        if message is None:
            if first & 0xC0 == 0x80:  # whole, and as it is: nearly all there are
                return self._whole(first & 0x0F, data)
            inflater = zlib.decompressobj(FULL_WINDOW) if first & 0x40 else None
            opcode = first & 0x0F
            message = self._message = _Message(opcode, inflater, _UTF8() if opcode == TEXT else None)
        message.empty += not data
        if message.empty > self._limits.empty_fragments:
            raise FrameError(1008, f"more than {self._limits.empty_fragments} empty fragments in a message")
        self._add(message, data)
        if not first & 0x80:
            return PIECE, None
        if message.inflater is not None:
            self._add(message, FLUSH)
        self._message = None
        return self._whole(message.opcode, b"".join(message.parts))

    def _add(self, message: _Message, data: bytes) -> None:
        """Add one more piece. What would be too large is refused before it is inflated, what is no text when it is
        seen.
        """
        limits = self._limits
        if message.inflater is not None:
            try:
                data = message.inflater.decompress(data, limits.message_bytes - message.size + 1)
            except zlib.error:
                raise FrameError(1007, "this is not deflated") from None
        message.size += len(data)
        message.parts.append(data)
        if message.size > limits.message_bytes:
            raise self._too_big()
        if len(message.parts) > limits.fragments:
            raise FrameError(1008, f"more than {limits.fragments} fragments in a message")
        if message.checks is not None:
            try:
                message.checks.decode(data)
            except UnicodeDecodeError:
                raise _no_utf8() from None

    def _too_big(self) -> FrameError:
        return FrameError(1009, f"a message may have {self._limits.message_bytes} bytes")

    def _whole(self, opcode: int, data: bytes) -> Found:
        if opcode == BINARY:
            return BINARY, data
        if self._decodes:
            return TEXT, _text(data)
        if not data.isascii():
            _text(data)
        return TEXT, data


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FrameError(1002, otherwise)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _no_utf8() from None


def _no_utf8() -> FrameError:
    return FrameError(1007, "text is UTF-8")


def _control(opcode: int, data: bytes) -> Found:
    if opcode != CLOSE or not data:
        return opcode, data if opcode != CLOSE else None
    _demand(len(data) > 1, "half a code")
    code = int.from_bytes(data[:2], "big")
    _demand(code in SENDABLE, "a code that may not be sent")
    return CLOSE, (code, _text(data[2:]))
