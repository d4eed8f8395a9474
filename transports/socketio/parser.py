"""Conversion of Socket.IO packets to messages and back: the default JSON parser, and socket.io-msgpack-parser's form.

msgpack: each packet is one binary message, the map {type, data, nsp, id?} (socket.io-msgpack-parser, protocol 5).
"""

from typing import Any, Protocol, cast

import attrs
import msgspec

from townwatch.transports.socketio import packet as json_packet
from townwatch.transports.socketio.message import Message, Tag
from townwatch.transports.socketio.packet import Kind, Packet, PacketError

UNDEFINED = (0, b"\0")
"""JavaScript's undefined, as notepack writes it: an extension."""


@attrs.frozen
class Partial:
    """A packet that still misses attachments."""

    packet: Packet
    attachments: list[bytes]


class Parser(Protocol):
    """Shared by all clients of a server; what is between two messages of one client is its `Partial`."""

    def encode(
        self, kind: Kind, namespace: str, data: Any = None, ack: int | None = None, tag: Tag | None = None
    ) -> tuple[Message, ...]:
        """The packet's messages, in order."""
        ...

    def encode_event(self, event: str, payload: bytes, offset: str | None, tag: Tag | None) -> Message:
        """An event of the main namespace whose arguments are JSON already, with commas between them."""
        ...

    def decode(self, data: str | bytes, partial: Partial | None) -> Packet | Partial:
        """The packet that is whole with this message, or what there is of it. Raises `PacketError`."""
        ...


class JsonParser:
    """Text, with binary attachments behind it."""

    encode = staticmethod(json_packet.encode)
    encode_event = staticmethod(json_packet.encode_event)

    def decode(self, data: str | bytes, partial: Partial | None) -> Packet | Partial:
        if isinstance(data, str):
            if partial is not None:
                raise PacketError("text where an attachment was expected")
            packet = json_packet.decode(data)
            return Partial(packet, []) if packet.attachments else packet
        if partial is None:
            raise PacketError("an attachment that belongs to no packet")
        packet, attachments = partial.packet, partial.attachments
        attachments.append(data)
        if len(attachments) < packet.attachments:
            return partial
        whole = json_packet.put_in(packet.data, attachments)
        return Packet(packet.kind, packet.namespace, whole, packet.ack)


class MsgpackParser:
    """Binary throughout. An ArrayBuffer of the peer becomes bytes; so does a Date, which notepack does not tell apart:
    send it as a number or as text.
    """

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(ext_hook=_extension)

    def encode(
        self, kind: Kind, namespace: str, data: Any = None, ack: int | None = None, tag: Tag | None = None
    ) -> tuple[Message, ...]:
        packet: dict[str, Any] = {"type": int(kind), "nsp": namespace}
        if data is not None:
            packet["data"] = data
        if ack is not None:
            packet["id"] = ack
        return (Message(binary=self._encoder.encode(packet), tag=tag),)

    def encode_event(self, event: str, payload: bytes, offset: str | None, tag: Tag | None) -> Message:
        arguments = [event, *msgspec.json.decode(b"[%b]" % payload), *([] if offset is None else [offset])]
        (message,) = self.encode(Kind.EVENT, "/", arguments, tag=tag)
        message.numbered = offset is not None
        return message

    def decode(self, data: str | bytes, partial: Partial | None) -> Packet | Partial:
        if isinstance(data, str):
            raise PacketError("text where msgpack was expected")
        try:
            packet: Any = self._decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise PacketError("no msgpack") from None
        return _packet(packet)


def _extension(code: int, data: memoryview) -> Any:
    if code != 0:
        raise ValueError("unknown extension")
    found = bytes(data)
    return None if (code, found) == UNDEFINED else found


def _packet(found: Any) -> Packet:
    """The map as a packet, if it is one."""
    if not isinstance(found, dict):
        raise PacketError("a packet is a map")
    fields = cast("dict[Any, Any]", found)
    kind, namespace, data, ack = (fields.get(name) for name in ("type", "nsp", "data", "id"))
    if not isinstance(kind, int) or isinstance(kind, bool) or not 0 <= kind <= Kind.CONNECT_ERROR:
        raise PacketError("unknown packet type")
    if not isinstance(namespace, str):
        raise PacketError("invalid namespace")
    if ack is not None and (not isinstance(ack, int) or isinstance(ack, bool)):
        raise PacketError("invalid packet id")
    if data is not None or kind in (Kind.EVENT, Kind.ACK, Kind.CONNECT_ERROR):
        json_packet.check(Kind(kind), data)
    return Packet(Kind(kind), namespace.partition("?")[0], data, ack)


PARSERS: dict[str, type[JsonParser] | type[MsgpackParser]] = {"json": JsonParser, "msgpack": MsgpackParser}
