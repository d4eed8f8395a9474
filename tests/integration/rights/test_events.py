"""Every Socket.IO event and control message × every kind of token × scope × role × village, over the real doors.

As for operations: what is there comes from the tables of the contract (`PAYLOADS`, `CONTROL_MESSAGES`), and who may say
it follows from the scope and the field that each declares.
"""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio_websocket import ConnectionRejected

from tests.integration.rights.expected import Asker, Place, about, expected_event
from tests.integration.rights.world import World, open_world
from tests.support.doorway import websocket
from tests.support.people import Live, Refused, connected
from tests.support.villages import Joined, VillageRunner, connect
from townwatch.contracts.control import CONTROL_MESSAGES, TerminalCommand, Unsubscribe
from townwatch.contracts.joins import PAYLOADS

FIELDS: dict[str, dict[str, Any]] = {
    "leave_village": {"villageId": "v_in_private"},
    "leave_agent": {"agentId": "a"},
    "leave_repo": {"repoId": "r"},
    "terminal_input": {"data": "x"},
    "terminal_resize": {"cols": 80, "rows": 24},
    "keyboard": {"action": "take"},
}
"""What an event needs beside the field that says what it is about."""
NO = {"E_FORBIDDEN", "E_UNAUTH"}
NOT_DONE = {"FORBIDDEN", "NOT_SUBSCRIBED"}
FIRST = "authenticate"


def of_people(world: World, *, anonymous: bool) -> list[Asker]:
    return [one for one in world.askers if one.is_person or (anonymous and one.kind == "none")]


@pytest.mark.timeout(300)
async def test_every_event_over_socketio_is_for_whom_it_declares(tmp_path: Path) -> None:
    wrong: list[str] = []
    async with open_world(tmp_path) as world:
        for asker in of_people(world, anonymous=True):
            async with connected(world.town, "socketio", asker.token) as live:
                wrong += await _all_events(world, asker, live)
    assert wrong == [], "\n".join(wrong[:40])


async def _all_events(world: World, asker: Asker, live: Live) -> list[str]:
    wrong: list[str] = []
    for name, said in PAYLOADS.items():
        for place in world.places if said.about is not None else [None]:
            payload = {**FIELDS.get(name, {}), **(about(said, place) if place is not None else {})}
            ack = await live.emit(name, payload)
            code = ack.get("error", {}).get("code")
            assert code not in ("E_BAD_PAYLOAD", "E_RATE_LIMIT", "E_INTERNAL"), (name, ack)
            must = expected_event(said.scope, asker, place)
            if (code not in NO) is not must:
                wrong.append(f"{asker.name}: {name} {payload}: {ack}, must be {'done' if must else 'refused'}")
    hidden = [mark for mark in world.hidden_from(asker) if mark in json.dumps(live.heard)]
    return wrong + [f"{asker.name} heard of {mark}" for mark in hidden]


@pytest.mark.timeout(300)
async def test_every_control_message_is_for_whom_it_declares(tmp_path: Path) -> None:
    wrong: list[str] = []
    async with open_world(tmp_path) as world:
        for asker in of_people(world, anonymous=False):
            async with connected(world.town, "control", asker.token) as live:
                wrong += await _all_messages(world, asker, live)
    assert wrong == [], "\n".join(wrong[:40])


async def _all_messages(world: World, asker: Asker, live: Live) -> list[str]:
    wrong: list[str] = []
    order = sorted(CONTROL_MESSAGES, key=lambda cls: (cls is Unsubscribe, cls is TerminalCommand))
    for said in order:
        names = attrs.fields_dict(said)
        topics = [topic for topic in ("session_id", "runner_id") if topic in names]
        for topic in topics or [None]:
            for place in world.places if topic is not None else [None]:
                if said.TYPE == FIRST:
                    continue
                message = {"type": said.TYPE, **_named(topic, place)}
                if said is TerminalCommand:
                    message |= {"action": "input", "data": "x"}
                answer = await _answer(live, message)
                done = answer.get("code") not in NOT_DONE
                # A subscription is ended for whoever does not have it: that shows and does nothing.
                must = expected_event(said.SCOPE, asker, None if said is Unsubscribe else place)
                if done is not must:
                    wrong.append(f"{asker.name}: {message}: {answer}, must be {'done' if must else 'refused'}")
    return wrong


