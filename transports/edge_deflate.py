"""permessage-deflate (RFC 7692) without context takeover: a broadcast is compressed once for all who negotiated it.

Without a context, a connection keeps no window of its own either: what it costs idle is nothing.
"""

import zlib
from typing import Any

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

NAME = "permessage-deflate"
NO_CONTEXT = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
_TAIL = b"\x00\x00\xff\xff"
_FULL_WINDOW = -15


def negotiate(offers: str) -> str | None:
    """The answer to a Sec-WebSocket-Extensions header; None where no offer in it is one that we take.

    We take no offer that asks for a smaller window of ours: what all share is made with the full one.

    >>> negotiate("permessage-deflate; client_max_window_bits")
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover'
    >>> negotiate("permessage-deflate; server_max_window_bits=9") is None
    True
    """
    return next((answer for offer in offers.split(",") if (answer := _accept(offer)) is not None), None)


def _accept(offer: str) -> str | None:
    name, *parts = (part.strip() for part in offer.split(";"))
    if name.lower() != NAME:
        return None
    seen = set[str]()
    answer = NO_CONTEXT
    for part in parts:
        key, equals, value = (piece.strip().strip('"') for piece in part.partition("="))
        match key:
            case _ if key in seen:
                return None
            case "server_no_context_takeover" | "client_no_context_takeover" if not equals:
                pass
            case "client_max_window_bits" if not equals or _is_window(value):
                pass
            case "server_max_window_bits" if value == "15":
                answer += "; server_max_window_bits=15"
            case _:
                return None
        seen.add(key)
    return answer


def _is_window(value: str) -> bool:
    return value in ("8", "9", "10", "11", "12", "13", "14", "15")


def deflate(payload: bytes, level: int = 1) -> bytes:
    """A payload that every connection without context takeover can read."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, _FULL_WINDOW)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


class Inflate(Extension):
    """The reading half, for wsproto. A message that would be larger than `limit` bytes closes with 1009, before it is.

    wsproto's own inflates whatever it gets and is asked about the size afterwards.
    """

    name = NAME

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = 0
        self._inflater: Any = None
        self._packed = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False  # a client's; ours is `negotiate`

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if rsv.rsv1 and (opcode.iscontrol() or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        if not opcode.iscontrol():
            if opcode is not Opcode.CONTINUATION:
                self._inflater = zlib.decompressobj(_FULL_WINDOW) if rsv.rsv1 else None
                self._left = self._limit
            self._packed = self._inflater is not None
        else:
            self._packed = False
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        return self._inflate(bytes(data)) if self._packed else data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if not self._packed or not fin:
            return None
        last = self._inflate(_TAIL)
        self._inflater = None
        return last

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        try:
            found = self._inflater.decompress(data, self._left + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._left -= len(found)
        return CloseReason.MESSAGE_TOO_BIG if self._left < 0 else found
