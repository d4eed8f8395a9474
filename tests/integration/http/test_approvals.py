"""Decisions over REST: the first one wins, whoever and however many decide."""

import trio

from tests.support.cast import event


def asked(approval_id, seq, session="s1", at=1):
    approval = {
        "approvalId": approval_id, "sessionId": session, "category": "shell", "summary": "rm -rf build/",
        "risk": "high", "requestedAt": at,
    }  # fmt: skip
    return event("APPROVAL_REQUESTED", seq, session, approval=approval)


PATH = "/api/runner/sessions/s1/approvals/a1"


async def test_a_decision_reaches_the_runner_and_names_who_made_it(rest):
    link = await rest.runner()
    await rest.session(asked("a1", 1))
    answer = await rest.post(PATH, {"decision": "allow", "note": "go on"}, "operator")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    (command,) = link.commands
    assert (command.approval_id, command.decision, command.note, command.resolved_by) == (
        "a1", "allow", "go on", "Operator",
    )  # fmt: skip


async def test_the_same_again_is_fine_and_another_one_is_told_which_stands(rest):
    await rest.runner()
    await rest.session(asked("a1", 1))
    assert (await rest.post(PATH, {"decision": "deny", "note": "no"}, "operator")).status_code == 200
    assert (await rest.post(PATH, {"decision": "deny"}, "owner")).status_code == 200
    other = await rest.post(PATH, {"decision": "allow"}, "owner")
    assert other.status_code == 409
    error = other.json()["error"]
    assert error["code"] == "E_DECIDED"
    assert error["details"]["standing"] == {"decision": "deny", "resolvedBy": "Operator", "note": "no"}


async def test_of_a_hundred_at_once_one_wins(rest):
    link = await rest.runner()
    await rest.session(asked("a1", 1))
    told = {"allow": [], "deny": []}

    async def decide(decision):
        told[decision].append((await rest.post(PATH, {"decision": decision})).status_code)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(decide, ("allow", "deny")[number % 2])
            nursery.start_soon(decide, ("deny", "allow")[number % 2])
    assert sorted(set(told["allow"] + told["deny"]) - {429}) == [200, 409]
    assert {200, 409} - set(told["allow"]) and {200, 409} - set(told["deny"])  # all of a kind have one answer
    assert len({(command.approval_id, command.decision) for command in link.commands}) == 1


async def test_what_waits_is_listed_oldest_first(rest):
    await rest.session(asked("late", 1, at=20), asked("early", 2, at=10))
    await rest.session(asked("other", 1, "s2", at=15), session_id="s2", village="open")
    everything = (await rest.get("/api/approvals")).json()["items"]
    assert [one["approvalId"] for one in everything] == ["early", "other", "late"]
    assert (everything[0]["agentId"], everything[0]["villageId"]) == ("runner_s1", "closed")
    one_village = (await rest.get("/api/approvals?villageId=closed")).json()["items"]
    assert [one["approvalId"] for one in one_village] == ["early", "late"]
    assert (await rest.get("/api/approvals?villageId=closed", "stranger")).status_code == 404


async def test_what_nobody_asked_for_cannot_be_decided(rest):
    await rest.session(asked("a1", 1))
    assert (await rest.post("/api/runner/sessions/s1/approvals/a2", {"decision": "allow"})).status_code == 404
    too_long = await rest.post(PATH, {"decision": "allow", "note": "x" * 2001})
    assert too_long.json()["error"]["details"] == {"field": "note"}
    assert (await rest.post(PATH, {"decision": "perhaps"})).status_code == 400
