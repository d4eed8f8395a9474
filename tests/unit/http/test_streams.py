"""Places for downloads: a few a person, fewer for people without an account, a bound for all."""

from collections.abc import Iterator

import pytest
import trio

from townwatch.transports.edge.server import Response
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.streams import BLOCK_BYTES, Download, StreamLimits, StreamPlaces, StreamReader

ADA, BOB = StreamReader("ada", anonymous=False), StreamReader("bob", anonymous=False)


def address(number: int) -> StreamReader:
    return StreamReader(f"192.0.2.{number}", anonymous=True)


def places(**limits: float) -> StreamPlaces:
    settings = {"total": 5, "person": 2, "anonymous": 2, "address": 1, "wait_seconds": 5.0, **limits}
    return StreamPlaces(StreamLimits(**settings))  # type: ignore[arg-type]


async def refusal(asked: StreamPlaces, reader: StreamReader) -> ProblemError:
    with pytest.raises(ProblemError) as found:
        await asked.take(reader)
    assert int(found.value.headers["retry-after"]) > 0
    return found.value


async def test_a_person_has_few_places_and_others_have_theirs(autojump_clock: trio.testing.MockClock) -> None:
    asked = places()
    for _ in range(2):
        await asked.take(ADA)
    assert (await refusal(asked, ADA)).status == 429
    await asked.take(BOB)


async def test_people_without_an_account_never_take_the_places_of_those_with_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked = places()
    await asked.take(address(1))
    assert (await refusal(asked, address(1))).status == 429
    await asked.take(address(2))
    assert (await refusal(asked, address(3))).status == 503
    for reader in (ADA, ADA, BOB):
        await asked.take(reader)
    assert (await refusal(asked, BOB)).status == 503


async def test_who_waits_gets_the_place_that_is_given_back(autojump_clock: trio.testing.MockClock) -> None:
    asked = places()
    give_back = await asked.take(ADA)
    await asked.take(ADA)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.take, ADA)
        await trio.sleep(1)
        give_back()
        give_back()
    assert asked.taken == 2


async def test_more_than_may_wait_are_refused_at_once(autojump_clock: trio.testing.MockClock) -> None:
    asked = places(waiting=0)
    for _ in range(2):
        await asked.take(ADA)
    began = trio.current_time()
    assert (await refusal(asked, ADA)).status == 429
    assert trio.current_time() == began


async def test_a_download_gives_its_place_back_however_it_ends() -> None:
    asked = places()

    def long() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * BLOCK_BYTES

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the log cannot be read")

    short = await Download(asked, ADA, lambda: iter([b"a", b"b"])).open(Response(200))
    assert (short.body, short.stream, asked.taken) == (b"ab", None, 0)
    with pytest.raises(OSError, match="cannot be read"):
        await Download(asked, ADA, broken).open(Response(200))
    assert asked.taken == 0
    answer = await Download(asked, ADA, long).open(Response(200))
    assert asked.taken == 1
    assert answer.stream is not None
    assert sum([len(block) async for block in answer.stream]) == 3 * BLOCK_BYTES
    answer.stream.close()
    assert asked.taken == 0
    unread = await Download(asked, ADA, long).open(Response(200))
    assert unread.stream is not None
    unread.stream.close()
    assert asked.taken == 0
