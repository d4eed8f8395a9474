"""Fixtures for tests of actors and supervisors: a world that leaves nothing behind, and the law of conservation.

Use them with `from tests.support.actors import *` in a conftest.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
import trio
from pykka import ActorRegistry

from actors.runtime import TrioActor, World, dead_letters, open_world, telemetry
from actors.runtime._mailbox import Mailbox

__all__ = ["Crash", "Recorder", "conservation", "events", "quiet", "world"]


class Crash(Exception):
    """What actors of these tests die of."""


class Recorder(TrioActor):
    """Writes down what it gets; the obvious words make it crash, hang, and so on."""

    def __init__(self, trace: list[Any] | None = None) -> None:
        super().__init__()
        self.trace: list[Any] = trace if trace is not None else []
        self.seen: list[Any] = []

    async def on_receive(self, message: Any) -> Any:
        match message:
            case "crash":
                raise Crash("on purpose")
            case "hang":
                await trio.sleep_forever()
            case _:
                self.seen.append(message)
                return message


def assert_conserved(mailbox: Mailbox) -> None:
    """Every message that was accepted is handled, dropped, a dead letter, or still there: exactly one of these."""
    report = mailbox.report()
    fates = report.handled + report.dropped + report.dead + report.depth
    assert report.accepted == fates, f"{mailbox.label}: {report}"


@pytest.fixture(autouse=True)
def conservation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At the end of every test the law holds for every mailbox that was made in it."""
    made: list[Mailbox] = []
    original = Mailbox.__init__

    def remember(self: Mailbox, *args: Any) -> None:
        original(self, *args)
        made.append(self)

    monkeypatch.setattr(Mailbox, "__init__", remember)
    yield
    for mailbox in made:
        assert_conserved(mailbox)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Crashes are what these tests are about: keep them out of the output."""
    dead_letters.clear()
    logger, config = logging.getLogger("pykka"), structlog.get_config()
    propagate, logger.propagate = logger.propagate, False
    structlog.configure(processors=[_drop])
    yield
    structlog.configure(**config)
    logger.propagate = propagate


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world for the test; afterwards nothing may be left of it."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_world() as opened:
        yield opened
    assert ActorRegistry.get_all() == []
    assert trio.lowlevel.current_statistics().tasks_living <= before


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What telemetry told, in order."""
    told: list[tuple[str, dict[str, Any]]] = []
    unsubscribe = telemetry.subscribe(lambda event, fields: told.append((event, fields)))
    yield told
    unsubscribe()
