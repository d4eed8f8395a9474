"""Each test runs twice, word for word: on pykka's ThreadingActor (is it what pykka does?) and on TrioActor."""

from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest
import trio

from tests.support.actors import quiet
from townwatch.runtime import TrioActor, open_world

__all__ = ["quiet"]


class DaemonActor(pykka.ThreadingActor):
    """pykka's own, which never keeps a failed test run alive."""

    use_daemon_thread = True


@pytest.fixture(params=[DaemonActor, TrioActor], ids=["threading", "trio"])
def actor(request: pytest.FixtureRequest) -> type[Any]:
    """The base class under test."""
    return request.param


@pytest.fixture
def user(actor: type[Any]) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function as a user of pykka would: in a thread, where blocking is fine, with a world around it."""

    def run(body: Callable[[], None]) -> None:
        async def main() -> None:
            async with open_world(pykka_registry=True):
                await trio.to_thread.run_sync(body)

        trio.run(main)

    yield run
    pykka.ActorRegistry.stop_all()
