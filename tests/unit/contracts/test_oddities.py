"""Odd values in sound events: replaced and marked; what is wrong in shape stays refused."""

import json
from typing import Any

import pytest

from tests.support import golden
from townwatch.contracts import events as e
from townwatch.contracts.codec import MAX_MESSAGE_BYTES, ContractError
from townwatch.contracts.decoding.oddities import mend, strict_json
from townwatch.contracts.decoding.runner_events import decode_event

NOW = 1_764_000_000_000
BY_TYPE = {row.type: row for row in golden.TABLE}


def event(kind: str, **changes: Any) -> dict[str, Any]:
    """An event of this type; `approval__x` changes a field of its approval."""
    found = json.loads(json.dumps(BY_TYPE[kind].event()))
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        (found[outer] if inner else found)[inner or outer] = value
    return found


def mended(value: dict[str, Any]) -> Any:
    """The event after mending, which it needed."""
    body = json.dumps(value).encode()
    with pytest.raises(ContractError):
        decode_event(body)
    fixed = mend(body, NOW)
    assert fixed is not None
    decoded = decode_event(fixed)
    assert decoded.truncated
    return decoded


ASKED = "APPROVAL_REQUESTED"


@pytest.mark.parametrize("kind", sorted(BY_TYPE))
@pytest.mark.parametrize("ts", [-1, 253_402_300_800_000, 10**30, 1e300, -1e300])
def test_a_time_that_is_none_is_when_we_heard_of_it(kind: str, ts: float) -> None:
    assert mended(event(kind, ts=ts)).ts == NOW


@pytest.mark.parametrize("kind", sorted(BY_TYPE))
def test_half_a_character_is_replaced_in_every_event(kind: str) -> None:
    """What JSON.stringify makes of an emoji that was cut in two."""
    found = mended(event(kind, extra="cut: \ud83d"))
    assert isinstance(found, e.RunnerEvent)


def test_half_a_character_in_output_is_shown_as_a_replacement() -> None:
    assert mended(event("TERMINAL_CHUNK", data="x\ud83dy")).data == "x\ufffdy"


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"approval__requestedAt": -5}, "requested_at", NOW),
        ({"approval__requestedAt": 1e18}, "requested_at", NOW),
        ({"approval__timeoutAt": 10**18}, "timeout_at", None),
        ({"approval__timeoutAt": -1}, "timeout_at", None),
        ({"approval__category": "filesystem"}, "category", "other"),
        ({"approval__risk": "extreme"}, "risk", "high"),
        ({"approval__sessionId": "another"}, "session_id", golden.SESSION),
        ({"approval__note": 5}, "note", None),
        ({"approval__resolvedBy": {}}, "resolved_by", None),
        ({"approval__approvalId": ""}, "approval_id", "unnamed"),
        ({"approval__approvalId": "a\0b"}, "approval_id", "a\u2400b"),
        ({"repoRef": {"provider": "svn"}}, "decision", None),
        ({"repoRef": {"provider": "local"}}, "decision", None),
        ({"repoRef": 5}, "decision", None),
    ],
)
def test_an_approval_with_an_odd_value_is_asked_all_the_same(changes: dict[str, Any], name: str, value: Any) -> None:
    approval = mended(event(ASKED, **changes)).approval
    assert (getattr(approval, name), approval.truncated) == (value, True)


def test_an_empty_approval_id_is_answered_under_the_empty_id() -> None:
    assert mended(event(ASKED, approval__approvalId="")).approval.asked_as == ""
    assert mended(event("APPROVAL_RESOLVED", approvalId="")).approval_id == "unnamed"


def test_an_approval_id_with_nul_is_answered_under_that_id() -> None:
    assert mended(event(ASKED, approval__approvalId="a\0b")).approval.asked_as == "a\0b"
    assert mended(event("APPROVAL_RESOLVED", approvalId="a\0b")).approval_id == "a\u2400b"


@pytest.mark.parametrize(("code", "state"), [(0, "COMPLETED"), (1, "FAILED"), (None, "FAILED")])
def test_an_end_with_a_state_that_is_none_is_an_end(code: int | None, state: str) -> None:
    for odd in ("STOPPING", "DONE"):
        assert mended(event("SESSION_ENDED", finalState=odd, exitCode=code)).final_state == state


