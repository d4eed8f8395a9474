"""Every operation × every kind of token × scope × role × village, over the real door of one composed service.

Complete by construction: the operations are those of the service's table, and what each asker must be told follows
from what the operation declares (expected.py). A new operation is in the matrix as soon as it is in the table. It fails
here when its path or the body that names its village has something that `VALUES` or `BODIES` does not know.

Of the places that an operation can be done to, each is asked about by a third of the askers, in turn: in the four of
them each asker meets each operation. ``TOWNWATCH_RIGHTS=all`` asks everything of everybody.

Who must be refused sends the request as it is. Who must be let in reads for real; what would change something is sent
with a parameter that no operation has, and is refused for that, which comes after the question who asks.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import trio

from tests.integration.rights.expected import Asker, Place, Verdict, expected
from tests.integration.rights.world import Desk, World, open_world
from townwatch.chaos.faults import routes as chaos
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.operation import Operation

EVERY_OPERATION: tuple[Operation, ...] = (*OPERATIONS, *cast(Any, chaos)._routes(None, None).operations)
"""Those of the service, and those that there are with --chaos only."""
DESKS = 4
EVERYBODY = os.environ.get("TOWNWATCH_RIGHTS") == "all"
THIRD = 3
ENOUGH = 40
"""Wrong answers, after which the rest is not asked."""
PROXIED = {"x_forwarded_for": "198.51.100.7"}
VALUES: dict[str, str] = {
    "approvalId": "approval_none",
    "alertId": "alert_none",
    "userId": "user_the_viewer",
    "tokenId": "tok_none",
    "connectionId": "connection_none",
    "promptId": "prompt_none",
    "deliveryId": "1",
    "channelId": "chan_none",
    "signInId": "in_none",
    "clipId": "clip_none",
    "commandId": "land:s1:none",
    "repoId": "house_none",
}
"""Values of parameters in paths beside those that name a place."""
BODIES: dict[str, dict[str, Any]] = {
    "start_session": {
        "providerId": "codex",
        "repoRef": {"provider": "local", "path": "/x"},
        "task": {"title": "t", "goal": "g"},
    },
    "make_enrolment": {},
    "register_bridge": {"sessionId": "beside-a-bridge", "agentId": "b", "agentType": "claude", "repoPath": "/x"},
}
"""Bodies, beside the village, of operations on the village that the body names."""


QUERIES: dict[str, str] = {"search": "q=session"}
"""What a list must be asked with."""


NOTHING_THERE: dict[str, str] = {"get_land_order": "there is no order"}
"""What is said to who may look, and to nobody else, where the thing that is asked for is not there."""


@attrs.frozen(kw_only=True)
class Question:
    """One operation, on one place or on none."""

    operation: Operation
    place: Place | None = None
    headers: dict[str, str] = attrs.field(factory=dict)
    narrowed: bool = False
    """Whether a list is narrowed to the place's village."""

    @property
    def opened(self) -> bool:
        return self.operation.open_when is not None and not self.headers

    def path(self) -> str:
        """Raises KeyError for a parameter that the matrix has no value for."""
        place = self.place
        named: dict[str, str] = {}
        if place is not None:
            named = {"villageId": place.village, "sessionId": place.session, "runnerId": place.runner}
            named |= {"webhookId": place.webhook, "budgetId": place.budget}
        path = self.operation.path.format_map({**VALUES, **named})
        query = [QUERIES[self.operation.name]] if self.operation.name in QUERIES else []
        query += [f"villageId={place.village}"] if self.narrowed and place is not None else []
        return f"{path}?{'&'.join(query)}" if query else path

    def body(self) -> dict[str, Any] | None:
        operation = self.operation
        if operation.on != "body":
            return {} if operation.body is not None else None
        named = {} if self.place is None else {"villageId": self.place.village}
        return {**BODIES[operation.name], **named}


