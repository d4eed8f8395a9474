"""Who may answer: two people, people only, an owner, not the person who started it."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.policy.house import Ruled, ask, open_ruled
from tests.integration.service.test_promises import held
from tests.support.people import connected

TWO = {"id": "two", "effect": "ask", "command": "git push *", "answer": {"people": 2}}
HUMAN = {"id": "people", "effect": "ask", "command": "git push *", "answer": {"human": True}}
OWNER = {"id": "owners", "effect": "ask", "command": "git push *", "answer": {"role": "owner"}}
OTHER = {"id": "other", "effect": "ask", "command": "git push *", "answer": {"notStarter": True}}


async def test_two_people_are_needed_and_the_first_allow_is_seen(ruled: Ruled) -> None:
    await ruled.rules(TWO)
    async with ruled.town.runner() as runner:
        await ask(runner)
        shown = (await ruled.waiting())["a1"]["answer"]
        assert (shown["needed"], shown["allowedBy"], shown["rules"]) == (2, [], ["two"])
        for _ in range(2):  # the same person again is no second one
            first = await ruled.decide("ann", "allow")
            assert (first.status_code, first.json()["needed"], first.json()["allowedBy"]) == (200, 2, ["Ann"])
        robot = await ruled.decide("robot", "allow")  # nor is her program
        assert robot.json()["allowedBy"] == ["Ann"]
        assert (await ruled.waiting())["a1"]["answer"]["allowedBy"] == ["Ann"]
        second = await ruled.decide("bob", "allow")
        assert (second.status_code, "needed" in second.json()) == (200, False)
        command = await runner.next("command")
        assert (command["decision"], command["resolvedBy"]) == ("allow", "Ann, Bob")
        assert await ruled.decided() == {"a1": ("allow", "Ann, Bob")}
        late = await ruled.decide("cleo", "deny")
        assert (late.status_code, late.json()["error"]["code"]) == (409, "E_DECIDED")
    noted = await ruled.audited("approval.decide")
    assert [(one or {}).get("counted") for one in noted] == [*["1 of 2, by Ann"] * 3, None]


async def test_a_denial_ends_it_at_once(ruled: Ruled) -> None:
    await ruled.rules(TWO)
    async with ruled.town.runner() as runner:
        await ask(runner)
        await ruled.decide("ann", "allow")
        assert (await ruled.decide("bob", "deny")).status_code == 200
        assert (await runner.next("command"))["decision"] == "deny"
        assert (await ruled.decide("cleo", "allow")).status_code == 409
        assert await ruled.decided() == {"a1": ("deny", "Bob")}


async def test_the_first_allow_survives_a_crash(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_ruled(tmp_path) as ruled:
            await ruled.rules(TWO)
            async with ruled.town.runner() as runner:
                await ask(runner)
            assert (await ruled.decide("ann", "allow")).json()["needed"] == 2
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with open_ruled(tmp_path) as ruled:
        assert (await ruled.waiting())["a1"]["answer"]["allowedBy"] == ["Ann"]
        assert (await ruled.decide("ann", "allow")).json()["allowedBy"] == ["Ann"]
        assert "needed" not in (await ruled.decide("bob", "allow")).json()
        async with ruled.town.runner([held(2)]) as runner:
            assert (await runner.next("command"))["resolvedBy"] == "Ann, Bob"


async def test_an_allow_of_a_person_who_lost_the_role_counts_no_more(ruled: Ruled) -> None:
    await ruled.rules(TWO)
    async with ruled.town.runner() as runner:
        await ask(runner)
        await ruled.decide("ann", "allow")
        gone = await ruled.http["owner"].request("DELETE", "/api/villages/demo/members/user_ann")
        assert gone.status_code < 300, gone.text
        assert (await ruled.decide("bob", "allow")).json()["allowedBy"] == ["Bob"]


async def test_the_second_allows_what_the_first_did_and_nothing_else(ruled: Ruled) -> None:
    await ruled.rules(TWO)
    async with ruled.town.runner() as runner:
        await ask(runner)
        await ruled.decide("ann", "allow")
        other = await ruled.decide("bob", "allow", updatedInput={"command": "git push --force"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "E_ANSWER_DIFFERS")
        assert list(await ruled.waiting()) == ["a1"]


async def test_taken_back_it_begins_anew(ruled: Ruled) -> None:
    await ruled.rules(TWO)
    async with ruled.town.runner() as runner:
        await ask(runner)
        await ruled.decide("ann", "allow")
        assert "releaseAt" in (await ruled.decide("bob", "allow", holdMs=60_000)).json()
        back = await ruled.http["ann"].post("/api/runner/sessions/s1/approvals/a1/take-back")
        assert back.status_code == 200
        assert (await ruled.waiting())["a1"]["answer"]["allowedBy"] == []
        assert (await ruled.decide("bob", "allow")).json()["allowedBy"] == ["Bob"]


async def test_a_program_is_no_person(ruled: Ruled) -> None:
    await ruled.rules(HUMAN, {"id": "all", "effect": "allow", "command": "git push origin main"})
    async with ruled.town.runner() as runner:
        await ask(runner, "git push origin main")
        refused = await ruled.decide("robot", "allow")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "E_ANSWER_REFUSED")
        assert "signed in" in refused.json()["error"]["message"]
        assert list(await ruled.waiting()) == ["a1"]
        assert "needed" not in (await ruled.decide("ann", "allow")).json()
        assert (await runner.next("command"))["resolvedBy"] == "Ann"


async def test_a_program_does_not_change_the_rules_that_keep_it_out(ruled: Ruled) -> None:
    await ruled.rules(HUMAN)
    for who, status in (("program", 403), ("cleo", 200)):
        put = await ruled.http[who].put("/api/villages/demo/policy", json={"rules": []})
        assert put.status_code == status, put.text


async def test_a_denial_is_anyones_who_may_decide(ruled: Ruled) -> None:
    await ruled.rules(HUMAN, OWNER)
    async with ruled.town.runner() as runner:
        await ask(runner)
        assert (await ruled.decide("robot", "deny")).status_code == 200


async def test_an_owner_is_wanted(ruled: Ruled) -> None:
    await ruled.rules(OWNER)
    async with ruled.town.runner() as runner:
        await ask(runner)
        refused = await ruled.decide("ann", "allow")
        assert (refused.status_code, "owner" in refused.json()["error"]["message"]) == (403, True)
        assert (await ruled.decide("cleo", "allow")).status_code == 200
        assert await ruled.decided() == {"a1": ("allow", "Cleo")}


async def test_who_started_it_does_not_allow_it(ruled: Ruled) -> None:
    await ruled.rules(OTHER)
    async with ruled.town.runner() as runner:
        session = await ruled.start("ann", runner)
        await ask(runner, session=session)
        for who in ("ann", "robot"):
            refused = await ruled.decide(who, "allow", session)
            assert refused.status_code == 403, who
            assert "you started this session" in refused.json()["error"]["message"]
        assert (await ruled.decide("bob", "allow", session)).status_code == 200
        assert (await runner.next("command"))["resolvedBy"] == "Bob"


async def test_where_the_starter_is_not_known_one_person_more_is_needed(ruled: Ruled) -> None:
    """Of two different people at most one can be who started it: no guess is made."""
    await ruled.rules(OTHER)
    async with ruled.town.runner() as runner:
        await ask(runner)
        assert (await ruled.waiting())["a1"]["answer"]["needed"] == 2
        assert (await ruled.decide("ann", "allow")).json()["needed"] == 2
        assert "needed" not in (await ruled.decide("bob", "allow")).json()


async def test_a_repositorys_file_may_want_two_people_and_no_question_can_want_less(ruled: Ruled) -> None:
    """Only the runner knows the file: what it says of the answer comes with the question."""
    async with ruled.town.runner() as runner:
        rule = {"id": "file", "why": "asked by file", "answer": {"people": 2}}
        await ask(runner, context={"input": {"command": "git push"}, "rule": rule})
        assert (await ruled.decide("ann", "allow")).json()["needed"] == 2
        await ruled.rules({**TWO, "answer": {"people": 3}})
        assert (await ruled.decide("bob", "allow")).json()["needed"] == 3


@pytest.mark.parametrize("kind", ["allow_always", "always"])
async def test_an_option_for_always_answers_no_later_question(ruled: Ruled, kind: str) -> None:
    """`always`: so runners of earlier releases call it where the agent is Codex or OpenCode."""
    await ruled.rules(HUMAN)
    async with ruled.town.runner() as runner:
        options = [{"id": "always", "label": "Always", "kind": kind}]
        await ask(runner, context={"input": {"command": "git push"}, "options": options})
        refused = await ruled.decide("ann", "allow", optionId="always")
        assert (refused.status_code, "always" in refused.json()["error"]["message"]) == (403, True)


@pytest.mark.parametrize(
    ("from_afar", "given"),
    [
        ({"allow": "no", "note": "no", "why": "it takes a yes in its terminal only"}, {}),
        ({"allow": "no"}, {"holdMs": 5000}),
        ({"allow": "option", "note": "no"}, {}),
        ({"allow": "plain", "changedInput": False}, {"updatedInput": {"command": "git push --tags"}}),
    ],
)
async def test_what_its_agent_cannot_take_from_here_is_refused_at_once_and_waits(
    ruled: Ruled, from_afar: dict[str, Any], given: dict[str, Any]
) -> None:
    async with ruled.town.runner() as runner:
        await ask(runner, context={"input": {"command": "git push"}, "fromAfar": from_afar})
        refused = await ruled.decide("ann", "allow", **given)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "E_NOT_FROM_AFAR")
        assert from_afar.get("why", "") in refused.json()["error"]["message"]
        assert "a1" in await ruled.waiting()
        assert (await ruled.decide("ann", "deny")).status_code == 200
        assert (await runner.next("command"))["decision"] == "deny"


@pytest.mark.parametrize("kind", ["socketio", "control"])
async def test_a_key_in_the_terminal_is_no_way_around(ruled: Ruled, kind: str) -> None:
    """An agent's own dialog is answered by a key: while it waits for two people, only Esc and Ctrl-C pass."""
    await ruled.rules(TWO)
    async with ruled.town.runner() as runner:
        await ask(runner)
        typed = await ruled.http["ann"].post("/api/runner/sessions/s1/input", json={"data": "1"})
        assert (typed.status_code, typed.json()["error"]["code"]) == (409, "WAITING")
        async with connected(ruled.town, kind, ruled.town.token) as live:  # type: ignore[arg-type]
            if kind == "socketio":
                said = (await live.emit("terminal_input", {"sessionId": "s1", "data": "1"}))["error"]
            else:
                await live.say("subscribe", sessionId="s1")
                said = await live.say("terminal", sessionId="s1", action="input", data="1")
            assert said["code"] == "WAITING", said
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ruled.http["ann"].post("/api/runner/sessions/s1/input", json={"data": "\x1b"}))
            assert (await runner.next("command"))["data"] == "\x1b"


async def test_only_a_rule_that_asks_says_who_may_answer(ruled: Ruled) -> None:
    wrong = {"rules": [{"id": "x", "effect": "allow", "command": "git *", "answer": {"people": 2}}]}
    answer = await ruled.http["owner"].put("/api/villages/demo/policy", json=wrong)
    assert (answer.status_code, "who may answer" in answer.text) == (400, True)
