"""What a call says: all of a request or none of it, and nothing in it hides or turns the rest around."""

from typing import Any

import pytest

from townwatch.contracts.events import ApprovalRequest
from townwatch.notify.call import PersonCall, digest, from_text, plain, to_text, whole


def asked(**more: Any) -> ApprovalRequest:
    fields = {"category": "shell", "summary": "npm test", "risk": "low", **more}
    return ApprovalRequest(approval_id="a", session_id="s", requested_at=1, **fields)


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        (asked(), "npm test"),
        (asked(context={"input": {"command": "npm test -- -u"}, "cwd": "/src"}), "npm test -- -u\nin /src"),
        (asked(summary="runs the tests", context={"command": "make"}), "make\nruns the tests"),
        (asked(context={"rule": {"id": "r", "why": "asked by r"}}), "npm test"),
        (asked(context={"fromAfar": {"allow": "plain", "note": "no"}}), "npm test"),
        (asked(context={"fromAfar": {"allow": "no", "note": "no"}}), None),
        (asked(context={"rule": {"id": "r", "answer": {"people": 2}}}), None),
        (asked(context={"input": {"command": "make", "env": "X=1"}}), None),
        (asked(context={"diff": "+x"}), None),
        (asked(context="free text"), None),
        (asked(context={"command": ["rm", "-rf"]}), None),
        (asked(truncated=True), None),
        (asked(category="edit"), None),
        (asked(category="question"), None),
        (asked(summary="x" * 201), None),
        (asked(summary="a\nb\nc\nd\ne"), None),
        (asked(summary="echo \u202egnp.exe"), None),
        (asked(summary="echo \u200b"), None),
        (asked(summary="echo \x1b[2K"), None),
    ],
)
def test_a_notification_shows_all_of_it_or_is_not_answered_there(request_: ApprovalRequest, shown: str | None) -> None:
    assert whole(request_) == shown


def test_words_of_agents_are_one_line_without_hidden_signs() -> None:
    assert plain("a\r\nBcc: x\u202e \x00b", 99) == "a Bcc: x b"
    assert plain("x" * 12, 10) == "x" * 10 + "… (2 characters more)"


def test_a_call_is_kept_as_it_is() -> None:
    call = PersonCall(kind="approval.requested", title="ä", at_ms=1, risk="low", approval_id="a", until_ms=2)
    assert from_text(to_text(call)) == call
    assert from_text("{}") is None and from_text("no json") is None


def test_a_sum_of_calls_says_how_many_there_are() -> None:
    calls = [PersonCall(kind="approval.requested", title=f"c{n}", at_ms=1) for n in range(9)]
    found = digest(calls, 5)
    assert found.title == "9 calls, 9 of them ask for an answer" and found.place == "#/approvals"
    assert found.text.split("\n")[-2:] == ["c7", "… and 1 more"]
