"""Socket.IO 5 packets (https://github.com/socketio/socket.io-protocol): text in, text out, strict, no I/O."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, cast

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, decode_json
from townwatch.transports.socketio.message import Message, Tag

MAX_ATTACHMENTS = 10
MAX_ACK_DIGITS = 15
RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})


class Kind(IntEnum):
    """The packet types."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


class PacketError(ValueError):
    """The peer breaks the protocol; its connection is closed."""


@attrs.frozen
class Packet:
    """One decoded packet. `attachments`: how many binary messages follow it before it is whole."""

    kind: Kind
    namespace: str
    data: Any = None
    ack: int | None = None
    attachments: int = 0


_encoder = msgspec.json.Encoder()


def encode(
    kind: Kind, namespace: str, data: Any = None, ack: int | None = None, tag: Tag | None = None
) -> tuple[Message, ...]:
    """The packet's messages: one, and one more for each binary attachment."""
    attachments: list[bytes] = []
    if kind in (Kind.EVENT, Kind.ACK) and _has_binary(data):
        data = _take_out(data, attachments)
        kind = Kind.BINARY_EVENT if kind is Kind.EVENT else Kind.BINARY_ACK
    count = f"{len(attachments)}-" if attachments else ""
    prefix = "" if namespace == "/" else f"{namespace},"
    number = "" if ack is None else str(ack)
    body = "" if data is None else _encoder.encode(data).decode()
    first = Message(f"4{int(kind)}{count}{prefix}{number}{body}", tag=tag)
    return (first, *(Message(binary=one, tag=tag) for one in attachments))


def encode_event(event: str, payload: bytes, offset: str | None, tag: Tag | None) -> Message:
    """An event of the main namespace whose arguments are JSON already, with commas between them."""
    last = f',"{offset}"' if offset is not None else ""
    first = "," if payload else ""
    return Message(f'42["{event}"{first}{payload.decode()}{last}]', tag=tag, numbered=offset is not None)


def _has_binary(value: Any) -> bool:
    match value:
        case bytes() | bytearray() | memoryview():
            return True
        case list() | tuple():
            return any(_has_binary(one) for one in cast(Sequence[Any], value))
        case dict():
            return any(_has_binary(one) for one in cast(dict[Any, Any], value).values())
        case _:
            return False


def _take_out(value: Any, attachments: list[bytes]) -> Any:
    match value:
        case bytes() | bytearray() | memoryview():
            attachments.append(bytes(cast(bytes, value)))
            return {"_placeholder": True, "num": len(attachments) - 1}
        case list() | tuple():
            return [_take_out(one, attachments) for one in cast(Sequence[Any], value)]
        case dict():
            return {k: _take_out(v, attachments) for k, v in cast(dict[Any, Any], value).items()}
        case _:
            return value


def decode(text: str) -> Packet:
    """Decode one packet, without its attachments. Raises `PacketError`."""
    if not text or text[0] not in "0123456":
        raise PacketError("unknown packet type")
    kind = Kind(int(text[0]))
    rest = text[1:]
    attachments = 0
    if kind in (Kind.BINARY_EVENT, Kind.BINARY_ACK):
        attachments, rest = _attachments(rest)
        kind = Kind.EVENT if kind is Kind.BINARY_EVENT else Kind.ACK
    namespace, rest = _namespace(rest)
    digits = len(rest) - len(rest.lstrip("0123456789"))
    if digits > MAX_ACK_DIGITS:
        raise PacketError("ack id too long")
    ack = int(rest[:digits]) if digits else None
    data = _data(kind, rest[digits:])
    return Packet(kind, namespace, data, ack, attachments)


def _attachments(text: str) -> tuple[int, str]:
    count, dash, rest = text.partition("-")
    if not dash or not (count.isascii() and count.isdigit()) or len(count) > 4 or int(count) > MAX_ATTACHMENTS:
        raise PacketError("illegal attachments")
    return int(count), rest


def _namespace(text: str) -> tuple[str, str]:
    if not text.startswith("/"):
        return "/", text
    name, _, rest = text.partition(",")
    return name.partition("?")[0], rest


def _data(kind: Kind, text: str) -> Any:
    """Decode and check the data of a packet. Raises `PacketError`."""
    if not text:
        if kind in (Kind.EVENT, Kind.ACK):
            raise PacketError("invalid payload")
        return None
    try:
        data: Any = decode_json(text, max_bytes=1 << 30)  # its size was checked when it came in
    except ContractError:
        raise PacketError("invalid payload") from None
    check(kind, data)
    return data


def check(kind: Kind, data: Any) -> None:
    """Check that a packet of this kind may carry this data. Raises `PacketError`."""
    match kind, data:
        case Kind.CONNECT, dict():
            pass
        case Kind.CONNECT_ERROR, dict() | str():
            pass
        case Kind.EVENT, [str() as name, *_] if name not in RESERVED:
            pass
        case Kind.EVENT, [int() | float(), *_] if not isinstance(cast(list[Any], data)[0], bool):
            pass
        case Kind.ACK, list():
            pass
        case _:
            raise PacketError("invalid payload")


def put_in(value: Any, attachments: list[bytes]) -> Any:
    """The data with its placeholders replaced by the attachments. Raises `PacketError`."""
    match value:
        case {"_placeholder": True, "num": number}:
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(attachments):
                raise PacketError("illegal attachments")
            return attachments[number]
        case dict():
            return {k: put_in(v, attachments) for k, v in cast(dict[Any, Any], value).items()}
        case list():
            return [put_in(one, attachments) for one in cast(list[Any], value)]
        case _:
            return value
