"""The keyboard of a session is a lease of one person, named to all; and who looks on is told."""

import json
from pathlib import Path
from typing import Any

import trio

from tests.integration.service.test_promises import ended, started
from tests.support.people import Live, connected, person, rest
from tests.support.service import open_town
from townwatch.actors.people import keyboard
from townwatch.actors.people.keyboard import GONE_MS, Keyboard, KeyboardHeld, Typist

ADA, BO = Typist(user_id="user_ada", name="Ada"), Typist(user_id="user_bo", name="Bo")


async def heard(live: Live, event: str, wanted: Any) -> Any:
    """Return the first payload of the event that fits, of those that came or will come."""
    with trio.fail_after(10):
        while True:
            for text in live.heard:
                if isinstance(text, str) and text.startswith(f'42["{event}"'):
                    payload = json.loads(text[2:])[1]
                    if wanted(payload):
                        live.heard.remove(text)
                        return payload
            live.heard.append(await live.next())


def holder(payload: dict[str, Any]) -> str | None:
    found = payload["holder"]
    return None if found is None else found["name"]


async def test_one_person_holds_it_and_all_know_who(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await runner.send(started())
        await runner.acked(1)
        agent = town.service.context.board.session("s1")
        assert agent is not None
        tokens = [await person(town, name, "operator") for name in ("ada", "bo")]
        looks = await person(town, "vi", "viewer")
        async with (
            connected(town, "socketio", tokens[0]) as ada,
            connected(town, "socketio", tokens[1]) as bo,
            connected(town, "socketio", looks) as vi,
        ):
            for live in (ada, bo, vi):
                assert (await live.emit("join_agent", {"agentId": agent.agent_id}))["ok"]

            async def act(live: Live, action: str, **more: Any) -> dict[str, Any]:
                return await live.emit("keyboard", {"sessionId": "s1", "action": action, **more})

            async def types(live: Live) -> str:
                answer = await live.emit("terminal_input", {"sessionId": "s1", "data": "x"})
                return "ok" if answer["ok"] else answer["error"]["code"]

            assert (await act(vi, "take"))["error"]["code"] == "E_FORBIDDEN"
            assert await types(bo) == "ok"  # it is free
            assert holder(await act(ada, "take")) == "Ada"
            for live in (bo, vi):
                await heard(live, "keyboard", lambda told: holder(told) == "Ada")
            assert await types(bo) == "E_CONFLICT"
            assert await types(ada) == "ok"
            resized = await bo.emit("terminal_resize", {"sessionId": "s1", "cols": 5, "rows": 5})
            assert resized["error"]["code"] == "E_CONFLICT"
            by_rest = await http.post("/api/runner/sessions/s1/input", json={"data": "x"})
            assert (by_rest.status_code, by_rest.json()["error"]["code"]) == (409, "E_KEYBOARD")

            refused = await act(bo, "take")
            assert (refused["error"]["code"], "Ada" in refused["error"]["message"]) == ("E_CONFLICT", True)
            await act(bo, "ask")
            await heard(ada, "keyboard", lambda told: [one["name"] for one in told["asking"]] == ["Bo"])
            assert (await act(ada, "offer", to="user_nobody"))["error"]["code"] == "E_CONFLICT"
            assert holder(await act(ada, "offer", to="user_bo")) == "Bo"
            assert (await act(bo, "take"))["asking"] == []
            assert await types(ada) == "E_CONFLICT"
            assert holder(await act(ada, "take", over=True)) == "Ada"
            there = await heard(vi, "presence", lambda told: any(one.get("drives") for one in told["people"]))
            assert [(one["name"], one["role"], one.get("drives")) for one in there["people"]] == [
                ("Ada", "operator", "s1"),
                ("Bo", "operator", None),
                ("Vi", "viewer", None),
            ]
            async with connected(town, "socketio", tokens[1]) as later:
                await later.emit("join_agent", {"agentId": agent.agent_id})
                await heard(later, "keyboard", lambda told: holder(told) == "Ada")
            await ada.socket.aclose()
            await heard(bo, "keyboard", lambda told: told.get("freeAt") is not None)
            await runner.send(ended(2))
            await heard(bo, "keyboard", lambda told: holder(told) is None)


def test_a_lease_ends_thirty_seconds_after_its_connection() -> None:
    held = keyboard.take(Keyboard(), ADA, "c1", 1000)
    assert keyboard.left(held, "c2", 2000) == held
    gone = keyboard.left(held, "c1", 2000)
    assert gone.lease is not None
    assert gone.lease.free_at == 2000 + GONE_MS
    assert keyboard.expire(gone, 2000 + GONE_MS - 1) == gone
    assert keyboard.expire(gone, 2000 + GONE_MS).lease is None
    back = keyboard.take(gone, ADA, "c3", 3000)
    assert back.lease is not None
    assert (back.lease.since, back.lease.free_at) == (1000, None)


def test_who_asks_is_listed_once_and_only_while_another_person_holds_it() -> None:
    assert keyboard.ask(Keyboard(), BO) == Keyboard()
    held = keyboard.take(Keyboard(), ADA, "c1", 1)
    asked = keyboard.ask(keyboard.ask(held, BO), BO)
    assert asked.asking == (BO,)
    assert keyboard.ask(held, ADA) == held
    assert keyboard.release(asked, "user_bo") == asked
    assert keyboard.release(asked, "user_ada") == Keyboard(turn=1)
    try:
        keyboard.offer(asked, "user_bo", BO, 2)
    except KeyboardHeld as error:
        assert "Ada" in str(error)
    else:
        raise AssertionError("only the holder hands it over")
