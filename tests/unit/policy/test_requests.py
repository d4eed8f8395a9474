"""What a question asks for, read from what an agent's tool call says."""

from typing import Any

import pytest

from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyRule
from townwatch.policy.commands.paths import Place
from townwatch.policy.requests import request_of
from townwatch.policy.village import LayeredRule, decide_request


def asked(category: str, given: dict[str, Any], summary: str = "it") -> ApprovalRequest:
    return ApprovalRequest(
        approval_id="a", session_id="s", category=category, summary=summary, risk="med",
        requested_at=(9 * 60 + 30) * 60_000.0, context={"tool": "T", "input": given},
    )  # fmt: skip


def verdict(question: ApprovalRequest, *rules: PolicyRule) -> str:
    return decide_request([LayeredRule(rule=one) for one in rules], request_of(question, Place())).verdict


def test_a_command_in_words_is_the_command() -> None:
    assert request_of(asked("shell", {"command": ["git", "log", "a b"]}), Place()).command == "git log 'a b'"
    assert request_of(asked("shell", {}, "ls -l"), Place()).command == "ls -l"


def test_the_time_is_the_questions() -> None:
    assert request_of(asked("edit", {}), Place()).minute == 9 * 60 + 30


@pytest.mark.parametrize(
    ("category", "guard", "given"),
    [
        ("network", {"host": "evil.example"}, {"query": "boats"}),
        ("edit", {"path": "migrations/**"}, {"where": "somewhere"}),
    ],
)
@pytest.mark.parametrize("effect", ["ask", "deny"])
def test_what_is_not_known_is_not_allowed_where_rules_are_about_it(
    category: str, guard: dict[str, str], given: dict[str, str], effect: Any
) -> None:
    broad = PolicyRule(id="broad", effect="allow", category=category)
    assert verdict(asked(category, given), broad) == "allow"
    assert verdict(asked(category, given), broad, PolicyRule(id="guard", effect=effect, **guard)) == "ask"