def test_an_alert_with_an_odd_word_is_raised() -> None:
    assert mended(event("ALERT_RAISED", severity="fatal")).severity == "error"
    assert mended(event("ALERT_RAISED", category="weather")).category == "policy"
    assert mended(event("ALERT_RAISED", alertId="")).alert_id == "unnamed"
    assert mended(event("ALERT_RAISED", alertId="\0")).alert_id == "\u2400"
    assert mended(event("SESSION_STARTED", agentId="a\0b")).agent_id is None


@pytest.mark.parametrize("value", [-1, 2.5, -0.5])
def test_counts_that_are_none_become_the_nearest(value: float) -> None:
    found = mended(event("DIFF_SUMMARY", filesChanged=value)).files_changed
    assert isinstance(found, int)
    assert found >= 0
    usage = {**event("SESSION_ENDED")["totalUsage"], "filesTouched": value}
    assert mended(event("SESSION_ENDED", totalUsage=usage)).total_usage.files_touched >= 0


def test_several_at_once() -> None:
    odd = event(ASKED, ts=-1, repoRef=5, approval__category="?", approval__risk="?", approval__requestedAt=-1)
    assert mended(odd).approval.requested_at == NOW


@pytest.mark.parametrize(
    "changes",
    [
        {"ts": "now"},
        {"ts": None},
        {"seq": 0},
        {"seq": -1},
        {"seq": 1.5},
        {"sessionId": ""},
        {"sessionId": "x" * 201},
        {"orgId": 5},
        {"seq": 2**64},
        {"sessionId": "a\0b", "approval__sessionId": "a\0b"},
        {"orgId": "\0"},
        {"type": "none"},
        {"type": [], "agentName": 5},
        {"type": {}, "repoRef": 5},
        {"approval": None},
        {"approval__summary": 5},
        {"approval__approvalId": 5},
        {"approval__approvalId": "x" * 5_000},
        {"approval__category": 5},
        {"approval__requestedAt": "x"},
    ],
)
def test_what_is_wrong_in_shape_stays_refused(changes: dict[str, Any]) -> None:
    assert mend(json.dumps(event(ASKED, **changes)).encode(), NOW) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b"[" * 100_000, b'{"a":' * 50_000, b'"x"', b"\xff"])
def test_what_is_no_event_stays_refused_without_harm(body: bytes) -> None:
    assert mend(body, NOW) is None
    assert strict_json(body) is None


def test_an_approval_larger_than_a_message_is_cut_to_what_is_stored() -> None:
    found = mended(event(ASKED, approval__summary="x" * (2 * MAX_MESSAGE_BYTES)))
    assert len(found.approval.summary) == 4_000
    huge = event("TERMINAL_CHUNK", data="x" * (2 * MAX_MESSAGE_BYTES))
    assert mend(json.dumps(huge).encode(), NOW) is None


def test_what_is_long_is_shown_shortened_and_stored_whole() -> None:
    body = json.dumps(event(ASKED, approval__summary="s" * 100_000, approval__context={"diff": "d" * 100_000}))
    asked: Any = decode_event(body)
    approval = asked.approval
    assert (len(approval.summary), approval.truncated) == (4_000, True)
    assert approval.context["bytes"] > 100_000
    alert = decode_event(json.dumps(event("ALERT_RAISED", title="t" * 9_999, description="d" * 99_999)))
    assert (len(alert.title), len(alert.description), alert.truncated) == (500, 8_000, True)  # type: ignore[attr-defined]
    assert decode_event(json.dumps(event(ASKED))).truncated is None


def test_a_frame_with_half_a_character_keeps_its_other_events_as_they_are() -> None:
    good, odd = event("TERMINAL_CHUNK"), event("TERMINAL_CHUNK", data="\ud83d")
    frame = json.dumps({"type": "events", "events": [good, odd, 5]}).encode()
    found = strict_json(frame)
    assert found is not None
    assert json.loads(found)["events"] == [good, {**odd, "data": "\ufffd", "truncated": True}, 5]


def test_a_number_that_is_none_is_left_out_of_a_frame_as_of_an_event() -> None:
    """Python's json writes NaN and Infinity."""
    found = strict_json(b'{"type": "events", "events": [], "x": NaN, "y": 1e999}')
    assert found is not None
    assert json.loads(found) == {"type": "events", "events": [], "x": None, "y": 2.0**53 - 1}
