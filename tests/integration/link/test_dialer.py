"""The service dials out to a runner that listens."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketRequest, serve_websocket

from tests.integration.link.conftest import Runner, authenticate, granted
from tests.integration.link.helpers import chunk, seqs, until
from tests.support.links import link_settings
from townwatch.app.supervision_tree import LINKS
from townwatch.runtime import whereis
from townwatch.supervision import Backoff, Supervisor
from townwatch.transports.runners import DialTarget, LinkDeps, dial_specs, dialer


class Listening:
    """A runner that waits to be called. Keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.first_seq = 1
        self.done = trio.Event()

    async def answer(self, request: WebSocketRequest) -> None:
        self.calls.append({name.decode(): value.decode() for name, value in request.headers})
        runner = Runner(await request.accept(subprotocol="townwatch.runner.v1"))
        held = [{"sessionId": "s1", "firstSeq": 1, "lastSeq": self.first_seq, "state": "RUNNING"}]
        welcome = await runner.hello("far", sessions=held)
        await runner.send(chunk(welcome["sessions"][0]["resumeFrom"]))
        await runner.acked(welcome["sessions"][0]["resumeFrom"])
        if len(self.calls) < 3:
            await runner.ws.aclose(1001, "restarting")
        else:
            await self.done.wait()


@asynccontextmanager
async def dialling(house: Any, monkeypatch: pytest.MonkeyPatch, **target: Any) -> AsyncIterator[None]:
    monkeypatch.setattr(dialer, "BACKOFF", Backoff(base=0.01, cap=0.05))
    deps = LinkDeps(
        context=house.context, links=LINKS, authenticate=authenticate, grants=granted, settings=link_settings()
    )
    links = whereis(LINKS)
    assert links is not None
    (spec,) = dial_specs(deps, [DialTarget(**{"runner_id": "far", **target})])
    await Supervisor.start_child(links, spec)
    yield
    await Supervisor.terminate_child(links, spec.id)


async def test_a_runner_that_listens_is_called_and_called_again(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as h, trio.open_nursery() as nursery:
        far = Listening()
        server = await nursery.start(serve_websocket, far.answer, "127.0.0.1", 0, None)
        async with dialling(h, monkeypatch, url=f"ws://127.0.0.1:{server.port}/me?x=1", token="ours", runner_id="far"):
            await until(lambda: len(far.calls) == 3 and seqs(h) == [1, 2, 3])
        assert far.calls[0]["authorization"] == "Bearer ours"
        assert "origin" not in far.calls[0]
        nursery.cancel_scope.cancel()


async def test_the_first_call_that_fails_is_tried_again_like_any_other(
    house: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async with house() as h, trio.open_nursery() as nursery:
        listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener[0].socket.getsockname()[1]
        await listener[0].aclose()
        async with dialling(h, monkeypatch, url=f"ws://127.0.0.1:{port}/"):
            await trio.sleep(0.1)
            far = Listening()
            nursery.start_soon(serve_websocket, far.answer, "127.0.0.1", port, None)
            await until(lambda: seqs(h) == [1, 2, 3])
        nursery.cancel_scope.cancel()
    assert "Traceback" not in capfd.readouterr().out


async def test_a_peer_that_accepts_and_says_nothing_is_given_up(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own deadline hangs for ever here."""
    calls = 0

    async def silent(stream: trio.SocketStream) -> None:
        nonlocal calls
        calls += 1
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        await stream.aclose()

    monkeypatch.setattr(dialer, "DIAL_SECONDS", 0.05)
    async with house() as h, trio.open_nursery() as nursery:
        listener, *_ = await nursery.start(trio.serve_tcp, silent, 0)
        port = listener.socket.getsockname()[1]
        async with dialling(h, monkeypatch, url=f"ws://127.0.0.1:{port}/"):
            await until(lambda: calls >= 3)
        nursery.cancel_scope.cancel()


async def test_another_runner_than_the_one_called_is_turned_away(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    async def answer(request: WebSocketRequest) -> None:
        ws = await request.accept()
        await ws.send_message(json.dumps({"type": "hello", "runnerId": "impostor", "name": "x", "version": "1"}))
        told.append(json.loads(await ws.get_message()))

    async with house() as h, trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, answer, "127.0.0.1", 0, None)
        async with dialling(h, monkeypatch, url=f"ws://127.0.0.1:{server.port}/", runner_id="far"):
            await until(lambda: bool(told))
        assert told[0]["code"] == "E_FORBIDDEN"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("url", ["http://x/", "x:80", "ws://", ""])
def test_what_is_no_websocket_url_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"runners\.dial"):
        DialTarget(url=url, runner_id="r1")


def test_who_must_answer_is_named() -> None:
    """An address that anybody may answer at would be any runner's."""
    with pytest.raises(ValueError, match="has no runner_id"):
        DialTarget(url="ws://far/", runner_id="")
