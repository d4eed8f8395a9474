"""permessage-deflate (RFC 7692) without context takeover: a broadcast is compressed once for all who negotiated it.

Without a context, a connection keeps no window of its own either: what it costs idle is nothing.
"""

import zlib

from townwatch.transports.websocket.frame_reader import FLUSH

NAME = "permessage-deflate"
NO_CONTEXT = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
OUR_WINDOW = "server_max_window_bits"
LEAST_WINDOW, WIDEST_WINDOW = 9, 15
"""The smallest and the largest window that zlib compresses with, in bits."""


def negotiate(offers: str) -> str | None:
    """The answer to a Sec-WebSocket-Extensions header; None where no offer in it is one that we take.

    >>> negotiate("permessage-deflate; client_max_window_bits")
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover'
    >>> negotiate("permessage-deflate; server_max_window_bits=9")
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9'
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
            case "server_max_window_bits" if _is_window(value):
                answer += f"; {OUR_WINDOW}={value}"
            case _:
                return None
        seen.add(key)
    return answer


def _is_window(value: str) -> bool:
    return value in ("8", "9", "10", "11", "12", "13", "14", "15")


def window_of(answer: str | None) -> int:
    """Return the window, in bits, that our messages may be compressed with after this answer of `negotiate`; 0: none.

    >>> window_of(None), window_of(NO_CONTEXT), window_of(f"{NO_CONTEXT}; server_max_window_bits=9")
    (0, 15, 9)
    """
    if answer is None:
        return 0
    _, asked, bits = answer.partition(f"{OUR_WINDOW}=")
    return int(bits) if asked else WIDEST_WINDOW


def deflate(payload: bytes, level: int = 1, window: int = WIDEST_WINDOW) -> bytes:
    """A payload that every connection without context takeover can read whose window is not smaller (bits)."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -window)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(FLUSH)]
