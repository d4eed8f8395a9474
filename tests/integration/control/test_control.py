"""The control-plane WebSocket, message by message (CONTRACT section 4), over real sockets."""

import json
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionRejected

from tests.support.cast import event
from townwatch.actors import messages as m
from townwatch.app.supervision_tree import CLIENTS
from townwatch.runtime import whereis
from townwatch.supervision import Supervisor
from townwatch.transports.websocket.socket import SocketLimits

APPROVAL = {
    "approvalId": "a1", "sessionId": "s1", "category": "shell", "summary": "rm -rf build/", "risk": "high",
    "requestedAt": 1_764_000_000_000,
}  # fmt: skip
USAGE = {"agentSeconds": 1, "terminalKb": 1, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}


def chunk(seq: int, text: str = "x") -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, data=text, stream="stdout")


# --- who is it ---------------------------------------------------------------------------------------


async def test_connected_then_authenticated(house: Any) -> None:
    async with house() as h, h.client() as client:
        await client.say("authenticate", token="ada-token", userId="ada")
        assert await client.hear() == {"type": "event", "event": "authenticated", "data": {"userId": "ada"}}


@pytest.mark.parametrize(
    "fields",
    [{"token": "wrong"}, {"token": "ada-token", "userId": "bob"}, {"token": "nobody-token"}, {"token": ""}],
)
async def test_a_token_that_is_not_good_fails_and_the_next_may_be(house: Any, fields: dict[str, str]) -> None:
    async with house() as h, h.client() as client:
        await client.say("authenticate", **fields)
        assert await client.error() == "AUTH_FAILED"
        await client.sign_in()


async def test_who_does_not_authenticate_in_time_is_closed_with_1008(house: Any) -> None:
    async with house(authenticate=0.05) as h, h.client() as client:
        assert (await client.closed())[0] == 1008


async def test_the_eleventh_connection_of_a_person_stays_open_without_authentication(house: Any) -> None:
    async with house() as h, trio.open_nursery() as nursery:
        opened = 0
        done, all_open = trio.Event(), trio.Event()

        async def one() -> None:
            nonlocal opened
            async with h.client("ada-token"):
                opened += 1
                if opened == 10:
                    all_open.set()
                await done.wait()

        for _ in range(10):
            nursery.start_soon(one)
        await all_open.wait()
        async with h.client() as client:
            await client.say("authenticate", token="ada-token")
            assert await client.error() == "CONNECTION_LIMIT"
            await client.say("subscribe", sessionId="s1")
            assert await client.error() == "NOT_AUTHENTICATED"
            await client.sign_in("bob-token")
        done.set()


async def test_a_storm_of_500_attempts_never_makes_more_than_10(house: Any) -> None:
    async with house() as h, trio.open_nursery() as nursery:
        outcomes: list[str] = []
        done = trio.Event()

        async def one() -> None:
            async with h.client() as client:
                await client.say("authenticate", token="ada-token")
                heard = await client.hear()
                outcomes.append(heard.get("event") or heard["code"])
                clients = whereis(CLIENTS)
                assert clients is not None
                assert (await Supervisor.count_children(clients)).active <= 10
                await done.wait()

        for _ in range(500):
            nursery.start_soon(one)
        while (answered := len(outcomes)) < 500:  # as long as it takes, so long as it goes on
            with trio.fail_after(30):
                while len(outcomes) == answered:
                    await trio.sleep(0.01)
        done.set()
        assert sorted(set(outcomes)) == ["CONNECTION_LIMIT", "authenticated"]
        assert outcomes.count("authenticated") == 10


async def test_a_place_is_free_again_when_its_connection_is_gone(house: Any) -> None:
    async with house() as h:
        for _ in range(25):
            async with h.client("ada-token"):
                pass
        with trio.fail_after(5):
            while (await Supervisor.count_children(whereis(CLIENTS))).active:  # pyright: ignore
                await trio.sleep(0.002)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://here.example.evil.example"])
async def test_pages_of_other_origins_are_refused_before_the_upgrade(house: Any, origin: str) -> None:
    async with house() as h:
        with pytest.raises(ConnectionRejected) as refused:
            async with h.client(Origin=origin):
                pass
        assert refused.value.status_code == 403
        async with h.client("ada-token", Origin="http://here.example"):
            pass


# --- what is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not json", "INVALID_MESSAGE"),
        ("[1]", "INVALID_MESSAGE"),
        ('"text"', "INVALID_MESSAGE"),
        ("null", "INVALID_MESSAGE"),
        ("[" * 5000, "INVALID_MESSAGE"),
        (b"\x00\x01", "INVALID_MESSAGE"),
        ("{}", "UNKNOWN_MESSAGE_TYPE"),
        ('{"type": "dance"}', "UNKNOWN_MESSAGE_TYPE"),
        ('{"type": 7}', "UNKNOWN_MESSAGE_TYPE"),
        ('{"type": ["ping"]}', "UNKNOWN_MESSAGE_TYPE"),
        ('{"type": "subscribe"}', "INVALID_MESSAGE"),
        ('{"type": "subscribe", "sessionId": 5}', "INVALID_MESSAGE"),
        ('{"type": "terminal", "sessionId": "s1", "action": "explode", "data": ""}', "INVALID_MESSAGE"),
    ],
)
async def test_what_cannot_be_understood_is_an_error_and_nothing_stops(
    house: Any, before: bool, text: str | bytes, code: str
) -> None:
    async with house() as h, h.client(None if before else "ada-token") as client:
        await client.ws.send_message(text)
        assert await client.error() == code
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}


