"""The Engine.IO protocol suite (https://github.com/socketio/engine.io-protocol), restated over real sockets."""

import json

import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.support.wire import closed, engine_place, receive

POLLING, WEBSOCKET = "EIO=4&transport=polling", "EIO=4&transport=websocket"


# --- handshake


async def test_polling_opens_a_session() -> None:
    async with engine_place() as place:
        answer = await place.get(POLLING)
        assert answer.status_code == 200
        assert answer.text[0] == "0"
        greeting = json.loads(answer.text[1:])
        assert sorted(greeting) == ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]
        assert greeting["upgrades"] == ["websocket"]
        assert (greeting["pingInterval"], greeting["pingTimeout"], greeting["maxPayload"]) == (300, 200, 1_000_000)


async def test_a_websocket_opens_a_session() -> None:
    async with engine_place() as place, place.websocket() as socket:
        greeting = json.loads((await receive(socket))[1:])
        assert greeting["upgrades"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("transport=polling", 5),
        ("EIO=abc&transport=polling", 5),
        ("EIO=3&transport=polling", 5),
        ("EIO=4", 0),
        ("EIO=4&transport=abc", 0),
        ("EIO=4&transport=__proto__", 0),
        ("EIO=4&transport=polling&sid=unknown", 1),
        ("EIO=4&transport=websocket", 3),
    ],
)
async def test_a_bad_handshake_gets_the_official_error(query: str, code: int) -> None:
    async with engine_place() as place:
        answer = await place.get(query)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("query", "code"),
    [("transport=websocket", 5), ("EIO=abc&transport=websocket", 5), ("EIO=4", 0), ("EIO=4&transport=abc", 0)],
)
async def test_a_bad_websocket_handshake_is_refused_before_the_101(query: str, code: int) -> None:
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with engine_place() as place:
        answer = await place.http.get(place.url(query), headers=upgrade)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_session_is_opened_with_get_only(method: str) -> None:
    async with engine_place() as place:
        answer = await place.http.request(method, place.url(POLLING))
        assert (answer.status_code, answer.json()["code"]) == (400, 2)


# --- messages


async def test_polling_echoes_one_and_several_texts() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        assert (await place.post(f"{POLLING}&sid={sid}", "4hello")).text == "ok"
        assert (await place.get(f"{POLLING}&sid={sid}")).text == "4hello"
        await place.post(f"{POLLING}&sid={sid}", "4one\x1e4two\x1e4thrée")
        assert (await place.get(f"{POLLING}&sid={sid}")).text == "4one\x1e4two\x1e4thrée"


async def test_polling_echoes_text_and_binary() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        await place.post(f"{POLLING}&sid={sid}", "4hello\x1ebAQIDBA==")
        assert (await place.get(f"{POLLING}&sid={sid}")).text == "4hello\x1ebAQIDBA=="


@pytest.mark.parametrize("text", ['{"a": 1}', '"abc"', "  spaced ", "é🙂\u2028", ""])
async def test_texts_are_transparent_to_the_byte(text: str) -> None:
    async with engine_place() as place, place.websocket() as socket:
        await receive(socket)
        await socket.send_message("4" + text)
        assert await receive(socket) == "4" + text


async def test_a_websocket_echoes_binary() -> None:
    async with engine_place() as place, place.websocket() as socket:
        await receive(socket)
        await socket.send_message(b"\x01\x02\x03")
        assert await receive(socket) == b"\x01\x02\x03"


async def test_more_packets_than_other_servers_take_in_one_payload() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        payload = "\x1e".join(f"4{n}" for n in range(100))
        await place.post(f"{POLLING}&sid={sid}", payload)
        polls = [(await place.get(f"{POLLING}&sid={sid}")).text.split("\x1e") for _ in range(7)]
        assert [len(one) for one in polls] == [16] * 6 + [4]  # as many as python-engineio's clients take in one answer
        assert "\x1e".join(packet for one in polls for packet in one) == payload


async def test_an_invalid_packet_closes_the_session() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        assert (await place.post(f"{POLLING}&sid={sid}", "abc")).status_code == 400
        assert (await place.get(f"{POLLING}&sid={sid}")).status_code == 400
        async with place.websocket() as socket:
            await receive(socket)
            await socket.send_message("abc")
            assert await closed(socket)


