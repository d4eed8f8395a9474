"""The service looks at a question again: a runner with old rules gets no yes that the village's rules deny by now."""

from pathlib import Path
from typing import Any

import trio

from tests.integration.policy.house import Ruled, ask, event, open_ruled
from tests.integration.service.test_promises import held, result

DENY = {"id": "no-push", "effect": "deny", "command": "git push *"}
ALLOW = {"id": "git", "effect": "allow", "command": "git *"}


async def denied(ruled: Ruled, *, approval: str = "a1", by: str = "policy:no-push") -> None:
    """Wait until the rule has decided."""
    with trio.fail_after(5):
        while (await ruled.decided()).get(approval) != ("deny", by):
            await trio.sleep(0.02)


async def test_a_question_that_the_rules_deny_by_now_is_denied_before_a_person_is_asked(ruled: Ruled) -> None:
    await ruled.rules(ALLOW, DENY)
    async with ruled.town.runner() as runner:  # it has older rules: it asks
        await ask(runner)
        command = await runner.next("command")
        assert (command["decision"], command["resolvedBy"]) == ("deny", "policy:no-push")
        assert command["note"] == "is denied by no-push"
        assert await ruled.decided() == {"a1": ("deny", "policy:no-push")}
        late = await ruled.decide("ann", "allow")
        assert (late.status_code, "deny by policy:no-push" in late.json()["error"]["message"]) == (409, True)


async def test_what_waits_is_compared_with_rules_that_change_meanwhile(ruled: Ruled) -> None:
    async with ruled.town.runner() as runner:
        await ask(runner)
        assert list(await ruled.waiting()) == ["a1"]
        await ruled.rules(DENY)
        assert (await runner.next("command"))["resolvedBy"] == "policy:no-push"
        await denied(ruled)


async def test_the_service_never_allows_by_a_rule(ruled: Ruled) -> None:
    """Of the repository's own rules and the session's only the runner knows: what it asks stays a question."""
    await ruled.rules(ALLOW)
    async with ruled.town.runner() as runner:
        await ask(runner)
        await ruled.rules(ALLOW, {**DENY, "command": "git tag *"})
        assert list(await ruled.waiting()) == ["a1"]
        assert await ruled.decided() == {}


async def test_a_persons_allow_becomes_the_rules_denial(ruled: Ruled, monkeypatch: Any) -> None:
    """Also where the rules could not be compared when it was asked, for its tables were away."""
    async with ruled.town.runner() as runner:
        await ask(runner)
        session = ruled.town.service.context.directory.sessions["s1"]
        monkeypatch.setattr(type(session), "tell", lambda *_a: None)  # nobody tells it of the new rules
        await ruled.rules(DENY)
        monkeypatch.undo()
        late = await ruled.decide("ann", "allow")
        assert (late.status_code, late.json()["error"]["details"]["standing"]["resolvedBy"]) == (409, "policy:no-push")
        assert (await runner.next("command"))["decision"] == "deny"
        assert await ruled.audited("approval.decide") == []  # no person decided it


async def test_after_a_restart_what_waits_is_compared_again(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_ruled(tmp_path) as ruled:
            async with ruled.town.runner() as runner:
                await ask(runner)
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with open_ruled(tmp_path) as ruled:
        await ruled.rules(DENY)
        async with ruled.town.runner([held(2)]) as runner:
            assert (await runner.next("command"))["resolvedBy"] == "policy:no-push"


async def test_what_an_outdated_runner_allowed_by_itself_is_on_record(ruled: Ruled) -> None:
    """Its agent has the yes already: that cannot be undone, and it is not hidden."""
    await ruled.rules(DENY)
    async with ruled.town.runner() as runner:
        await ask(runner)
        await result(runner, await runner.next("command"))
        resolved = {"approvalId": "a1", "decision": "allow", "resolvedBy": "policy:git"}
        await runner.send(event("APPROVAL_RESOLVED", 3, **resolved))
        await runner.acked(3)
        with trio.fail_after(5):
            while not (found := await ruled.audited("policy.outdated")):
                await trio.sleep(0.02)
        (noted,) = found
        assert noted is not None
        assert (noted["allowedBy"], noted["deniedBy"]) == ("policy:git", "policy:no-push")


async def test_rules_about_a_path_of_a_person_and_of_a_house_hold_in_the_service(ruled: Ruled) -> None:
    await ruled.rules(
        {"id": "env", "effect": "deny", "path": "**/.env"},
        {"id": "ann", "effect": "deny", "category": "deploy", "person": "user_ann"},
        {"id": "app", "effect": "deny", "category": "merge", "house": "/src/app"},
    )
    async with ruled.town.runner() as runner:
        mine, theirs = await ruled.start("ann", runner), await ruled.start("bob", runner)
        for session, category, given, rule in (
            (mine, "edit", {"input": {"file_path": "conf/.env"}}, "env"),
            (mine, "deploy", {}, "ann"),
            (theirs, "deploy", {}, None),
            (theirs, "merge", {}, "app"),
        ):
            approval = f"{category}-{session}"
            seq = ruled.town.service.context.board.session(session)
            number = (seq.seq if seq else 0) + 1
            question = {
                "approvalId": approval, "sessionId": session, "category": category, "summary": category,
                "risk": "low", "requestedAt": 1, "context": given,
            }  # fmt: skip
            where = {"provider": "local", "path": "/src/app"}
            said = [event("APPROVAL_REQUESTED", number, session, approval=question, repoRef=where)]
            if number == 1:
                begin = {"providerId": "command", "providerVersion": "1", "workspacePath": "/src/app"}
                said = [event("SESSION_STARTED", 1, session, **begin, repoRef=where)]
                said += [event("APPROVAL_REQUESTED", 2, session, approval=question, repoRef=where)]
            await runner.send(*said)
            if rule is None:
                await runner.acked(number + (number == 1))
                assert approval in await ruled.waiting()
            else:
                assert (await runner.next("command"))["resolvedBy"] == f"policy:{rule}"
