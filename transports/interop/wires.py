"""The wires of official clusters, without I/O: messages in, emits out, and back.

    key      @socket.io/redis-adapter, @socket.io/redis-emitter   channel KEY#NAMESPACE# or KEY#NAMESPACE#ROOM#,
             MessagePack: [uid, packet, {rooms, except, flags}]
    stream   @socket.io/redis-streams-adapter                     an entry of a stream: uid, nsp, type, data;
             data is JSON, or MessagePack in Base64 where it has bytes: {packet, opts: {rooms, except, flags}}
    python   python-socketio's RedisManager                       one channel, JSON: {method: "emit", event, data, …}

Servers tell each other more than emits: that they are there, who is connected, that clients shall join or leave rooms
or go. Only emits are read; what else would do something to clients is told apart as an order, to be counted.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, decode_json

Wire = Literal["key", "stream", "python"]
EVENT = 2
"""Type of a packet that is an event."""
BROADCAST = 3
"""Type of an entry of a stream that is an emit."""
ORDERS = frozenset({4, 5, 6})
"""Types of entries that let clients join, leave, or disconnect."""
PYTHON_ORDERS = frozenset({"disconnect", "enter_room", "leave_room", "close_room"})
STREAM_LENGTH = 10_000
"""Entries that a stream is trimmed to, about, when an event of ours is added; the streams adapter's own default."""
_UNDEFINED = (0, b"\0")


class Unreadable(Exception):
    """A message that is none of its wire's. The text says why."""


class ForeignOrder(Exception):
    """A message that would do something to clients other than tell them an event."""


@attrs.frozen(kw_only=True)
class ForeignEmit:
    """An event that another server or emitter tells its clients. `rooms`: of its clients; empty: all of them.
    `wants_answer`: it waits for acknowledgements.
    """

    wire: Wire
    uid: str
    namespace: str
    event: str
    arguments: Sequence[Any]
    rooms: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    wants_answer: bool = False


def read_key_message(data: bytes) -> ForeignEmit | None:
    """Read a message of the redis adapter's channel. Raises `Unreadable`."""
    found = _msgpack(data)
    match found:
        case [str() as uid, {"data": [str() as event, *arguments]} as packet, options] if isinstance(options, dict):
            return _emit("key", uid, packet, event, arguments, cast("dict[str, Any]", options))
        case [str(), {"type": int() as kind}, *_] if kind != EVENT:
            return None
        case _:
            raise Unreadable("no packet of the redis adapter")


def read_stream_entry(fields: Sequence[Any]) -> ForeignEmit | None:
    """Read an entry of the streams adapter; None for what servers tell each other. Raises `Unreadable` and
    `ForeignOrder`.
    """
    named = {_text(name): value for name, value in zip(fields[::2], fields[1::2], strict=False)}
    kind = _text(named.get("type", b""))
    if kind.isdigit() and int(kind) in ORDERS:
        raise ForeignOrder
    if kind != str(BROADCAST):
        return None
    data = named.get("data")
    if not isinstance(data, bytes):
        raise Unreadable("an entry without data")
    found = _json(data) if data[:1] == b"{" else _msgpack(_base64(data))
    match found:
        case {"packet": {"data": [str() as event, *arguments]} as packet, "opts": options} if isinstance(options, dict):
            named_packet = {"nsp": _text(named.get("nsp", b"/")), **cast("dict[str, Any]", packet)}
            made = _emit(
                "stream", _text(named.get("uid", b"")), named_packet, event, arguments, cast("dict[str, Any]", options)
            )
            return attrs.evolve(made, wants_answer="requestId" in cast("dict[str, Any]", found))
        case _:
            raise Unreadable("no broadcast of the streams adapter")


