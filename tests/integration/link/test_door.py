"""Who gets in, and what the others are told."""

import json
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionRejected

from tests.integration.link.helpers import chunk, seqs, until
from tests.support.doorway import websocket
from townwatch.transports.websocket.pace import MessageLimits
from townwatch.transports.websocket.socket import SocketLimits

BEARER = {"Authorization": "Bearer secret-1"}


@pytest.mark.parametrize(
    ("headers", "path", "status", "code"),
    [
        ({}, "/runner", 401, "E_UNAUTH"),
        ({"Authorization": "Bearer wrong"}, "/runner", 401, "E_UNAUTH"),
        ({"Authorization": "Bearer"}, "/runner", 401, "E_UNAUTH"),
        ({"Authorization": "Basic secret-1"}, "/runner", 401, "E_UNAUTH"),
        ({**BEARER, "Origin": "http://127.0.0.1"}, "/runner", 403, "E_ORIGIN"),
        ({**BEARER, "Origin": ""}, "/runner", 403, "E_ORIGIN"),
        ({}, "/runner?token=secret-1&runner=r1", 401, "E_UNAUTH"),
    ],
)
async def test_the_wrong_ones_are_refused_before_the_upgrade(
    house: Any, headers: dict[str, str], path: str, status: int, code: str
) -> None:
    async with house() as h:
        with pytest.raises(ConnectionRejected) as refused:
            async with websocket(h.port, path, headers):
                pass
        assert refused.value.status_code == status
        assert refused.value.body is not None
        assert refused.value.body.count(b"\n") == 1
        assert json.loads(refused.value.body)["error"]["code"] == code
        assert b"secret" not in refused.value.body


async def test_two_authorization_headers_are_no_choice(house: Any) -> None:
    async with house() as h:
        stream = await trio.open_tcp_stream("127.0.0.1", h.port)
        async with stream:
            await stream.send_all(
                b"GET /runner HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                b"Authorization: Bearer secret-1\r\nAuthorization: Bearer secret-2\r\n\r\n"
            )
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 401 ")


async def test_more_handshakes_than_there_is_room_for_get_503(house: Any) -> None:
    async with house(handshakes=1) as h, h.runner():
        with pytest.raises(ConnectionRejected) as refused:
            async with h.runner():
                pass
        assert refused.value.status_code == 503
        assert (b"Retry-After".lower(), b"2") in {(k.lower(), v) for k, v in refused.value.headers or ()}


# --- hello -------------------------------------------------------------------------------------------


async def test_the_subprotocol_is_not_forced_upon_anybody(house: Any) -> None:
    async with house() as h, h.runner(subprotocols=["something.else"]) as runner:
        assert not runner.ws.subprotocol
        await runner.hello()


async def test_who_says_nothing_is_closed(house: Any) -> None:
    async with house(hello=0.05) as h, h.runner() as runner:
        assert (await runner.hear())["code"] == "E_HELLO"
        assert (await runner.closed())[0] == 1008


async def test_the_first_message_must_be_hello(house: Any) -> None:
    async with house() as h, h.runner() as runner:
        await runner.send(chunk(1))
        assert (await runner.hear())["code"] == "E_HELLO"
        assert (await runner.closed())[0] == 1008
        assert seqs(h) == []


async def test_hello_must_be_the_tokens_runner(house: Any) -> None:
    async with house() as h, h.runner("secret-1") as runner:
        await runner.say("hello", runnerId="r2", name="x", version="1")
        error = await runner.hear()
        assert error["code"] == "E_FORBIDDEN"
        assert "runnerId" in error["message"]
        assert (await runner.closed())[0] == 1008
        assert "r2" not in h.context.directory.runners


@pytest.mark.parametrize(
    ("first", "code", "field"),
    [
        ('{"type": "hello", "runnerId": "r1", "name": "x"}', "E_BAD_PAYLOAD", "version"),
        ('{"type": "hello", "runnerId": 1, "name": "x", "version": "1"}', "E_BAD_PAYLOAD", "runnerId"),
        ("{", "E_BAD_JSON", "JSON"),
        ("[]", "E_BAD_PAYLOAD", "object"),
        (b"\x01", "E_BINARY", "binary"),
        ('{"type": "goodbye"}', "E_UNKNOWN_TYPE", "goodbye"),
    ],
)
async def test_a_hello_that_is_none_says_what_is_wrong_with_it(
    house: Any, first: str | bytes, code: str, field: str
) -> None:
    async with house() as h:
        async with h.runner() as runner:
            await runner.ws.send_message(first)
            error = await runner.hear()
            assert (error["type"], error["code"]) == ("error", code)
            assert field in error["message"]
            assert (await runner.closed())[0] in (1003, 1007, 1008)
        async with h.welcomed():
            pass


