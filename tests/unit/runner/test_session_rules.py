"""The repository's file of rules is the agent's to change: reading it never waits and never fails open."""

import os
from pathlib import Path

import pytest

from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyRule, VillagePolicy
from townwatch.runner.policies import PolicyShelf
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.rules import SessionRules

LS = ApprovalRequest(
    approval_id="a1", session_id="s1", category="shell", summary="ls", risk="low", requested_at=1_000.0
)


def rules(directory: Path) -> SessionRules:
    allowed = VillagePolicy(village_id="v", version=1, rules=[PolicyRule(id="ls", effect="allow", command="ls")])
    return SessionRules(
        SessionSpec(session_id="s1", village="v", command=["true"], directory=directory), lambda _village: allowed
    )


def test_without_a_file_the_village_decides(tmp_path: Path) -> None:
    assert rules(tmp_path).decide(LS).verdict == "allow"


@pytest.mark.timeout(20)
def test_a_pipe_in_its_place_is_not_waited_for_and_everything_asks(tmp_path: Path) -> None:
    (tmp_path / ".townwatch").mkdir()
    os.mkfifo(tmp_path / ".townwatch" / "policy.toml")
    found = rules(tmp_path).decide(LS)
    assert (found.verdict, found.rule) == ("ask", "policy.toml")


def test_kept_rules_that_are_damaged_ask_about_everything(tmp_path: Path) -> None:
    """What they would have denied is not known; nothing that a session brings along may allow it meanwhile."""
    (tmp_path / "policies.json").write_bytes(b"{")
    kept = PolicyShelf(tmp_path).of("v")
    asked = SessionRules(
        SessionSpec(session_id="s1", village="v", command=["true"], directory=tmp_path), lambda _village: kept
    ).decide(LS)
    assert (asked.verdict, asked.rule) == ("ask", "policies.json")