def read_python_message(data: bytes) -> ForeignEmit | None:
    """Read a message of python-socketio's manager; None for answers between servers. Raises `Unreadable` and
    `ForeignOrder`.
    """
    found: Any = _json(data)
    match found:
        case {"method": "emit", "event": str() as event, "data": arguments}:
            if found.get("binary"):
                raise Unreadable("bytes")
            rooms, skipped = found.get("room"), found.get("skip_sid")
            return ForeignEmit(
                wire="python",
                uid=str(found.get("host_id", ""))[:64],
                namespace=found.get("namespace") or "/",
                event=event,
                arguments=cast("list[Any]", arguments) if isinstance(arguments, list) else [arguments],
                rooms=_names(rooms if isinstance(rooms, list) else [] if rooms is None else [rooms]),
                skipped=_names(skipped if isinstance(skipped, list) else [] if skipped is None else [skipped]),
                wants_answer=found.get("callback") is not None,
            )
        case {"method": str() as method}:
            if method in PYTHON_ORDERS:
                raise ForeignOrder
            return None
        case _:
            raise Unreadable("no message of python-socketio's manager")


def key_pattern(key: str, namespace: str) -> str:
    """Return the pattern that matches the redis adapter's channels of a namespace, and no other's.

    >>> key_pattern("socket.io", "/a*b")
    'socket.io#/a\\\\*b#*'
    """
    return "".join(f"\\{one}" if one in "\\*?[]" else one for one in f"{key}#{namespace}#") + "*"


def key_message(
    uid: str, key: str, namespace: str, event: str, payload: bytes, rooms: Sequence[str], skipped: Sequence[str]
) -> tuple[str, bytes]:
    """Return (channel, message) of an event for the redis adapter. `payload`: its argument, as JSON."""
    packet = {"type": EVENT, "data": [event, msgspec.json.decode(payload)], "nsp": namespace}
    options: dict[str, Any] = {"rooms": list(rooms), "except": list(skipped), "flags": {}}
    channel = f"{key}#{namespace}#" + (f"{rooms[0]}#" if len(rooms) == 1 else "")
    return channel, msgspec.msgpack.encode([uid, packet, options])


def stream_entry(
    uid: str, namespace: str, event: str, payload: bytes, rooms: Sequence[str], skipped: Sequence[str]
) -> tuple[str | bytes, ...]:
    """Return names and values of an event's entry for the streams adapter. `payload`: its argument, as JSON."""
    packet = {"type": EVENT, "data": [event, msgspec.Raw(payload)], "nsp": namespace}
    options: dict[str, Any] = {"rooms": list(rooms), "except": list(skipped), "flags": {}}
    data = {"packet": packet, "opts": options}
    return "uid", uid, "nsp", namespace, "type", str(BROADCAST), "data", msgspec.json.encode(data)


def _emit(
    wire: Wire, uid: str, packet: Mapping[str, Any], event: str, arguments: Sequence[Any], options: Mapping[str, Any]
) -> ForeignEmit:
    if packet.get("type", EVENT) != EVENT:
        raise Unreadable("bytes")
    namespace = packet.get("nsp") or "/"
    if not isinstance(namespace, str):
        raise Unreadable("a namespace that is no text")
    return ForeignEmit(
        wire=wire,
        uid=uid,
        namespace=namespace,
        event=event,
        arguments=arguments,
        rooms=_names(options.get("rooms") or ()),
        skipped=_names(options.get("except") or ()),
    )


def _names(found: Any) -> tuple[str, ...]:
    if not isinstance(found, (list, tuple)):
        raise Unreadable("rooms that are no list")
    names = cast("Sequence[Any]", found)
    if not all(isinstance(one, (str, int, float)) for one in names):
        raise Unreadable("a room that is no text")
    return tuple(map(str, names))


def _json(data: bytes) -> Any:
    try:
        return decode_json(data, max_bytes=len(data))
    except ContractError:
        raise Unreadable("no JSON") from None


def _msgpack(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data, ext_hook=_extension)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        raise Unreadable("no MessagePack") from None


def _base64(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Unreadable("neither JSON nor Base64") from None


def _extension(code: int, data: memoryview) -> Any:
    """JavaScript's undefined is none; a Date and what else there is are bytes, which do not pass."""
    return None if (code, bytes(data)) == _UNDEFINED else bytes(data)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
