"""permessage-deflate: negotiated per RFC 7692, compressed once for everybody, never a bomb."""

import os
import struct
import zlib
from typing import Any, cast

import pytest
import trio
from wsproto import ConnectionType
from wsproto.connection import Connection as Protocol
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.extensions import PerMessageDeflate

from tests.support.wire import FAST, Place, engine_place, socketio_place
from townwatch.transports.socketio import EngineSettings, TrioServer, message as messages
from townwatch.transports.socketio.message import DEFLATE_FROM, Message
from townwatch.transports.websocket.deflate import NO_CONTEXT, deflate, negotiate
from townwatch.transports.websocket.frames import BINARY, TEXT

OFFER = "permessage-deflate; client_max_window_bits"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate", NO_CONTEXT),
        (OFFER, NO_CONTEXT),
        ("permessage-deflate; client_max_window_bits=10", NO_CONTEXT),
        ('permessage-deflate; client_max_window_bits="10"', NO_CONTEXT),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", NO_CONTEXT),
        ("permessage-deflate; server_max_window_bits=15", f"{NO_CONTEXT}; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=9", f"{NO_CONTEXT}; server_max_window_bits=9"),
        ('permessage-deflate; server_max_window_bits="8"', f"{NO_CONTEXT}; server_max_window_bits=8"),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16, permessage-deflate", NO_CONTEXT),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=08", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflate; unheard_of", None),
    ],
)
def test_an_offer_is_taken_or_declined_by_its_parameters(offers: str, answer: str | None) -> None:
    assert negotiate(offers) == answer


def test_only_what_is_long_and_shrinks_is_compressed() -> None:
    assert Message("4" + "a" * (DEFLATE_FROM - 2)).deflated[0] == 0x80 | TEXT
    assert Message("4" + "a" * (DEFLATE_FROM - 1)).deflated[0] == 0xC0 | TEXT
    noise = Message(binary=os.urandom(4096))
    assert noise.deflated is noise.frame
    assert Message(binary=b"a" * 4096).deflated[0] == 0xC0 | BINARY


@pytest.mark.parametrize("bits", range(8, 16))
async def test_a_client_with_a_small_window_can_read_what_it_gets(bits: int) -> None:
    """Words that come again 300, 1000 and 20 000 bytes later: a reference to them is too far for some windows."""
    words = [os.urandom(size).hex() for size in (150, 500, 10_000)]
    offer = f"permessage-deflate; server_max_window_bits={bits}"
    asked = ["4" + "".join(words[:n] * 3) for n in (1, 2, 3)]

    def prepare(server: TrioServer) -> None:
        async def connect(sid: str, _environ: object) -> None:
            await server.enter_room(sid, "all")

        cast(Any, server).on("connect", connect)

    async with socketio_place(prepare, FAST) as place:
        stream, _, head = await open_raw(place, offer)
        async with stream:
            assert f"server_max_window_bits={bits}" in head
            await stream.send_all(masked(0x80 | TEXT, b"40"))
            await trio.sleep(0.1)
            for text in asked:
                place.server.publish("big", f'"{text}"'.encode(), ["all"])
                await place.server.emit("alone", text)
            frames = list[bytes]()
            data = b""
            with trio.fail_after(5):
                while len(frames) < 2 * len(asked):
                    data += await stream.receive_some()
                    frames = long_frames(data)
    read = [inflated(one, bits) for one in frames]
    assert read == [text for one in asked for text in (f'42["big","{one}"]', f'42["alone","{one}"]')]
    assert any(one[0] == 0xC1 for one in frames) == (bits > 8)


def long_frames(data: bytes) -> list[bytes]:
    """The server's whole frames with 126 bytes and more: the first byte, and the payload."""
    found = list[bytes]()
    while len(data) >= 10:
        size, head = data[1], 2
        if size == 126:
            size, head = struct.unpack_from("!H", data, 2)[0], 4
        elif size == 127:
            size, head = struct.unpack_from("!Q", data, 2)[0], 10
        if len(data) < head + size:
            break
        if head > 2:
            found.append(data[:1] + data[head : head + size])
        data = data[head + size :]
    return found


def inflated(frame: bytes, bits: int) -> str:
    """The text of a frame, read with a window of so many bits, and little at a time: nothing else is looked back at."""
    if not frame[0] & 0x40:
        return frame[1:].decode()
    inflater, text, rest = zlib.decompressobj(-bits), b"", frame[1:] + b"\x00\x00\xff\xff"
    while rest:
        text += inflater.decompress(rest, 16)
        rest = inflater.unconsumed_tail
    return text.decode()


