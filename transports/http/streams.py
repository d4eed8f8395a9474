"""Answers that grow with the data: made piece by piece while they are sent, a few at a time.

Making one costs memory and processor time, and reading it may take long. So each person has a small number of places,
people without an account have fewer, and all together have a fixed number; who finds none free waits for a while and is
then told to come back. The pieces are made in a few threads of their own, so that other reads never wait for them.
"""

import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import attrs
import trio

from townwatch.transports.edge.server import Response
from townwatch.transports.http.problems import ProblemError

BLOCK_BYTES = 128 * 1024
"""About so much of an answer is in memory at a time."""


@attrs.frozen(kw_only=True)
class StreamLimits:
    """Places in all, of a person, of all people without an account, of one address of theirs; seconds to wait for one;
    how many may wait; threads that make the pieces."""

    total: int = 16
    person: int = 6
    anonymous: int = 6
    address: int = 2
    wait_seconds: float = 10.0
    waiting: int = 64
    threads: int = 2


@attrs.frozen
class StreamReader:
    """A reader of streams. `name`: a user id, or the address of an anonymous client."""

    name: str
    anonymous: bool


class StreamPlaces:
    """Counts the places that are taken."""

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.limiter = trio.CapacityLimiter(limits.threads)
        self._taken: Counter[StreamReader] = Counter()
        self._waiting = 0
        self._freed = trio.Event()

    @property
    def taken(self) -> int:
        return self._taken.total()

    async def take(self, reader: StreamReader) -> Callable[[], None]:
        """Wait for a place; returns the function that gives it back (calling it again does nothing).

        Raises `ProblemError`: 429 when the reader's own places stayed full, 503 when those of all did.
        """
        if self._full(reader) is not None:
            await self._wait(reader)
        self._taken[reader] += 1
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._taken[reader] -= 1
                if not self._taken[reader]:
                    del self._taken[reader]
                self._freed.set()
                self._freed = trio.Event()

        return give_back

    @asynccontextmanager
    async def place(self, reader: StreamReader) -> AsyncGenerator[None]:
        """A place for the length of a block."""
        give_back = await self.take(reader)
        try:
            yield
        finally:
            give_back()

    async def _wait(self, reader: StreamReader) -> None:
        if self._waiting >= self.limits.waiting:
            raise self._refusal(reader)
        with self._counted(), trio.move_on_after(self.limits.wait_seconds):
            while self._full(reader) is not None:
                await self._freed.wait()
            return
        raise self._refusal(reader)

    @contextmanager
    def _counted(self) -> Generator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _full(self, reader: StreamReader) -> ProblemError | None:
        """The reason why this reader gets no place now."""
        limits = self.limits
        own = limits.address if reader.anonymous else limits.person
        if self._taken[reader] >= own:
            return self._problem(429, f"{own} of {own} of your downloads are being sent; wait for one to end")
        without = sum(count for one, count in self._taken.items() if one.anonymous)
        if reader.anonymous and without >= limits.anonymous:
            return self._problem(503, "too many downloads without an account are being sent; sign in, or try again")
        if self.taken >= limits.total:
            return self._problem(503, "too many downloads are being sent; try again")
        return None

    def _refusal(self, reader: StreamReader) -> ProblemError:
        return self._full(reader) or self._problem(503, "too many downloads wait to be sent; try again")

    def _problem(self, status: int, message: str) -> ProblemError:
        retry = str(max(1, math.ceil(self.limits.wait_seconds)))
        return ProblemError(status, message, headers={"retry-after": retry})


class Download:
    """An answer's body as blocks of a generator that blocks (it reads the event log) and runs in a thread.

    `townwatch.transports.edge.server.BodyStream`. `open` it first: it takes the place and makes the first block.
    """

    def __init__(self, places: StreamPlaces, reader: StreamReader, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._places = places
        self._reader = reader
        self._pieces = pieces
        self._source: Iterator[bytes] = iter(())
        self._first = b""
        self._ended = False
        self._give_back: Callable[[], None] | None = None

    async def open(self, answer: Response) -> Response:
        """`answer` with this body: as a stream, or at once where it is but one block. Raises what the first block
        raises, and `ProblemError` without a place."""
        self._give_back = await self._places.take(self._reader)
        try:
            self._source = self._pieces()
            self._first, more = await self._block()
        except BaseException:
            self.close()
            raise
        if more:
            return attrs.evolve(answer, body=b"", stream=self)
        self.close()
        return attrs.evolve(answer, body=self._first)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            block, self._first = self._first, b""
            return block
        if self._ended:
            raise StopAsyncIteration
        block, more = await self._block()
        self._ended = not more
        return block

    def close(self) -> None:
        """Give the place back."""
        if self._give_back is not None:
            self._give_back()

    async def _block(self) -> tuple[bytes, bool]:
        """Return (the next block, whether there may be more)"""
        return await trio.to_thread.run_sync(partial(_block, self._source), limiter=self._places.limiter)


def _block(source: Iterator[bytes]) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    size = 0
    for piece in source:
        parts.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            return b"".join(parts), True
    return b"".join(parts), False


def reader_of(call: Any) -> StreamReader:
    """Identify the caller: the person, or the address of one without an account."""
    user_id = call.subject.user_id
    return StreamReader(user_id, False) if user_id is not None else StreamReader(call.address or "", True)
