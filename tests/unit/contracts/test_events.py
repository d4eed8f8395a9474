"""What is refused, and that the refusal names the field."""

import json
from typing import Any, get_args

import attrs
import pytest

from tests.support import golden
from townwatch.contracts import events as e
from townwatch.contracts.codec import ContractError, decode_json, encode
from townwatch.contracts.decoding.runner_events import Address, decode_event, peek_address


def required(row: golden.Row) -> list[str]:
    """The fields without which the event is none."""
    cls = next(cls for cls in e.EVENT_CLASSES if row.type == cls.TYPE)
    import attrs

    from townwatch.contracts.codec import camel

    return [camel(f.name) for f in attrs.fields(cls) if f.default is attrs.NOTHING]


CASES = [(row, name) for row in golden.TABLE for name in required(row)]


@pytest.mark.parametrize(("row", "name"), CASES, ids=[f"{row.name}: {name}" for row, name in CASES])
def test_a_missing_required_field_is_named(row: golden.Row, name: str) -> None:
    event = row.event()
    del event[name]
    with pytest.raises(ContractError) as caught:
        decode_event(json.dumps(event))
    assert (caught.value.field, caught.value.message) == (name, "is required")


@pytest.mark.parametrize(("row", "name"), CASES, ids=[f"{row.name}: {name}" for row, name in CASES])
def test_a_field_of_the_wrong_type_is_named_and_not_coerced(row: golden.Row, name: str) -> None:
    event = row.event()
    event[name] = 5 if not isinstance(event[name], int | float) else "5"
    with pytest.raises(ContractError) as caught:
        decode_event(json.dumps(event))
    assert caught.value.field.startswith(name)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "TERMINAL_CHONK"}, "type"),
        ({"seq": 0}, "seq"),
        ({"seq": 1.5}, "seq"),
        ({"seq": True}, "seq"),
        ({"sessionId": ""}, "sessionId"),
        ({"ts": -1}, "ts"),
        ({"stream": "stdlog"}, "stream"),
        ({"repoRef": {"provider": "local"}}, "repoRef.path"),
        ({"repoRef": {"provider": "github", "owner": "x"}}, "repoRef.name"),
        ({"repoRef": {"provider": "svn"}}, "repoRef.provider"),
    ],
)
def test_what_the_contract_excludes_is_refused(change: dict[str, Any], field: str) -> None:
    chunk = next(row for row in golden.TABLE if row.name == "output")
    with pytest.raises(ContractError) as caught:
        decode_event(json.dumps({**chunk.event(), **change}))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff\xfe", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 100_000, b"{}{}"],
    ids=["empty", "torn", "array", "number", "null", "text", "bytes", "NaN", "surrogate", "deep", "trailing"],
)
def test_what_is_no_event_at_all_is_refused_without_harm(text: bytes) -> None:
    with pytest.raises(ContractError):
        decode_event(text)


def test_an_unknown_field_is_kept() -> None:
    chunk = next(row for row in golden.TABLE if row.name == "output")
    event = decode_event(json.dumps({**chunk.event(), "colour": "red"}))
    assert event.more == {"colour": "red"}
    assert attrs.evolve(event, more=None) == decode_event(json.dumps(chunk.event()))
    assert decode_event(encode(event)) == event


def test_the_address_of_a_malformed_event_is_found_where_it_can_be() -> None:
    assert peek_address(b'{"sessionId": "s", "seq": 7, "type": 3}') == Address("s", 7)
    assert peek_address(b"nonsense") == Address("", 0)
    assert peek_address(b'{"sessionId": 4, "seq": true}') == Address("", 0)


def test_a_message_over_the_limit_says_so() -> None:
    with pytest.raises(ContractError, match="longer than 10 bytes") as caught:
        decode_json(b"[" + b" " * 20 + b"]", max_bytes=10)
    assert caught.value.code == "E_TOO_LARGE"


def test_the_state_machine_is_the_contracts() -> None:
    pairs = {(a, b) for a, following in e.TRANSITIONS.items() for b in following}
    stops = {(a, "STOPPING") for a in set(get_args(e.State)) - e.FINAL_STATES - {"STOPPING"}}
    assert stops <= pairs
    assert not any(a in e.FINAL_STATES for a, _ in pairs)
    assert ("WAITING_FOR_APPROVAL", "COMPLETED") not in pairs
