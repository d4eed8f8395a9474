"""permessage-deflate (RFC 7692) without context takeover: a broadcast is compressed once for all who negotiated it.

Without a context, a connection keeps no window of its own either: what it costs idle is nothing.
"""

import zlib

from townwatch.transports.websocket.frame_reader import FLUSH, FULL_WINDOW

NAME = "permessage-deflate"
NO_CONTEXT = f"{NAME}; server_no_context_takeover; client_no_context_takeover"


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
    deflater = zlib.compressobj(level, zlib.DEFLATED, FULL_WINDOW)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(FLUSH)]