@pytest.mark.parametrize(
    "message", [{"type": "subscribe", "sessionId": "s1"}, {"type": "unsubscribe", "runnerId": "r1"}]
)
async def test_strangers_may_not(house: Any, message: dict[str, str]) -> None:
    async with house() as h, h.client() as client:
        await client.ws.send_message(json.dumps(message))
        assert await client.error() == "NOT_AUTHENTICATED"


async def test_a_message_over_1_mib_closes_with_1009(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await client.say("ping", padding="x" * (1 << 20))
        assert (await client.closed())[0] == 1009


async def test_a_message_of_many_bytes_in_few_characters_is_too_large_too(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await client.ws.send_message('{"type": "ping", "padding": "' + "€" * 400_000 + '"}')
        assert (await client.closed())[0] == 1009


async def test_a_flood_of_frames_closes_with_1008(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        for _ in range(5000):
            try:
                await client.say("ping")
            except Exception:
                break
        assert (await client.closed())[0] in (1008, 1006)


# --- what is heard -----------------------------------------------------------------------------------


async def test_a_session_is_heard_from_its_subscription_on(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(chunk(1, "before"))
        await client.subscribe()
        await h.happen(
            event("SESSION_STATE_CHANGED", 2, previousState="STARTING_PROVIDER", newState="RUNNING"),
            chunk(3, "hello"),
            event("APPROVAL_REQUESTED", 4, approval=APPROVAL),
            event("FILE_TOUCHED", 5, path="a.py", reason="write"),
            event("SESSION_ENDED", 6, finalState="COMPLETED", exitCode=0, totalDurationMs=5, totalUsage=USAGE),
        )
        heard = [await client.hear() for _ in range(5)]
    assert heard == [
        {"type": "session", "sessionId": "s1", "action": "state_change",
         "data": {"state": "RUNNING", "previousState": "STARTING_PROVIDER"}},
        {"type": "session", "sessionId": "s1", "action": "output", "data": {"output": "hello", "stream": "stdout"}},
        {"type": "terminal", "sessionId": "s1", "action": "output", "data": "hello"},
        {"type": "session", "sessionId": "s1", "action": "approval_request",
         "data": {"requestId": "a1", "action": "shell", "details": APPROVAL}},
        {"type": "session", "sessionId": "s1", "action": "completed",
         "data": {"finalState": "COMPLETED", "exitCode": 0, "totalDurationMs": 5}},
    ]  # fmt: skip


async def test_the_timestamp_is_the_events_own(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(chunk(1))
        await client.subscribe()
        await h.happen(chunk(2))
        assert json.loads(await client.ws.get_message())["timestamp"] == "2025-11-24T16:00:00.002Z"


async def test_what_waits_for_a_decision_is_told_to_who_comes_later(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(event("APPROVAL_REQUESTED", 1, approval=APPROVAL))
        await client.subscribe()
        assert (await client.hear())["data"]["requestId"] == "a1"


async def test_unsubscribed_is_silent(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(chunk(1))
        await client.subscribe()
        await client.say("unsubscribe", sessionId="s1")
        assert await client.hear() == {"type": "event", "event": "unsubscribed", "data": {"sessionId": "s1"}}
        await h.happen(chunk(2))
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}


async def test_a_session_that_one_may_not_see_and_one_that_is_not_are_the_same(house: Any) -> None:
    async with house() as h, h.client("bob-token") as client:
        await h.happen(chunk(1))
        h.rights.readers.discard("bob")
        answers: list[Any] = []
        for session_id in ("s1", "no-such-session"):
            await client.say("subscribe", sessionId=session_id)
            answers.append(await client.hear())
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "FORBIDDEN"


async def test_who_loses_the_right_hears_no_more(house: Any) -> None:
    async with house() as h, h.client("bob-token") as client:
        await h.happen(chunk(1))
        await client.subscribe()
        h.rights.readers.discard("bob")
        for ref in h.cast.context.directory.clients.values():
            ref.tell(m.RecheckAccess())
        assert (await client.hear())["event"] == "unsubscribed"
        await h.happen(chunk(2))
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}


async def test_a_runner_that_comes_is_told_to_who_follows_it(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(chunk(1))
        await client.say("subscribe", runnerId="r1")
        assert await client.hear() == {"type": "event", "event": "subscribed", "data": {"runnerId": "r1"}}
        await h.runner()
        assert await client.hear() == {
            "type": "event", "event": "runner_status", "data": {"runnerId": "r1", "status": "online"},
        }  # fmt: skip


# --- what is done ------------------------------------------------------------------------------------


async def test_input_and_size_reach_the_runner(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(chunk(1))
        link = await h.runner()
        await client.subscribe()
        await client.say("terminal", sessionId="s1", action="input", data="ls\r")
        await client.say("terminal", sessionId="s1", action="resize", data={"cols": 100, "rows": 30})
        with trio.fail_after(5):
            while len(orders := (await link.get_state())["orders"]) < 2:
                await trio.sleep(0.002)
        assert [(o.command, o.data, o.cols, o.rows) for o in orders] == [
            ("input", "ls\r", None, None), ("resize", None, 100, 30),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "subscribed", "message", "code"),
    [
        ("ada-token", False, {"action": "input", "data": "x"}, "NOT_SUBSCRIBED"),
        ("bob-token", True, {"action": "input", "data": "x"}, "FORBIDDEN"),
        ("bob-token", True, {"action": "resize", "data": {"cols": 1, "rows": 1}}, "FORBIDDEN"),
        ("ada-token", True, {"action": "input", "data": 5}, "INVALID_MESSAGE"),
        ("ada-token", True, {"action": "resize", "data": {"cols": 0, "rows": 1}}, "INVALID_MESSAGE"),
        ("ada-token", True, {"action": "resize", "data": {"cols": True, "rows": 1}}, "INVALID_MESSAGE"),
        ("ada-token", True, {"action": "resize", "data": "80x24"}, "INVALID_MESSAGE"),
        ("ada-token", True, {"action": "input", "data": "x"}, "UNAVAILABLE"),
    ],
)
async def test_what_may_not_be_done_says_why(
    house: Any, token: str, subscribed: bool, message: dict[str, Any], code: str
) -> None:
    async with house() as h, h.client(token) as client:
        await h.happen(chunk(1))
        if subscribed:
            await client.subscribe()
        await client.say("terminal", sessionId="s1", **message)
        assert await client.error() == code


# --- to many, and to the end -------------------------------------------------------------------------


async def test_a_broadcast_reaches_the_authenticated_only(house: Any) -> None:
    async with house() as h, h.client("ada-token") as ada, h.client("bob-token") as bob, h.client() as stranger:
        assert h.door.broadcast({"type": "event", "event": "notice", "data": {"text": "hello"}}) == 2
        assert h.door.to_user("bob", {"type": "event", "event": "notice", "data": {"text": "bob"}}) == 1
        assert (await ada.hear())["data"] == {"text": "hello"}
        assert [(await bob.hear())["data"]["text"] for _ in range(2)] == ["hello", "bob"]
        await stranger.say("ping")
        assert await stranger.hear() == {"type": "pong"}


async def test_shutdown_says_1001_to_everybody(house: Any) -> None:
    async with house() as h, h.client("ada-token") as ada, h.client() as stranger:
        h.door.shutdown()
        assert (await ada.closed())[0] == (await stranger.closed())[0] == 1001


async def test_when_its_supervisor_stops_a_client_is_told(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        clients = whereis(CLIENTS)
        assert clients is not None
        clients.request_stop()
        assert (await client.closed())[0] == 1001


async def test_who_is_killed_leaves_no_listener_and_no_connection(house: Any) -> None:
    async with house() as h, h.client("ada-token") as client:
        await h.happen(chunk(1))
        await client.subscribe()
        (ref,) = h.cast.context.directory.clients.values()
        ref.exit("killed")
        assert (await client.closed())[0] == 1006
        assert not h.cast.context.directory.clients
        await h.happen(chunk(2))
    assert not h.cast.context.subscriptions._listeners


async def test_a_silent_client_is_closed_with_1001(house: Any) -> None:
    async with house(socket=SocketLimits(ping=10, silent=0.1)) as h, h.client("ada-token") as client:
        assert (await client.closed())[0] == 1001


async def test_who_answers_pings_stays(house: Any) -> None:
    async with house(socket=SocketLimits(ping=0.03, silent=0.3)) as h, h.client("ada-token") as client:
        await trio.sleep(0.6)
        await client.say("ping")
        assert await client.hear() == {"type": "pong"}


async def never(_max_bytes: int | None = None) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


async def test_who_does_not_read_is_closed_and_nobody_waits_for_it(house: Any) -> None:
    limits = SocketLimits(outbox_bytes=200_000, send=0.5, close=0.2)
    async with house(socket=limits) as h, h.client("ada-token") as slow, h.client("ada-token") as quick:
        await h.happen(chunk(1))
        await slow.subscribe()
        await quick.subscribe()
        slow.ws._stream.receive_some = never  # it stops reading
        for seq in range(2, 402):
            await h.happen(chunk(seq, "y" * 20_000))
            for _ in range(2):
                await quick.hear()
        with trio.fail_after(5):
            while len(h.cast.context.directory.clients) > 1:
                await trio.sleep(0.01)