async def test_two_polls_at_once_end_the_session() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        answers: list[int] = []

        async def poll() -> None:
            answers.append((await place.get(f"{POLLING}&sid={sid}")).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await trio.sleep(0.05)
            nursery.start_soon(poll)
        assert sorted(answers) == [200, 400]
        assert (await place.get(f"{POLLING}&sid={sid}")).status_code == 400


async def test_a_payload_over_the_limit_is_413_and_a_message_over_it_closes_with_1009() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        assert (await place.post(f"{POLLING}&sid={sid}", "4" + "x" * 1_000_001)).status_code == 413
        async with place.websocket() as socket:
            await receive(socket)
            await socket.send_message("4" + "x" * 1_000_001)
            with pytest.raises(ConnectionClosed) as caught, trio.fail_after(5):
                while True:
                    await socket.get_message()
            assert caught.value.reason is not None
            assert caught.value.reason.code == 1009
            assert not caught.value.reason.reason  # the handshake has said the limit


# --- heartbeat


async def test_the_server_pings_and_a_silent_poller_is_gone() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        for _ in range(3):
            assert (await place.get(f"{POLLING}&sid={sid}")).text == "2"
            assert (await place.post(f"{POLLING}&sid={sid}", "3")).status_code == 200
        sid = await place.polling()
        await trio.sleep(0.51)
        assert (await place.get(f"{POLLING}&sid={sid}")).status_code == 400


async def test_the_server_pings_and_a_silent_websocket_is_closed() -> None:
    async with engine_place() as place, place.websocket() as socket:
        assert (await socket.get_message())[0] == "0"
        assert await socket.get_message() == "2"
        await socket.send_message("3")
        assert await socket.get_message() == "2"
        with pytest.raises(ConnectionClosed), trio.fail_after(2):
            await socket.get_message()


# --- close


async def test_a_close_packet_ends_polling_with_a_noop() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        answers: list[str] = []

        async def poll() -> None:
            answers.append((await place.get(f"{POLLING}&sid={sid}")).text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await trio.sleep(0.05)
            await place.post(f"{POLLING}&sid={sid}", "1")
        assert answers == ["6"]
        assert (await place.get(f"{POLLING}&sid={sid}")).status_code == 400


async def test_a_close_packet_ends_a_websocket() -> None:
    async with engine_place() as place, place.websocket() as socket:
        await receive(socket)
        await socket.send_message("1")
        assert await closed(socket)


# --- upgrade


async def test_polling_upgrades_to_a_websocket_and_nothing_is_lost() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        await place.post(f"{POLLING}&sid={sid}", "4before")
        async with place.websocket(f"{WEBSOCKET}&sid={sid}") as socket:
            await socket.send_message("2probe")
            assert await receive(socket) == "3probe"
            await socket.send_message("5")
            assert await receive(socket) == "4before"
            await socket.send_message("4hello")
            assert await receive(socket) == "4hello"
            assert (await place.get(f"{POLLING}&sid={sid}")).status_code == 400
            await socket.send_message("4still")
            assert await receive(socket) == "4still"


async def test_a_waiting_poll_is_released_by_the_probe() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        answers: list[str] = []

        async def poll() -> None:
            answers.append((await place.get(f"{POLLING}&sid={sid}")).text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await trio.sleep(0.02)
            async with place.websocket(f"{WEBSOCKET}&sid={sid}") as socket:
                await socket.send_message("2probe")
                assert await receive(socket) == "3probe"
                with trio.fail_after(2):
                    while not answers:
                        await trio.sleep(0.01)
                await socket.send_message("5")
        assert answers == ["6"]


async def test_a_second_websocket_for_one_session_is_opened_and_closed() -> None:
    async with engine_place() as place:
        sid = await place.polling()
        async with place.websocket(f"{WEBSOCKET}&sid={sid}") as socket:
            await socket.send_message("2probe")
            await receive(socket)
            await socket.send_message("5")
            async with place.websocket(f"{WEBSOCKET}&sid={sid}") as second:
                assert await closed(second)
            await socket.send_message("4hello")
            assert await receive(socket) == "4hello"