async def test_hello_is_said_once(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.say("hello", runnerId="r2", name="x", version="1")
        assert (await runner.hear())["code"] == "E_BAD_PAYLOAD"
        await runner.send(chunk(1))
        await runner.acked(1)


# --- frames ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code", "closes"),
    [
        ("{not json", "E_BAD_JSON", 1007),
        ("[" * 3000, "E_BAD_JSON", 1007),
        ('{"type": "events", "events": [], "x": nan}', "E_BAD_JSON", 1007),
        ("7", "E_BAD_PAYLOAD", 1007),
        (b"binary", "E_BINARY", 1003),
        ('{"type": "dance"}', "E_UNKNOWN_TYPE", None),
        ('{"type": null}', "E_UNKNOWN_TYPE", None),
        ('{"type": ["events"]}', "E_UNKNOWN_TYPE", None),
        ('{"type": "welcome"}', "E_UNKNOWN_TYPE", None),
        ('{"type": "events"}', "E_BAD_PAYLOAD", None),
        ('{"type": "heartbeat", "ts": "now"}', "E_BAD_PAYLOAD", None),
        ('{"type": "result", "commandId": "c"}', "E_BAD_PAYLOAD", None),
    ],
)
async def test_a_bad_frame_is_answered_and_ends_the_connection_only_where_it_must(
    house: Any, frame: str | bytes, code: str, closes: int | None
) -> None:
    async with house() as h, h.welcomed() as runner:
        await runner.ws.send_message(frame)
        assert (await runner.hear())["code"] == code
        if closes is not None:
            assert (await runner.closed())[0] == closes
        else:
            await runner.send(chunk(1))
            await runner.acked(1)


async def test_a_frame_that_is_too_large_closes_with_1009(house: Any) -> None:
    async with house(socket=SocketLimits(incoming=MessageLimits(message_bytes=10_000))) as h, h.welcomed() as runner:
        await runner.send(chunk(1, text="x" * 10_000))
        assert (await runner.hear())["code"] == "E_TOO_LARGE"
        assert (await runner.closed())[0] == 1009
        assert seqs(h) == []


async def test_a_frame_beyond_all_measure_closes_with_1009_unread(house: Any) -> None:
    async with house(socket=SocketLimits(incoming=MessageLimits(message_bytes=10_000))) as h, h.welcomed() as runner:
        await runner.send(chunk(1, text="x" * 100_000))
        assert (await runner.closed())[0] == 1009


async def test_one_who_never_makes_sense_is_closed_in_the_end(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        for _ in range(150):
            await runner.say("dance")
        assert (await runner.closed())[0] == 1008


@pytest.mark.parametrize(
    ("flood", "limit"),
    [
        (b"\x01\x80abcd" + b"\x00\x80abcd" * 40_000, "empty fragments"),
        (b"\x89\x80abcd" * 40_000, "control frames"),
        (b"\x01\x81abcd\x00" + b"\x00\x81abcd\x00" * 40_000, "fragments"),
        (b"\x81\x82abcd\x1a\x1f" * 40_000, "frames"),
    ],
)
async def test_a_flood_is_cut_and_others_are_not_held_up(house: Any, flood: bytes, limit: str) -> None:
    """Frames that never make a message pass any limit on messages."""
    async with house() as h, h.welcomed() as runner, h.runner("secret-2") as honest:
        await honest.hello("r2")
        with trio.move_on_after(3):
            try:
                async with runner.ws._stream_lock:
                    await runner.ws._stream.send_all(flood)
            except trio.BrokenResourceError:
                pass
        code, _ = await runner.closed()
        assert code in (1006, 1008)
        await honest.send(chunk(1, "s2"))
        await honest.acked(1, "s2")


async def test_unknown_fields_are_ignored_and_counted(house: Any) -> None:
    counted: list[Any] = []
    async with house() as h, h.welcomed() as runner:
        h.context.measure = lambda name, fields: counted.append((name, fields))
        await runner.send({**chunk(1), "mood": "good", "weather": "fine"})
        await runner.acked(1)
        await runner.say("events", events=[chunk(2)], extra=1)
        await runner.acked(2)
    assert [fields["count"] for name, fields in counted if name == "unknown_field"] == [2, 1]


async def test_a_silent_runner_is_closed(house: Any) -> None:
    async with house(socket=SocketLimits(ping=10, silent=0.1)) as h, h.welcomed() as runner:
        assert (await runner.closed())[0] == 1001


async def test_a_runner_that_answers_pings_is_not_silent(house: Any) -> None:
    async with house(socket=SocketLimits(ping=0.05, silent=1.5)) as h, h.welcomed() as runner:
        await trio.sleep(2)
        await runner.send(chunk(1))
        await runner.acked(1)


async def test_a_revoked_runner_is_cut(house: Any) -> None:
    async with house() as h, h.welcomed() as runner:
        assert h.door.cut("r1", "the token was revoked") == 1
        assert await runner.closed() == (1008, "the token was revoked")
        await until(lambda: h.door.cut("r1", "again") == 0)
