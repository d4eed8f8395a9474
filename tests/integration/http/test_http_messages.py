"""Requests and answers as RFC 9110 and 9112 want them, over a raw connection."""

import re
from urllib.parse import urlsplit

import pytest
import trio

HOST = b"host: 127.0.0.1\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n"


async def exchange(rest, data: bytes) -> bytes:
    """Everything that comes back until the service closes."""
    place = urlsplit(rest.url)
    stream = await trio.open_tcp_stream(place.hostname, place.port)
    async with stream:
        await stream.send_all(data)
        found = b""
        with trio.fail_after(20):
            async for piece in stream:
                found += piece
        return found


def statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)


@pytest.mark.parametrize(
    ("request_line", "fields", "status"),
    [
        (b"POST /api/villages HTTP/1.1", b"transfer-encoding: chunked\r\ncontent-length: 5\r\n", b"400"),
        (b"POST /api/villages HTTP/1.0", b"transfer-encoding: chunked\r\n", b"400"),
        (b"GET /healthz HTTP/2.0", b"", b"505"),
        (b"GET /healthz HTTP/1.1", b"".join(b"x-%d: y\r\n" % one for one in range(500)), b"431"),
    ],
)
async def test_what_may_be_misread_is_refused_and_the_connection_ends(rest, request_line, fields, status):
    smuggled = b"0\r\n\r\n" + NEXT
    assert statuses(await exchange(rest, request_line + b"\r\n" + HOST + fields + b"\r\n" + smuggled)) == [status]


async def test_an_upgrade_that_is_not_taken_leaves_the_connection_open(rest):
    asked = b"GET /healthz HTTP/1.1\r\n" + HOST + b"upgrade: h2c\r\nconnection: upgrade\r\n\r\n"
    assert statuses(await exchange(rest, asked + NEXT)) == [b"200", b"200"]


async def test_an_absolute_target_is_the_same_address_and_its_host_counts(rest):
    here = b"GET http://127.0.0.1/healthz HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n"
    assert statuses(await exchange(rest, here + NEXT)) == [b"200", b"200"]
    elsewhere = b"GET http://elsewhere.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    assert statuses(await exchange(rest, elsewhere)) == [b"421"]


async def test_an_answer_without_a_body_has_no_length(rest):
    tag = (await rest.get("/")).headers["etag"].encode()
    found = await exchange(rest, b"GET / HTTP/1.1\r\n" + HOST + b"if-none-match: " + tag + b"\r\n\r\n" + NEXT)
    first = found.split(b"\r\n\r\n")[0]
    assert first.startswith(b"HTTP/1.1 304")
    assert b"content-length" not in first
    assert statuses(found) == [b"304", b"200"]