def questions(places: list[Place]) -> Iterator[Question]:
    """Every operation, on everything that it can be done to."""
    for operation in EVERY_OPERATION:
        match operation.on:
            case "village" | "session" | "runner":
                yield from (Question(operation=operation, place=place) for place in places)
            case "body":
                yield from (Question(operation=operation, place=place) for place in places)
                assert operation.body is not None
                village = attrs.fields_dict(operation.body)["village_id"]
                if village.default is None:
                    yield Question(operation=operation)
            case "list":
                yield Question(operation=operation)
                if operation.query is not None and "village_id" in attrs.fields_dict(operation.query):
                    yield from (Question(operation=operation, place=place, narrowed=True) for place in places)
            case "service" | "self" | "public":
                yield Question(operation=operation)
                if operation.open_when is not None:
                    yield Question(operation=operation, headers=PROXIED)


@attrs.define
class Findings:
    """What was asked, and what was answered otherwise than it must be."""

    asked: int = 0
    wrong: list[str] = attrs.field(factory=list)
    seen: Counter[Verdict] = attrs.field(factory=Counter)


async def ask(desk: Desk, world: World, question: Question, asker: Asker, findings: Findings) -> None:
    operation = question.operation
    must = expected(operation, asker, question.place, opened=question.opened)
    path, body = question.path(), question.body()
    trial = must == "ok" and operation.writes and operation.on != "body" and operation.who != "any"
    if trial:
        path += "?_trial=1"
    status, text = await desk.ask(operation.method, path, asker.token, body, **question.headers)
    findings.asked += 1
    findings.seen[must] += 1
    said = _verdict(status, operation, asker)
    if status == 404 and (nothing := NOTHING_THERE.get(operation.name)) is not None and nothing in text:
        said = "ok"
    where = f"{asker.name}: {operation.name} {path}"
    if said != must or (trial and status != 400) or (status == 500):
        findings.wrong.append(f"{where}: {status}, not {must}: {text[:160]}")
    elif status == 200 and not (asker.administers and operation.on == "service"):
        leaks = [mark for mark in world.hidden_from(asker) if mark in text]
        if leaks and not question.opened:
            findings.wrong.append(f"{where}: tells of {leaks}")
    elif must != "ok":
        assert json.loads(text)["error"].keys() >= {"code", "message"}, where


def _verdict(status: int, operation: Operation, asker: Asker) -> Any:
    if operation.who == "any" and operation.sign_in and status == 401:
        return "ok"  # of the code or password in the body
    return status if status in (401, 403, 404) else "ok"


def askers(world: World, question: Question) -> list[Asker]:
    """Those whose turn it is, where the token counts; tokens that are no good once an operation: on no place do they
    become better.
    """
    if question.operation.who == "any":
        return world.askers[:2]
    if question.place is None:
        return world.askers
    place = world.places.index(question.place)
    turn = EVERY_OPERATION.index(question.operation) + place
    return [
        one
        for number, one in enumerate(world.askers)
        if (place == 0 if one.kind == "bad" else EVERYBODY or (number + turn) % THIRD == 0)
    ]


@pytest.mark.timeout(300)
async def test_every_operation_answers_every_token_as_it_declares(tmp_path: Path) -> None:
    findings = Findings()
    async with open_world(tmp_path) as world:
        whole = [(question, one) for question in questions(world.places) for one in askers(world, question)]
        work = list(whole)

        async def worker() -> None:
            async with world.desk() as desk:
                while work and len(findings.wrong) < ENOUGH:
                    await ask(desk, world, *work.pop(0), findings)

        async with trio.open_nursery() as nursery:
            for _ in range(DESKS):
                nursery.start_soon(worker)
    assert findings.wrong == [], f"{len(findings.wrong)} of {findings.asked}: " + "\n".join(findings.wrong)
    for operation in EVERY_OPERATION:
        asked = {one.name for question, one in whole if question.operation is operation}
        assert operation.who == "any" or asked == {one.name for one in world.askers}, operation.name
    assert findings.asked > 5000
    assert set(findings.seen) == {"ok", 401, 403, 404}


def test_operations_that_do_not_say_who_may_are_not_operations() -> None:
    for operation in EVERY_OPERATION:
        fields = attrs.fields_dict(Operation)
        assert fields["may"].default is attrs.NOTHING and fields["on"].default is attrs.NOTHING, operation.name
