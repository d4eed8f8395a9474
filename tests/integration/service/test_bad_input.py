"""What is wrong gets one clear line in the wire's own form, and nothing else stops."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from trio_websocket import ConnectionClosed

from tests.support import golden
from tests.support.people import connected, raw
from tests.support.service import open_town

ROW = next(row for row in golden.TABLE if row.name == "output")


async def test_a_malformed_event_is_refused_by_field_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        good = ROW.event(1)
        await runner.send(good, {**ROW.event(2), "data": 5})
        nack = await runner.next("nack")
        assert (nack["sessionId"], nack["seq"]) == (golden.SESSION, 2)
        assert "data" in nack["message"]
        await runner.send(ROW.event(3))
        await runner.acked(3)


async def test_an_event_type_that_cannot_be_one_is_refused_by_name(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send({**ROW.event(1), "type": "terminal chonk"})
        nack = await runner.next("nack")
        assert "terminal chonk" in nack["message"]


async def test_a_frame_that_is_not_json_says_so(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.say("{nonsense")
        error = await runner.next("error")
        assert error["code"] and "\n" not in error["message"]
    async with open_town(tmp_path / "again") as town, town.runner() as runner:  # and the service lives
        await runner.send(ROW.event(1))
        await runner.acked(1)


async def test_a_wrong_runner_token_is_a_401_without_the_token(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, httpx.AsyncClient() as http:
        upgrade = {
            "authorization": "Bearer twr_wrong",
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        answer = await http.get(f"{town.url}/runner", headers=upgrade)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "E_UNAUTH"
        assert "twr_wrong" not in answer.text


@pytest.mark.node
async def test_a_wrong_client_token_is_the_contracts_connect_error(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.client(token="nonsense") as client:
        refused = client.lines[-1]
        assert refused["error"] == "unauthorized: invalid token"
        assert refused["data"]["code"] == "WS_INVALID_TOKEN"


@pytest.mark.node
@pytest.mark.parametrize(
    ("payload", "named"),
    [({}, "villageId"), ({"villageId": 5}, "villageId"), ("demo", ""), (None, ""), ({"villageId": ""}, "villageId")],
)
async def test_a_bad_join_is_refused_in_the_ack_and_as_ws_error(tmp_path: Path, payload: Any, named: str) -> None:
    async with open_town(tmp_path) as town, town.client(joins=[["join_village", payload]]) as client:
        ack = next(line["ack"] for line in client.lines if "ack" in line)
        assert ack["ok"] is False
        assert ack["error"]["code"] == "E_BAD_PAYLOAD"
        assert named in ack["error"]["message"]
        said = next(line["args"][0] for line in client.lines if line.get("event") == "ws_error")
        assert said == ack


@pytest.mark.node
async def test_nobody_learns_whether_a_village_exists(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.client(token=None) as client:
        real = await client.emit("join_village", {"villageId": "demo"})
        imagined = await client.emit("join_village", {"villageId": "no-such-village"})
        assert real == imagined
        assert real["error"]["code"] == "E_FORBIDDEN"


@pytest.mark.node
async def test_the_21st_join_within_five_seconds_is_refused_and_says_when_to_try_again(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.client() as client:
        acks = [await client.emit("join_village", {"villageId": "demo"}) for _ in range(21)]
        assert [ack["ok"] for ack in acks] == [True] * 20 + [False]
        assert acks[20]["error"]["code"] == "E_RATE_LIMIT"
        assert 0 < acks[20]["error"]["retryAfter"] <= 5


@pytest.mark.node
async def test_the_eleventh_connection_of_a_person_is_refused_for_good(tmp_path: Path) -> None:
    from contextlib import AsyncExitStack

    async with open_town(tmp_path) as town, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(town.client()) for _ in range(11)]
        refused = [client.lines[-1] for client in clients if "error" in client.lines[-1]]
        assert len(refused) == 1
        assert refused[0]["data"]["code"] == "CONNECTION_LIMIT"
        assert refused[0]["data"]["retry"] is False


def start(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "townwatch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ})


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start("serve", f"--port={port}", folder=tmp_path)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"townwatch: 127.0.0.1:{port} is in use: stop what listens there, or choose another one with --port"
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[server]\nprot = 1\n", "[server] unknown option 'prot': did you mean 'port'?"),
        ('[server]\nport = "x"\n', "[server] port: must be a whole number, not 'x'"),
        ("[server\n", "Expected ']' at the end of a table declaration (at line 1, column 8)"),
    ],
)
def test_a_config_file_with_a_typo_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "townwatch.toml").write_text(text)
    done = start("serve", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"townwatch: townwatch.toml: {complaint}\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[database]\nurl = "mysql://x"\n', "database: mysql is not supported, use sqlite or postgresql"),
        (
            '[server]\ntls_certificate = "none.pem"\ntls_key = "none.key"\n',
            "none.pem, none.key: No such file or directory",
        ),
        (
            '[server]\npublic_url = "town.example"\n',
            "[server] public_url: 'town.example' is no address like https://town.example",
        ),
    ],
)
def test_another_state_directory_is_not_the_advice_for_a_setting(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "townwatch.toml").write_text(text)
    done = start("serve", "--port=0", f"--state-dir={tmp_path / 'state'}", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == f"townwatch: {complaint}"


async def test_a_stranger_sends_no_large_message_and_whoever_was_let_in_does(tmp_path: Path) -> None:
    """Thousands of connections may be open that have not said who they are; what each sends is kept in memory."""
    large = "42" + '["nothing","' + "x" * 100_000 + '"]'
    async with open_town(tmp_path) as town:
        async with raw(town, "/socket.io/?EIO=4&transport=websocket") as socket:
            await socket.get_message()
            await socket.send_message(large)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.get_message()
            assert closed.value.reason is not None and closed.value.reason.code == 1009
        async with connected(town, "socketio", town.token) as live:
            await live.socket.send_message(large)
            assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
