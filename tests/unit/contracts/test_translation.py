"""The translation table, row by row, both ways: an event becomes these messages, and every type has its row."""

import json

import pytest

from tests.support import golden
from townwatch.actors.rendering.compose import compose
from townwatch.actors.session.fold import fold
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.codec import encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.ui import Scope

SCOPES = {"v": Scope.VILLAGE, "a": Scope.AGENT, "t": Scope.TERMINAL}


def state_after(row: golden.Row) -> SessionState:
    """The state of a session that was asked what this row resolves."""
    blank = SessionState(session_id=golden.SESSION, village_id=golden.VILLAGE, agent_id=golden.AGENT, runner_id="r1")
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
