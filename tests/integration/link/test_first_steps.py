"""A runner comes in: hello, welcome, events, acknowledgements."""

from typing import Any

from tests.support.cast import event


def chunk(seq: int, session: str = "s1", **fields: Any) -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, session, data=f"line {seq}", stream="stdout", **fields)


async def test_a_runner_is_welcomed_and_its_events_become_durable(house: Any) -> None:
    async with house() as h, h.runner(subprotocols=["townwatch.runner.v1"]) as runner:
        assert runner.ws.subprotocol == "townwatch.runner.v1"
        welcome = await runner.hello()
        assert welcome == {
            "type": "welcome", "runnerId": "r1", "heartbeatMs": 30_000, "window": 1024, "sessions": [], "lost": [],
        }  # fmt: skip
        await runner.send(chunk(1), chunk(2), chunk(3))
        await runner.acked(3)
        assert [record.seq for record in h.cast.log.read("s1")] == [1, 2, 3]
