"""What a bridge reports is numbered by its session, once, however often the message is handled."""

from pathlib import Path

import trio

from tests.support.cast import event, open_cast
from townwatch.actors import messages as m
from townwatch.contracts.codec import encode
from townwatch.contracts.decoding.runner_events import decode_event


async def test_a_report_that_is_handled_again_after_a_crash_keeps_its_numbers(tmp_path: Path) -> None:
    said = [decode_event(encode(event("FILE_TOUCHED", 1, path=path, reason="write"))) for path in ("a", "b")]
    async with open_cast(tmp_path) as cast:
        session = await cast.session()
        report = m.Reported(said)
        assert await session.call(report, timeout=5) == 2
        assert await session.call(report, timeout=5) == 2
        with trio.fail_after(5):
            await report.durable.wait()
        assert await session.call(m.Reported(said[:1]), timeout=5) == 3
        await cast.settle()
        assert [record.seq for record in cast.log.read("s1")] == [1, 2, 3]
        assert [one["payload"]["path"] for one in cast.out.of("work_stream_event")] == ["a", "b", "a"]
