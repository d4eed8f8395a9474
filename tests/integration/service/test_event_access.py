"""Every event that a client can say × everybody who could say it, over Socket.IO and the control plane alike.

Complete by construction: an event without a row fails, and so does one that lets in who is not named. The village is
not public. A stranger who guesses right is answered exactly like one who guesses an id that is not there.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.cast import event
from tests.support.people import KINDS, Kind, Refused, connected, person
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.access.bootstrap import OWNER_ID
from townwatch.access.grants import grant_api_token, grant_runner_token
from townwatch.access.subject import ALL_SCOPES
from townwatch.contracts.control import CONTROL_TYPES
from townwatch.contracts.joins import PAYLOADS
from townwatch.contracts.ui import repo_id

STARTED = event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/src/app")
ASKERS = ("owner", "operator", "viewer", "reader", "stranger", "nobody")
"""reader: an owner's token that may only read. nobody: without a token."""
READ = {"owner", "operator", "viewer", "reader"}
DRIVE = {"owner", "operator"}
EVERYBODY = set(ASKERS)
IDS = {
    "villageId": ("demo", "nowhere"),
    "agentId": ("runner_s1", "runner_none"),
    "repoId": (repo_id("demo", "/src/app"), "house_000000000000"),
    "sessionId": ("s1", "none"),
}
"""What is there, and what is not."""
TABLE: dict[str, tuple[set[str], dict[str, Any]]] = {
    "join_village": (READ, {"villageId": ...}),
    "join_agent": (READ, {"agentId": ..., "terminal": True}),
    "join_repo": (READ, {"repoId": ...}),
    "join": (READ, {"villageId": ..., "agents": ["runner_s1"]}),
    "leave_village": (EVERYBODY, {"villageId": ...}),
    "leave_agent": (EVERYBODY, {"agentId": ...}),
    "leave_repo": (EVERYBODY, {"repoId": ...}),
    "terminal_input": (DRIVE, {"sessionId": ..., "data": "x"}),
    "terminal_resize": (DRIVE, {"sessionId": ..., "cols": 80, "rows": 24}),
    "keyboard": (DRIVE, {"sessionId": ..., "action": "take"}),
}
CONTROL: dict[str, tuple[set[str], dict[str, Any]]] = {
    "subscribe": (READ, {"sessionId": ...}),
    "unsubscribe": (EVERYBODY, {"sessionId": ...}),
    "terminal": (DRIVE, {"sessionId": ..., "action": "input", "data": "x"}),
    "ping": (EVERYBODY, {}),
}
BEFORE = {"authenticate"}
"""What makes somebody out of nobody: tested where tokens are."""


def test_the_tables_have_every_event() -> None:
    assert set(TABLE) == set(PAYLOADS)
    assert set(CONTROL) | BEFORE == CONTROL_TYPES


@asynccontextmanager
async def village(folder: Path) -> AsyncGenerator[tuple[Town, ScriptedRunner, dict[str, str | None]]]:
    """A village with a session, and everybody's token."""
    async with open_town(folder) as town, town.runner() as runner:
        repo = {"provider": "local", "path": "/src/app"}
        await runner.send({**STARTED, "repoRef": repo})
        await runner.acked(1)
        tokens: dict[str, str | None] = {
            role: await person(town, f"the_{role}", role) for role in ("owner", "operator", "viewer")
        }
        tokens |= {"stranger": await person(town, "stranger"), "nobody": None}
        tokens["reader"] = await person(town, "reader", "owner", scopes=frozenset({"read"}))
        now = town.service.context.clock.now_ms()
        own = await town.service.database.call(grant_api_token, OWNER_ID, "a", ALL_SCOPES, now, None, "s1")
        tokens["agent"] = own.token
        tokens["runner"] = (await town.service.database.call(grant_runner_token, "runner_local", now)).token
        yield town, runner, tokens


def filled(payload: dict[str, Any], known: bool) -> dict[str, Any]:
    """With an id that is there, or with one that is not."""
    return {name: IDS[name][0 if known else 1] if value is ... else value for name, value in payload.items()}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_sessions_own_token_and_a_runners_open_no_connection_of_a_person(tmp_path: Path, kind: Kind) -> None:
    async with village(tmp_path) as (town, _, tokens):
        for who in ("agent", "runner"):
            let_in = True
            try:
                async with connected(town, kind, tokens[who]):
                    pass
            except* Refused:
                let_in = False
            assert not let_in, who


@pytest.mark.parametrize("who", ASKERS)
async def test_who_may_say_what_over_socketio(tmp_path: Path, who: str) -> None:
    wrong: dict[str, Any] = {}
    async with village(tmp_path) as (town, runner, tokens), connected(town, "socketio", tokens[who]) as live:
        for name, (allowed, payload) in TABLE.items():
            ack = await live.emit(name, filled(payload, known=True))
            if ack["ok"] is not (who in allowed):
                wrong[name] = ack
            if who not in allowed and who not in READ:
                guess = await live.emit(name, filled(payload, known=False))
                hidden = [json.dumps(one["error"]).replace(IDS[key][n], "ID") for n, one in enumerate((ack, guess))
                          for key in payload if payload[key] is ...]  # fmt: skip
                if hidden[0] != hidden[1]:
                    wrong[f"{name} tells"] = hidden
        assert wrong == {}
        told = await commands(runner)
        assert (told != []) is (who in DRIVE)
        rooms = town.service.server.rooms
        everywhere = {room for one in town.service.context.directory.clients for room in rooms(one) if room != one}
        assert everywhere == set()  # everybody left again what they had joined


@pytest.mark.parametrize("who", [one for one in ASKERS if one != "nobody"])
async def test_who_may_say_what_over_the_control_plane(tmp_path: Path, who: str) -> None:
    wrong: dict[str, Any] = {}
    async with village(tmp_path) as (town, runner, tokens), connected(town, "control", tokens[who]) as live:
        order = ("subscribe", "terminal", "unsubscribe", "ping")
        assert set(order) == set(CONTROL)
        for name in order:
            allowed, payload = CONTROL[name]
            if name == "terminal":
                await live.socket.send_message(json.dumps({"type": name, **filled(payload, known=True)}))
                answer = await live.say("ping")  # what was done is not answered; what was not, before this
            else:
                answer = await live.say(name, **filled(payload, known=True))
            if (answer["type"] != "error") is not (who in allowed):
                wrong[name] = answer
            if answer["type"] == "error" and name == "terminal":
                await live.next()
            if who not in READ and who not in allowed and name == "subscribe":
                guess = await live.say(name, **filled(payload, known=False))
                if {**guess, "timestamp": 0} != {**answer, "timestamp": 0}:
                    wrong[f"{name} tells"] = (answer, guess)
        assert wrong == {}
        assert (await commands(runner) != []) is (who in DRIVE)


async def commands(runner: ScriptedRunner) -> list[dict[str, Any]]:
    """What reached the runner."""
    found: list[dict[str, Any]] = []
    with trio.move_on_after(0.2):
        while True:
            found.append(await runner.next("command"))
    return found
