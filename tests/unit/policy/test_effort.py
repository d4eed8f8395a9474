"""The work on one command line is bounded, whatever the line and however many rules: counted, not timed."""

import pytest

from townwatch.policy.commands import findings
from townwatch.policy.commands.judge import Judge
from townwatch.policy.commands.paths import Place
from townwatch.policy.rules import command_policy, decide_command

SIZE = 32 * 1024
RULES = [
    *(f"deny: tool{n} sub *" for n in range(70)),
    *(f"ask: other{n} x *" for n in range(60)),
    *(f"allow: prog{n} y *" for n in range(70)),
]
LINES = {
    "a list": "a; " * (SIZE // 3),
    "a list of what rules name": "tool3 zz; " * (SIZE // 10),
    "wrappers of wrappers": "sudo " * (SIZE // 5) + "x",
    "many piles of wrappers": ("sudo " * 40 + "prog3 y; ") * (SIZE // 209),
    "a long body in two loops": "for i in {1..32}; do for j in {1..32}; do "
    + "rm x$i$j; " * (SIZE // 11)
    + "done; done",
    "a find in a find": "find . -exec " * (SIZE // 26) + "x " + "\\; " * (SIZE // 26),
    "directories": "cd a || cd b || cd c || cd d || cd e || cd f || cd g; " + "prog3 y z; " * (SIZE // 11),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_work_on_a_line_is_bounded(line: str) -> None:
    judge = Judge(command_policy(RULES, Place()))
    assert judge.decide(line).verdict == "ask"
    assert judge.effort.compared <= 40_000
    assert judge.effort.walked <= findings.MAX_WALKED + len(line)  # what is beyond is counted, and looked at no more


@pytest.mark.parametrize("before", [390, 2000, 10_000])
def test_a_denied_command_behind_many_others_is_denied(before: int) -> None:
    policy = command_policy(["deny: rm -rf *", *RULES], Place())
    assert decide_command(policy, "a; " * before + "rm -rf /").verdict == "deny"


def test_commands_are_compared_with_the_rules_that_may_name_them() -> None:
    judge = Judge(command_policy(RULES, Place()))
    judge.decide("a; b; tool1 x; prog2 y")
    assert judge.effort.compared <= 8


def test_a_line_that_is_too_much_to_compare_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_COMPARED", 10)
    policy = command_policy([f"allow: prog y{n} *" for n in range(30)], Place())
    assert decide_command(policy, "prog y0; prog y29").verdict == "ask"
