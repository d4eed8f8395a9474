"""The translation table, row by row, both ways: an event becomes these messages, and every type has its row."""

import json

import attrs
import pytest

from tests.support import golden
from townwatch.actors.rendering.compose import compose
from townwatch.actors.session.fold import fold, fold_all
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.codec import encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.ui import Scope

BLANK = SessionState(session_id=golden.SESSION, village_id=golden.VILLAGE, agent_id=golden.AGENT, runner_id="r1")
SCOPES = {"v": Scope.VILLAGE, "a": Scope.AGENT, "t": Scope.TERMINAL}


def state_after(row: golden.Row) -> SessionState:
    """The state of a session that was asked what this row resolves."""
    blank = SessionState(
        session_id=golden.SESSION, village_id=golden.VILLAGE, agent_id=golden.AGENT, runner_id="r1", started_at=1
    )
    asked = next(one for one in golden.TABLE if one.name == "approval requested")
    state = fold(blank, decode_event(json.dumps(asked.event(1))))
    return fold(state, decode_event(json.dumps(row.event(2))))


@pytest.mark.parametrize("row", golden.TABLE, ids=lambda row: row.name)
def test_an_event_becomes_exactly_the_messages_of_its_row(row: golden.Row) -> None:
    event = decode_event(json.dumps(row.event(2)))
    seen = [(o.event, o.scope, json.loads(o.payload)) for o in compose(state_after(row), [event])]
    expected = []
    for name, rooms, payload in row.becomes:
        scope = Scope(0)
        for letter in rooms:
            scope |= SCOPES[letter]
        expected.append((name, scope, {**payload, "seq": 2} if name in golden.SEQ_EVENTS else payload))
    assert seen == expected


def test_every_event_type_has_a_row() -> None:
    assert {row.type for row in golden.TABLE} == {cls.TYPE for cls in e.EVENT_CLASSES}


@pytest.mark.parametrize("row", golden.TABLE, ids=lambda row: row.name)
def test_an_event_survives_the_way_through_its_class(row: golden.Row) -> None:
    assert json.loads(encode(decode_event(json.dumps(row.event())))) == row.event()


def spawns(state: SessionState, *rows: tuple[str, dict[str, object]]) -> list[tuple[int, str]]:
    """(seq, agentType) of each agent_spawn."""
    events = [
        decode_event(
            json.dumps({"type": kind, "sessionId": golden.SESSION, "orgId": "demo", "ts": 1, "seq": seq, **said})
        )
        for seq, (kind, said) in enumerate(rows, 1)
    ]
    shown = compose(fold_all(state, events), events)
    return [(one.seq, json.loads(one.payload)["agentType"]) for one in shown if one.event == "agent_spawn"]


def test_an_agent_appears_before_anything_else_of_it_and_before_it_goes() -> None:
    blank, ordered = BLANK, attrs.evolve(BLANK, provider_id="codex")
    began = ("SESSION_STATE_CHANGED", {"previousState": "CREATED", "newState": "PREPARING_WORKSPACE"})
    failed, started = ("SESSION_ENDED", golden.ENDED), ("SESSION_STARTED", golden.STARTED)
    assert spawns(ordered, began)[0] == (1, "codex")
    assert spawns(blank, (began[0], {**began[1], "providerId": "codex"})) == [(1, "codex")]
    assert spawns(blank, began) == []  # of what kind it is, nobody has said
    assert spawns(blank, began, started)[0] == (1, "claude")
    assert spawns(blank, began, failed) == [(2, "custom")]
    assert spawns(blank, started, failed) == [(1, "claude")]


def test_text_that_the_originals_runner_sends_twice_is_shown_once() -> None:
    inner = {"type": "PROVIDER_MESSAGE", "providerId": "codex", "timestamp": 1, "text": "hello", "source": "stdout"}
    event = golden.Row("again", "PROVIDER_EVENT_FORWARDED", {"providerEvent": inner}, []).event(2)
    assert compose(BLANK, [decode_event(json.dumps(event))]) == []