async def open_raw(place: Place, offer: str) -> tuple[trio.SocketStream, Protocol, str]:
    """A WebSocket by hand: its stream, a client's protocol that can inflate, and the head of the answer."""
    host, _, port = place.host.partition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    request = (
        f"GET {place.path}/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {place.host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    )
    await stream.send_all(request.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    head, _, rest = data.partition(b"\r\n\r\n")
    extension = PerMessageDeflate()
    extension.finalize(NO_CONTEXT)
    protocol = Protocol(ConnectionType.CLIENT, [extension], rest)
    return stream, protocol, head.decode().lower()


async def next_event(stream: trio.SocketStream, protocol: Protocol) -> TextMessage | BytesMessage | CloseConnection:
    """The next whole message or the close; Engine.IO's pings are passed over."""
    text, blob = "", b""
    with trio.fail_after(5):
        while True:
            for event in protocol.events():
                match event:
                    case TextMessage():
                        text += event.data
                        if event.message_finished and text != "2":
                            return TextMessage(text)
                        text = "" if event.message_finished else text
                    case BytesMessage():
                        blob += event.data
                        if event.message_finished:
                            return BytesMessage(blob)
                    case CloseConnection():
                        return event
                    case _:
                        pass
            protocol.receive_data(await stream.receive_some() or None)


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, so that the payload stands as it is."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + struct.pack("!H", length)
    return bytes((first,)) + size + bytes(4) + payload


@pytest.mark.parametrize("offer", [OFFER, "permessage-deflate; server_no_context_takeover"])
async def test_messages_are_compressed_both_ways(offer: str) -> None:
    text = "4" + "the same again " * 500
    async with engine_place() as place:
        stream, protocol, head = await open_raw(place, offer)
        async with stream:
            assert f"sec-websocket-extensions: {NO_CONTEXT}" in head
            await next_event(stream, protocol)
            for _ in range(3):  # each in a context of its own
                await stream.send_all(masked(0xC0 | TEXT, deflate(text.encode())))
                assert await next_event(stream, protocol) == TextMessage(text)
            await stream.send_all(masked(0xC0 | BINARY, deflate(b"\0" * 5000)))
            assert await next_event(stream, protocol) == BytesMessage(b"\0" * 5000)
            await stream.send_all(masked(0x80 | TEXT, b"4plain"))
            assert await next_event(stream, protocol) == TextMessage("4plain")


async def test_a_compressed_message_may_come_in_fragments_with_a_ping_between() -> None:
    packed = deflate(b"4" + b"fragment " * 300)
    async with engine_place() as place:
        stream, protocol, _ = await open_raw(place, OFFER)
        async with stream:
            await next_event(stream, protocol)
            await stream.send_all(masked(0x40 | TEXT, packed[:10]) + masked(0x89, b"hi") + masked(0x00, packed[10:20]))
            await stream.send_all(masked(0x00, packed[20:]) + masked(0x80, b""))
            assert await next_event(stream, protocol) == TextMessage("4" + "fragment " * 300)


async def test_without_an_offer_nothing_is_compressed() -> None:
    async with engine_place() as place:
        stream, protocol, head = await open_raw(place, "x-other")
        async with stream:
            assert "sec-websocket-extensions" not in head
            await next_event(stream, protocol)
            await stream.send_all(masked(0xC0 | TEXT, deflate(b"4hello")))  # not negotiated: a protocol error
            event = await next_event(stream, protocol)
            assert isinstance(event, CloseConnection) and event.code == 1002


async def test_it_can_be_turned_off() -> None:
    async with engine_place(EngineSettings(deflate=False)) as place:
        stream, _, head = await open_raw(place, OFFER)
        async with stream:
            assert "sec-websocket-extensions" not in head


async def test_a_bomb_is_closed_with_1009_before_it_is_inflated() -> None:
    """60 MB in 60 kB, sent in one frame to a server that takes 1 MB."""
    bomb = deflate(b"4" + bytes(60_000_000), level=9)
    assert len(bomb) < 65536
    async with engine_place() as place:
        stream, protocol, _ = await open_raw(place, OFFER)
        async with stream:
            await next_event(stream, protocol)
            await stream.send_all(masked(0xC0 | TEXT, bomb))
            event = await next_event(stream, protocol)
            assert isinstance(event, CloseConnection) and event.code == 1009


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(masked(0xC0 | TEXT, b"\xff\xff\xff\xff"), 1007, id="no deflate data"),
        pytest.param(masked(0xC9, b"x"), 1002, id="a compressed ping"),
        pytest.param(masked(0x40 | TEXT, b"") + masked(0xC0, b""), 1002, id="rsv1 on a continuation"),
        pytest.param(masked(0xA0 | TEXT, b""), 1002, id="rsv2"),
    ],
)
async def test_what_breaks_the_extension_closes(frames: bytes, code: int) -> None:
    async with engine_place() as place:
        stream, protocol, _ = await open_raw(place, OFFER)
        async with stream:
            await next_event(stream, protocol)
            await stream.send_all(frames)
            event = await next_event(stream, protocol)
            assert isinstance(event, CloseConnection) and event.code == code


async def test_a_broadcast_is_compressed_once_for_all_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = list[int]()

    def counted(payload: bytes) -> bytes:
        compressed.append(len(payload))
        return deflate(payload)

    def prepare(server: TrioServer) -> None:
        async def connect(sid: str, _environ: object) -> None:
            await server.enter_room(sid, "all")

        on = cast(Any, server).on
        on("connect", connect)

    monkeypatch.setattr(messages, "deflate", counted)
    long = b'"' + b"long " * 1000 + b'"'
    async with socketio_place(prepare, FAST) as place:
        offers = [OFFER, OFFER, OFFER, "none"]
        clients = [await open_raw(place, offer) for offer in offers]
        for stream, protocol, _ in clients:
            await next_event(stream, protocol)
            await stream.send_all(masked(0x80 | TEXT, b"40"))
            await next_event(stream, protocol)
        place.server.publish("small", b"1", ["all"])
        place.server.publish("big", long, ["all"])
        for stream, protocol, _ in clients:
            assert await next_event(stream, protocol) == TextMessage('42["small",1]')
            assert await next_event(stream, protocol) == TextMessage(f'42["big",{long.decode()}]')
            await stream.aclose()
    assert len(compressed) == 1


def test_the_payload_is_raw_deflate_with_the_tail_removed() -> None:
    assert zlib.decompressobj(-15).decompress(deflate(b"abc" * 1000) + b"\x00\x00\xff\xff") == b"abc" * 1000
