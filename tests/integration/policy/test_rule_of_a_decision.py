"""A rule made of one decision: the narrowest, tried on what was asked before, saved by who may."""

from typing import Any

import pytest

from tests.integration.policy.house import Ruled, ask
from tests.integration.service.test_promises import asked
from townwatch.policy.commands.paths import Place
from townwatch.policy.proposals import NoRule, propose
from townwatch.policy.village import PolicyRequest

ONE = "/api/runner/sessions/s1/approvals/a1/rule"


def another(approval: str, seq: int, command: str) -> dict[str, Any]:
    question = asked(approval, seq)
    question["approval"] |= {"summary": command, "context": {"input": {"command": command}}}
    return question


async def test_the_narrowest_rule_is_proposed_tried_and_saved_by_an_owner(ruled: Ruled) -> None:
    await ruled.rules({"id": "status", "effect": "allow", "command": "git status *"})
    async with ruled.town.runner() as runner:
        await ask(runner, "git status && npm test")
        await runner.send(another("a2", 3, "npm test"), another("a3", 4, "npm test"), another("a4", 5, "npm publish"))
        await runner.acked(5)
        for approval, decision in (("a1", "allow"), ("a2", "allow"), ("a3", "deny"), ("a4", "deny")):
            assert (await ruled.decide("ann", decision, approval=approval)).status_code == 200

        found = (await ruled.http["cleo"].get(ONE)).json()
        (rule,) = found["rules"]
        assert {name: rule[name] for name in ("id", "effect", "command", "house")} == {
            "id": "allow-npm-test", "effect": "allow", "command": "npm test", "house": "/src/app",
        }  # fmt: skip
        assert (found["answers"], found["differ"], found["of"]) == (3, 1, 4)  # a3 was denied by a person
        assert {one["approvalId"] for one in found["items"]} == {"a1", "a2", "a3"}

        body = {"rules": found["rules"], "version": found["version"]}
        for who in ("ann", "robot"):  # operators decide; rules are the owners'
            assert (await ruled.http[who].get(ONE)).status_code == 403
            assert (await ruled.http[who].post(ONE, json=body)).status_code == 403
        saved = await ruled.http["cleo"].post(ONE, json=body)
        assert (saved.status_code, [one["id"] for one in saved.json()["rules"]]) == (200, ["status", "allow-npm-test"])
        assert (await ruled.http["cleo"].post(ONE, json=body)).status_code == 409  # the rules have changed
        assert await ruled.audited("policy.rule") == [{"rules": ["allow allow-npm-test"], "version": 2}]


async def test_a_denial_becomes_a_rule_that_denies(ruled: Ruled) -> None:
    async with ruled.town.runner() as runner:
        await ask(runner, "npm publish")
        await ruled.decide("ann", "deny")
        found = (await ruled.http["owner"].get(f"{ONE}?effect=deny")).json()
        assert [(one["effect"], one["command"]) for one in found["rules"]] == [("deny", "npm publish")]
        await ruled.http["owner"].post(ONE, json={"rules": found["rules"], "version": found["version"]})
        await runner.send(another("a2", 3, "npm publish"))
        await runner.acked(3)
        assert (await ruled.decide("ann", "allow", approval="a2")).status_code == 409


async def test_what_has_no_narrow_rule_says_why(ruled: Ruled) -> None:
    async with ruled.town.runner() as runner:
        await ask(runner, "rm *.log")
        found = (await ruled.http["owner"].get(ONE)).json()
        assert (found["rules"], "star" in found["whyNot"]) == ([], True)
        assert "no such thing" in (await ruled.http["owner"].get(ONE.replace("a1", "a9"))).json()["whyNot"]


@pytest.mark.parametrize(
    "command",
    ["echo $HOME/x", "echo hi > f", "for i in 1; do make; done", "a=1 make", "git commit -m '*'", "cd 'x"],
)
def test_a_command_that_its_words_do_not_say_becomes_no_rule(command: str) -> None:
    request = PolicyRequest(category="shell", place=Place(), command=command)
    with pytest.raises(NoRule):
        propose("allow", request, [], ())


def test_a_proposal_allows_what_was_asked_and_not_more() -> None:
    request = PolicyRequest(category="shell", place=Place(), command="git push origin main", house="h")
    (rule,) = propose("allow", request, [], ())
    assert (rule.command, rule.house) == ("git push origin main", "h")
