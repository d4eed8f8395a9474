"""What comes in over a WebSocket is read as wsproto reads it, however the bytes are cut."""

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import RemoteProtocolError

from townwatch.transports.websocket.close_codes import SENDABLE
from townwatch.transports.websocket.deflate import deflate
from townwatch.transports.websocket.frame_reader import FrameError, FrameReader
from townwatch.transports.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT
from townwatch.transports.websocket.pace import MessageLimits

LIMIT = 70_000
UNLIMITED = 1 << 22  # more than all of a case's bytes: wsproto knows no limit


def limits(message_bytes: int = LIMIT) -> MessageLimits:
    return MessageLimits(message_bytes=message_bytes, fragments=100)


def frame(first: int, payload: bytes, mask: bytes = b"\x01\x80\xfe\x33", *, masked: bool = True) -> bytes:
    length, bit = len(payload), 0x80 if masked else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 65536:
        head = bytes((first, bit | 126)) + struct.pack("!H", length)
    else:
        head = bytes((first, bit | 127)) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    return head + mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))


def ours(pieces: list[bytes], *, deflated: bool = False, limit: int = LIMIT) -> tuple[list[Any], int | None]:
    """What was found, and the code of the close where the protocol was broken. Nothing is read behind a close."""
    reader, found = FrameReader(limits(limit), deflated=deflated), list[Any]()
    try:
        for piece in pieces:
            reader.feed(piece)
            while (one := reader.take()) is not None:
                if one[0] in (TEXT, BINARY, PING, PONG):
                    found.append(one)
                elif one[0] == CLOSE:
                    return [*found, one], None
    except FrameError as error:
        return found, error.code
    return found, None


def theirs(pieces: list[bytes]) -> tuple[list[Any], bool]:
    protocol, found, parts = Connection(ConnectionType.SERVER), list[Any](), list[Any]()
    try:
        for piece in pieces:
            protocol.receive_data(piece)
            for event in protocol.events():
                match event:
                    case TextMessage() | BytesMessage():
                        parts.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
                        if event.message_finished:
                            text = isinstance(event, TextMessage)
                            found.append((TEXT, "".join(parts)) if text else (BINARY, b"".join(parts)))
                            parts = []
                    case Ping() | Pong():
                        found.append((PING if isinstance(event, Ping) else PONG, bytes(event.payload)))
                    case CloseConnection() if event.code in (1002, 1007):  # its own word for what is broken
                        return found, True
                    case CloseConnection():
                        return [
                            *found,
                            (CLOSE, None if event.code == 1005 else (int(event.code), event.reason or "")),
                        ], False
                    case _:
                        pass
    except (RemoteProtocolError, UnicodeDecodeError, struct.error):
        return found, True
    return found, False


payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([124, 125, 126, 127, 200, 65535, 65536]).map(lambda size: b"x" * size),
)
valid = st.one_of(
    st.text(max_size=30).map(lambda text: frame(0x80 | TEXT, text.encode())),
    payloads.map(lambda data: frame(0x80 | BINARY, data)),
    st.binary(max_size=125).map(lambda data: frame(0x80 | PING, data)),
    st.lists(payloads, min_size=2, max_size=4).map(
        lambda parts: b"".join(
            frame((0x80 if number == len(parts) - 1 else 0) | (0 if number else BINARY), part)
            for number, part in enumerate(parts)
        )
    ),
    st.tuples(st.integers(990, 5010).filter(lambda code: code not in (1002, 1007)), st.text(max_size=10)).map(
        lambda end: frame(0x80 | CLOSE, struct.pack("!H", end[0]) + end[1].encode())
    ),
)
odd = st.builds(
    lambda first, payload, masked: frame(first, payload, masked=masked),
    st.integers(0, 255).filter(lambda first: first & 0x8F != TEXT),  # what is not whole is decoded later than there
    st.binary(max_size=130),
    st.booleans(),
)
frames = st.lists(st.one_of(valid, valid, valid, odd), max_size=6).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


@given(frames, st.lists(st.integers(0, 1 << 20), max_size=8))
def test_it_finds_what_wsproto_finds(data: bytes, places: list[int]) -> None:
    found, code = ours(cut(data, places), limit=UNLIMITED)
    expected, broken = theirs([data])
    if code is None:
        assert (found, broken) == (expected, False)
    else:  # wsproto lets codes pass that nobody may send
        odd_end = expected[len(found) :] and expected[-1][0] == CLOSE and (expected[-1][1] or (0,))[0] not in SENDABLE
        assert found == expected[: len(found)]
        assert broken or odd_end


@given(frames, st.lists(st.integers(0, 1 << 20), max_size=8))
def test_where_the_bytes_are_cut_changes_nothing(data: bytes, places: list[int]) -> None:
    assert (
        ours(cut(data, places))
        == ours([data])
        == ours([data[at : at + 1] for at in range(min(len(data), 400))] + [data[400:]])
    )


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_compressed_messages_are_inflated(messages: list[bytes], places: list[int]) -> None:
    data = b"".join(frame(0xC0 | BINARY, deflate(message)) for message in messages)
    assert ours(cut(data, places), deflated=True) == ([(BINARY, message) for message in messages], None)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("not masked", frame(0x81, b"hi", masked=False), 1002),
        ("an opcode that does not exist", frame(0x83, b""), 1002),
        ("a reserved bit", frame(0xC1, b""), 1002),
        ("a continuation of nothing", frame(0x80, b""), 1002),
        ("a message within another", frame(0x01, b"a") + frame(0x81, b"b"), 1002),
        ("a ping in two pieces", frame(0x09, b""), 1002),
        ("a long ping", frame(0x89, b"x" * 126), 1002),
        ("a length with more bytes than it needs", b"\x81\xfe\x00\x05", 1002),
        ("a length beyond all there is", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1002),
        ("half a code", frame(0x88, b"\x03"), 1002),
        ("a code that nobody may send", frame(0x88, struct.pack("!H", 1005)), 1002),
        ("text that is no UTF-8", frame(0x81, b"\xff"), 1007),
        ("a reason that is no UTF-8", frame(0x88, struct.pack("!H", 1000) + b"\xff"), 1007),
        ("too large, before it has come", b"\x82\xff" + struct.pack("!Q", LIMIT + 1), 1009),
        ("too large in pieces", frame(0x02, b"x" * LIMIT) + frame(0x80, b"x"), 1009),
        ("too many pieces", frame(0x02, b"x") + frame(0x00, b"x") * 100, 1008),
        ("too many empty pieces", frame(0x02, b"") + frame(0x00, b"") * 16, 1008),
        ("text that stops being UTF-8 in its first piece", frame(0x01, b"\xce\xba\xff"), 1007),
        ("half a character at the end of all pieces", frame(0x01, b"a") + frame(0x80, b"\xc3"), 1007),
    ],
)
def test_what_is_refused(name: str, data: bytes, code: int) -> None:
    assert ours([data])[1] == code, name


def test_what_is_deflated_is_refused_before_it_is_too_large() -> None:
    assert ours([frame(0xC2, deflate(bytes(10_000_000)))], deflated=True)[1] == 1009
    assert ours([frame(0xC2, b"\xff\xff\xff\xff")], deflated=True)[1] == 1007


def test_between_two_messages_it_holds_nothing() -> None:
    reader = FrameReader(limits())
    reader.feed(frame(0x81, b"one")[:4])
    reader.take()
    reader.feed(frame(0x81, b"one")[4:])
    assert reader.take() == (TEXT, "one")
    assert (reader._buffer, reader._message) == (b"", None)
