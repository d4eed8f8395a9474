"""The WebSocket close codes of this service: what each says, and whether the client should connect again."""

from enum import IntEnum
from typing import Self


class CloseCode(IntEnum):
    """A code of RFC 6455 as it is used here. It is an int: ``socket.close(CloseCode.TRY_AGAIN, "…; come back")``.

    `meaning` says it to a person. `retry`: whether the same client may get in when it connects again as it is; where it
    is False, the client has to change something first (its token, its frames), or asks in vain.
    """

    meaning: str
    retry: bool

    def __new__(cls, code: int, retry: bool, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.retry, member.meaning = retry, meaning
        return member

    NORMAL = 1000, False, "closed in order"
    GOING_AWAY = 1001, True, "the service stops, or the connection was silent for too long"
    PROTOCOL_ERROR = 1002, False, "a frame breaks the WebSocket protocol"
    NOT_TEXT = 1003, False, "a binary message where only text is understood"
    LOST = 1006, True, "the connection ended without a goodbye; never sent"
    BAD_DATA = 1007, False, "a message is no UTF-8, no JSON, or not inflated"
    POLICY = 1008, False, "the token is no good any more, or a rule of this endpoint was broken"
    TOO_BIG = 1009, False, "a message is longer than the limit"
    RESTARTING = 1012, True, "the part that serves this connection restarts"
    TRY_AGAIN = 1013, True, "no room for this connection now, or its reader is too slow"


SENDABLE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""Every code that a peer may send (RFC 6455, 7.4)."""
