"""Pytest fixtures around `townwatch.runtime.testing`, for tests of actors and supervisors.

Use them with `from tests.support.actors import *` in a conftest.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio

from townwatch.runtime import TrioActor, World, dead_letters, telemetry, testing
from townwatch.runtime.testing import Crash

__all__ = ["Crash", "Recorder", "conservation", "events", "quiet", "world"]


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


@pytest.fixture(autouse=True)
def conservation() -> Iterator[None]:
    """At the end of every test the law holds for every mailbox that was made in it."""
    with testing.conserved():
        yield


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Crashes are what these tests are about: keep them out of the output."""
    dead_letters.clear()
    loggers = [logging.getLogger(name) for name in ("pykka", "townwatch.runtime", "townwatch.supervision")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = False
    yield
    for logger, propagate in zip(loggers, before, strict=True):
        logger.propagate = propagate


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world for the test; afterwards nothing may be left of it."""
    async with testing.world() as opened:
        yield opened


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What telemetry told, in order."""
    told: list[tuple[str, dict[str, Any]]] = []
    unsubscribe = telemetry.subscribe(lambda event, fields: told.append((event, fields)))
    yield told
    unsubscribe()