def _named(topic: str | None, place: Place | None) -> dict[str, Any]:
    if place is None:
        return {}
    return {"sessionId": place.session} if topic == "session_id" else {"runnerId": place.runner}


async def _answer(live: Live, message: dict[str, Any]) -> dict[str, Any]:
    """The error that the message met, else what came. A ping behind it marks its end."""
    await live.socket.send_message(json.dumps(message))
    await live.socket.send_message(json.dumps({"type": "ping"}))
    pongs = 2 if message["type"] == "ping" else 1
    found: dict[str, Any] = {}
    with trio.fail_after(10):
        while pongs:
            heard = json.loads(await live.socket.get_message())
            if heard["type"] == "pong":
                pongs -= 1
            elif heard["type"] == "error" or not found:
                found = heard
    assert found.get("code") not in ("INVALID_MESSAGE", "UNKNOWN_MESSAGE_TYPE", "RATE_LIMIT"), (message, found)
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["socketio", "control"])
async def test_what_is_no_persons_token_opens_no_connection_of_a_person(tmp_path: Path, kind: Any) -> None:
    async with open_world(tmp_path) as world:
        for asker in world.askers:
            if asker.is_person or (asker.kind == "none" and kind == "socketio"):
                continue
            let_in = True
            try:
                async with connected(world.town, kind, asker.token):
                    pass
            except* Refused:
                let_in = False
            assert not let_in, asker.name


async def test_the_runners_door_is_for_runners_tokens(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        port = int(world.town.url.rpartition(":")[2])
        for asker in world.askers:
            headers = {} if asker.token is None else {"authorization": f"Bearer {asker.token}"}
            let_in = True
            try:
                async with websocket(port, "/runner", headers=headers):
                    pass
            except ConnectionRejected as rejected:
                assert rejected.status_code == 401
                let_in = False
            assert let_in is (asker.kind == "runner"), asker.name


async def test_every_runner_speaks_in_its_own_villages_only(tmp_path: Path) -> None:
    """Each runner × each village: a session that it begins there, and what it says of the one that is there, under that
    village's name and under its own. What is refused is not stored.
    """
    wrong: list[str] = []
    async with open_world(tmp_path) as world:
        for asker in [one for one in world.askers if one.kind == "runner"]:
            (home,) = [place for place in world.places if place.runner == asker.runner]
            assert asker.token is not None and asker.runner is not None
            mine = [{"sessionId": home.session, "firstSeq": 1, "lastSeq": 1, "state": "RUNNING"}]
            async with connect(world.town, Joined(asker.runner, asker.token, home.village), mine) as runner:
                for place in world.places:
                    must = place is home
                    new = f"new_{asker.runner}_{place.village}"
                    for session, seq, village in (
                        (new, 1, place.village),
                        (place.session, 2, place.village),
                        (place.session, 3, home.village),
                    ):
                        runner.village = village
                        said = runner.started(new) if session == new else runner.chunk(session, seq, "said")
                        await runner.send(said)
                        if (await _ack_or_nack(runner, session, seq)) is not must:
                            wrong.append(f"{asker.name}: {session} as {village}, must be taken: {must}")
        stored = {one.session_id for one in world.town.service.context.board}
        wrong += [one for one in stored if one.startswith("new_") and not any(_began(one, p) for p in world.places)]
    assert wrong == [], "\n".join(wrong)


def _began(session: str, place: Place) -> bool:
    return session == f"new_{place.runner}_{place.village}"


async def _ack_or_nack(runner: VillageRunner, session: str, seq: int) -> bool:
    with trio.fail_after(10):
        while True:
            message = json.loads(await runner.socket.get_message())
            if message.get("type") in ("ack", "nack") and (message["sessionId"], message["seq"]) == (session, seq):
                return message["type"] == "ack"
