"""Tasks of an adapter under one nursery whose failure is one `AdapterOff`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import trio

from townwatch.runner.agents.adapter import AdapterOff
from townwatch.runner.agents.shape import ShapeError


@asynccontextmanager
async def open_tasks() -> AsyncGenerator[trio.Nursery, None]:
    """A nursery for the tasks of one adapter.

    An unknown shape in any of them ends all, and comes out as one `AdapterOff`, not as a group. Raises `AdapterOff`.
    """
    reason: str | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except* (AdapterOff, ShapeError) as group:
        reason = _first(group)
    if reason is not None:
        raise AdapterOff(reason)


def _first(failure: BaseException) -> str:
    """Return the text of the first failure in a group of any depth."""
    if not isinstance(failure, BaseExceptionGroup):
        return str(failure)
    group = cast("BaseExceptionGroup[BaseException]", failure)
    return _first(group.exceptions[0])
