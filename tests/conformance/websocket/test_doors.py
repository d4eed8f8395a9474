"""RFC 6455 and RFC 7692 on every door alike: the opening, and what Autobahn's suite asks (its numbers in brackets).

The many small cases of a kind share one service: each has a connection of its own.
"""

import struct
from typing import Any

import pytest

from tests.support.raw_websocket import GONE, KEY, frame
from townwatch.transports.websocket.deflate import deflate
from townwatch.transports.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, accept_key

CONTINUATION = 0


def pieces(data: bytes, size: int) -> list[bytes]:
    """A text message in fragments of so many bytes."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return [frame(CONTINUATION if n else TEXT, part, fin=n == last) for n, part in enumerate(parts)]


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


# --- the opening -------------------------------------------------------------------------------------


async def test_a_good_opening_is_answered_with_a_101(place: Any) -> None:
    async with place() as at, at.open() as websocket:
        assert websocket.status == 101
        assert websocket.header("sec-websocket-accept") == accept_key(KEY)
        assert websocket.header("sec-websocket-extensions") is None
        assert websocket.header("sec-websocket-protocol") is None
        await websocket.send(frame(TEXT, at.good))
        await at.is_answered(websocket)


@pytest.mark.parametrize(
    ("without", "more"),
    [
        ("Upgrade", ["Upgrade: WebSocket"]),
        ("Upgrade", ["Upgrade: h2c, websocket"]),
        ("Connection", ["Connection: UPGRADE"]),
        ("Connection", ["Connection: keep-alive,Upgrade"]),
        ("Connection", ["Connection: keep-alive", "Connection: Upgrade"]),
        ("\xff", ["Sec-WebSocket-Protocol: something.else, other"]),
        ("\xff", ["Sec-WebSocket-Extensions: x-something; y=z"]),
        ("\xff", ["X-Mood: gr\xfcn"]),
    ],
)
async def test_headers_are_read_as_lists_of_tokens(place: Any, without: str, more: list[str]) -> None:
    async with place() as at, at.open(*more, without=without) as websocket:
        assert websocket.status == 101
        assert websocket.header("sec-websocket-protocol") is None


REFUSED: list[tuple[str, list[str], str, int]] = [
    ("Sec-WebSocket-Version", [], "", 426),
    ("Sec-WebSocket-Version", ["Sec-WebSocket-Version: 8"], "", 426),
    ("Sec-WebSocket-Version", ["Sec-WebSocket-Version: 14"], "", 426),
    ("Sec-WebSocket-Version", ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"], "", 426),
    ("Sec-WebSocket-Key", [], "", 400),
    ("Sec-WebSocket-Key", ["Sec-WebSocket-Key: YWJj"], "", 400),
    ("Sec-WebSocket-Key", ["Sec-WebSocket-Key: not base64 at all!!!"], "", 400),
    ("Sec-WebSocket-Key", ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ=="], "", 400),
    ("Sec-WebSocket-Key", [f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}"], "", 400),
    ("\xff", ["Content-Length: 5"], "", 400),
    ("\xff", ["Transfer-Encoding: chunked"], "", 400),
    ("\xff", [], "POST {} HTTP/1.1", 405),
    ("\xff", [], "GET {} HTTP/1.0", 400),
    ("Host", [], "", 400),
]


async def test_an_opening_that_is_none_is_refused_in_json(place: Any) -> None:
    async with place() as at:
        for without, more, line, status in REFUSED:
            options = {"without": without, **({"line": line} if line else {})}
            async with at.open(*more, **options) as websocket:
                assert websocket.status == status, (without, more, line)
                assert websocket.header("content-type") == "application/json"
                assert b'"error"' in websocket.body
                assert websocket.header("sec-websocket-version") == ("13" if status == 426 else None)


@pytest.mark.parametrize(
    ("without", "more"),
    [
        ("Upgrade", []),
        ("Upgrade", ["Upgrade: websocket2"]),
        ("Upgrade", ["Upgrade: h2c"]),
        ("Connection", []),
        ("Connection", ["Connection: not-upgrade"]),
        ("Connection", ["Connection: close"]),
    ],
)
async def test_a_request_that_asks_for_no_websocket_gets_none(place: Any, without: str, more: list[str]) -> None:
    async with place() as at, at.open(*more, "Connection: close", without=without) as websocket:
        assert websocket.status == (400 if at.door.name == "socket.io" else 426)


async def test_a_foreign_page_is_refused(place: Any) -> None:
    async with place() as at:
        for origin in ("http://evil.example", "null", "", "http://localhost:1"):
            async with at.open(f"Origin: {origin}") as websocket:
                assert websocket.status == 403


async def test_frames_that_come_with_the_opening_are_read(place: Any) -> None:
    async with place() as at, at.open() as websocket:
        await websocket.send(frame(PING, b"first") + frame(TEXT, at.good))
        assert await websocket.until(PONG) == b"first"
        await at.is_answered(websocket)


# --- messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_a_message_in_fragments_split_anywhere_is_one_message(place: Any, size: int) -> None:
    """[5.3, 6.2, 9.3]"""
    async with place() as at, at.open() as websocket:
        await websocket.send(b"".join(pieces(at.good, size)))
        await at.is_answered(websocket)


async def test_bytes_may_come_one_by_one(place: Any) -> None:
    """[1.1.8, 5.5]"""
    async with place() as at, at.open() as websocket:
        for byte in b"".join(pieces(at.good, 9)):
            await websocket.send(bytes([byte]))
        await at.is_answered(websocket)


async def test_a_ping_between_fragments_is_answered_before_the_message(place: Any) -> None:
    """[5.6, 5.19]"""
    async with place() as at, at.open() as websocket:
        one, *rest = pieces(at.good, 10)
        await websocket.send(one + frame(PING, b"between") + b"".join(rest))
        assert await websocket.until(PONG) == b"between"
        await at.is_answered(websocket)


@pytest.mark.parametrize("payload", [b"", b"hello", bytes(range(125)), b"\xff" * 125])
async def test_a_ping_is_answered_with_its_own_bytes(place: Any, payload: bytes) -> None:
    """[2.1-2.4, 2.6]"""
    async with place() as at, at.open() as websocket:
        await websocket.send(frame(PING, payload))
        assert await websocket.until(PONG) == payload


async def test_a_pong_that_was_not_asked_for_is_ignored(place: Any) -> None:
    """[2.7-2.9]"""
    async with place() as at, at.open() as websocket:
        await websocket.send(frame(PONG, b"unasked") + frame(TEXT, at.good))
        await at.is_answered(websocket)


# --- what breaks the protocol -----------------------------------------------------------------------


BROKEN: list[tuple[str, bytes, int]] = [
    ("a ping of 126 bytes [2.5]", frame(PING, b"x" * 126), 1002),
    ("a ping in two pieces [5.1]", frame(PING, b"", fin=False), 1002),
    ("a pong in two pieces [5.2]", frame(PONG, b"", fin=False), 1002),
    ("RSV1 without an extension [3.1]", frame(TEXT, b"x", rsv=4), 1002),
    ("RSV2 [3.2]", frame(TEXT, b"x", rsv=2), 1002),
    ("RSV3 [3.3]", frame(TEXT, b"x", rsv=1), 1002),
    ("a compressed message that was not negotiated", frame(TEXT, deflate(b"x"), rsv=4), 1002),
    ("RSV of a ping [3.5]", frame(PING, b"x", rsv=4), 1002),
    ("RSV of a close [3.6]", frame(CLOSE, b"", rsv=1), 1002),
    *((f"opcode {opcode} [4.1, 4.2]", frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ("a continuation of nothing [5.9]", frame(CONTINUATION, b"x"), 1002),
    ("a continuation of nothing, not final [5.11]", frame(CONTINUATION, b"x", fin=False), 1002),
    ("a message within another [5.18]", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    ("a binary message within a text [5.18]", frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"), 1002),
    ("a frame that is not masked", frame(TEXT, b"x", masked=False), 1002),
    ("a close that is not masked", frame(CLOSE, b"", masked=False), 1002),
    ("a length with more bytes than it needs", b"\x81\xfe\x00\x05", 1002),
    ("a long length with more bytes than it needs", b"\x81\xff" + struct.pack("!Q", 65535), 1002),
    ("a length of 2**63", b"\x82\xff" + struct.pack("!Q", 1 << 63), 1002),
    ("a length of 2**62", b"\x82\xff" + struct.pack("!Q", 1 << 62), 1009),
    ("text that is no UTF-8 [6.3]", frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), 1007),
    ("text over U+10FFFF [6.12]", frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    ("an overlong slash [6.17]", frame(TEXT, b"\xc0\xaf"), 1007),
    ("half a character [6.6]", frame(TEXT, b"\xce"), 1007),
    ("half a character, continued wrongly", frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"\x28"), 1007),
    ("no UTF-8 in a fragment that is not the last [6.4]", frame(TEXT, b"\xce\xba\xff", fin=False), 1007),
    ("a close of one byte [7.3.2]", frame(CLOSE, b"\x03"), 1002),
    ("a close of 126 bytes [7.3.6]", frame(CLOSE, struct.pack("!H", 1000) + b"x" * 124), 1002),
    ("a reason that is no UTF-8 [7.5.1]", closing(1000, b"\xce\xba\xff"), 1007),
    *(
        (f"close code {code} [7.9]", closing(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    ("empty fragments", frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 100, 1008),
    ("fragments without an end", frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * 1100, 1008),
    ("pings without an end", frame(PING) * 1000, 1008),
]


async def test_what_is_not_allowed_closes_with_its_code(place: Any) -> None:
    wrong: dict[str, Any] = {}
    async with place() as at:
        for case, data, code in BROKEN:
            async with at.open() as websocket:
                await websocket.send(data)
                told, reason = await websocket.until(CLOSE)
                end = (await websocket.next())[0]
            bare = code == 1009 and at.door.name == "socket.io"  # as officially: the handshake has said the limit
            if (told, bool(reason), end) != (code, not bare, GONE):
                wrong[case] = told, reason, end
    assert not wrong


async def test_a_message_over_the_limit_is_refused_before_it_has_come(place: Any) -> None:
    async with place() as at, at.open() as websocket:
        await websocket.send(b"\x81\xff" + struct.pack("!Q", at.door.limit + 1) + b"\0\0\0\0" + b"x" * 1000)
        official = at.door.name == "socket.io"
        assert await websocket.until(CLOSE) == (1009, "" if official else f"a message may have {at.door.limit} bytes")
        assert (await websocket.next())[0] == GONE


async def test_a_message_over_the_limit_in_fragments_is_refused(place: Any) -> None:
    async with place() as at, at.open() as websocket:
        await websocket.send(frame(TEXT, b"x" * (at.door.limit - 1), fin=False) + frame(CONTINUATION, b"xx"))
        assert (await websocket.until(CLOSE))[0] == 1009


# --- the end -----------------------------------------------------------------------------------------


async def test_a_close_is_answered_with_its_code_and_the_connection_ends(place: Any) -> None:
    """[7.7]"""
    async with place() as at:
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 3999, 4000, 4999):
            async with at.open() as websocket:
                await websocket.send(closing(code, b"r" * 123))
                assert (await websocket.until(CLOSE))[0] == code
                assert (await websocket.next())[0] == GONE


async def test_a_close_without_a_code_is_answered_without_one(place: Any) -> None:
    """[7.3.1]"""
    async with place() as at, at.open() as websocket:
        await websocket.send(frame(CLOSE))
        assert await websocket.until(CLOSE) is None
        assert (await websocket.next())[0] == GONE


async def test_what_comes_behind_a_close_is_not_read(place: Any) -> None:
    """[7.1]"""
    async with place() as at, at.open() as websocket:
        await websocket.send(closing(1000) + frame(TEXT, at.good) + frame(PING, b"late") + closing(1001))
        assert (await websocket.until(CLOSE))[0] == 1000
        assert (await websocket.next())[0] == GONE


# --- what only one door allows ----------------------------------------------------------------------


async def test_only_socket_io_compresses(place: Any) -> None:
    async with place() as at, at.open("Sec-WebSocket-Extensions: permessage-deflate") as websocket:
        took = websocket.header("sec-websocket-extensions")
        if at.door.name != "socket.io":
            assert took is None
            return
        assert (took or "").startswith("permessage-deflate")
        await websocket.send(frame(TEXT, deflate(at.good), rsv=4))
        await at.is_answered(websocket)


async def test_only_runners_have_a_subprotocol(place: Any) -> None:
    async with place() as at, at.open("Sec-WebSocket-Protocol: other, townwatch.runner.v1") as websocket:
        expected = "townwatch.runner.v1" if at.door.name == "runner" else None
        assert websocket.header("sec-websocket-protocol") == expected
