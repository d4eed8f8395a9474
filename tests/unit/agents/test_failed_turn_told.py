"""A status tells of a turn that failed, from its end to the beginning of the next one."""

from typing import Any

import attrs
import pytest

from townwatch.runner.agents import events as a
from townwatch.runner.agents.teller import REASON_CHARS, Teller
from townwatch.runner.observers.usage import UsageMeter
from townwatch.runner.session.lifecycle import Lifecycle


@attrs.define
class Told:
    """The events of a session that has no runner."""

    lifecycle: Lifecycle = attrs.field(factory=Lifecycle)
    usage: UsageMeter = attrs.field(factory=UsageMeter)
    events: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]])

    async def tell(self, kind: str, **fields: Any) -> None:
        self.events.append(fields["providerEvent"])

    async def become(self, state: str, reason: str | None = None) -> None:
        self.lifecycle.go(state)  # type: ignore[arg-type]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["type"] == kind]


@attrs.define
class FakeSession:
    events: Told = attrs.field(factory=Told)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def teller(session: FakeSession) -> Teller:
    return Teller(session, "codex")  # type: ignore[arg-type]


BUSY, IDLE = a.Status(status="busy"), a.Status(status="idle")
FAILED = a.Turn(id="t1", result="failed", reason=" no credit ")


@pytest.mark.parametrize("order", [[BUSY, FAILED, IDLE], [BUSY, IDLE, FAILED]], ids=["before", "after"])
async def test_whether_the_turns_end_comes_before_or_after_it(
    session: FakeSession, teller: Teller, order: list[a.AgentEvent]
) -> None:
    for event in order:
        await teller.say(event)
    last = session.events.of("agent.status")[-1]
    assert (last["status"], last["for"]) == ("idle", "its turn failed: no credit")
    await teller.say(IDLE)
    assert session.events.of("agent.status")[-1] == last  # not told twice
    for event in (BUSY, a.Turn(id="t2", result="completed"), IDLE):
        await teller.say(event)
    assert "for" not in session.events.of("agent.status")[-1]


async def test_a_turn_that_failed_without_a_word_says_that(session: FakeSession, teller: Teller) -> None:
    for event in (BUSY, a.Turn(id="t1", result="failed"), IDLE):
        await teller.say(event)
    assert session.events.of("agent.status")[-1]["for"] == "its turn failed"
    assert "reason" not in session.events.of("agent.turn")[-1]


async def test_a_long_reason_is_cut(session: FakeSession, teller: Teller) -> None:
    for event in (BUSY, a.Turn(id="t1", result="failed", reason="x" * 9000), IDLE):
        await teller.say(event)
    assert len(session.events.of("agent.turn")[-1]["reason"]) == REASON_CHARS
    assert len(session.events.of("agent.status")[-1]["for"]) < 300
