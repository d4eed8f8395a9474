"""The original's runner, by frames that its real program sent (tests/fixtures/field)."""

import json
import uuid
from pathlib import Path
from typing import Any

from tests.integration.link.helpers import until
from tests.integration.link.test_ackless import connected, describe, field_runner
from townwatch.actors import messages as m
from townwatch.actors.placement import Candidate, NoRunner, choose
from townwatch.contracts.codec import Decoder
from townwatch.contracts.link import Command
from townwatch.contracts.tasks import SessionConfig

FRAMES = Path(__file__).parents[2] / "fixtures" / "field" / "original-runner-35993f0.jsonl"
LINES = FRAMES.read_text(encoding="utf-8").splitlines()
SENT: list[dict[str, Any]] = [json.loads(line) for line in LINES]
SESSION = "06f18395-6ba5-4f67-9f97-8bb0d91fa59e"


async def test_its_session_is_taken_whole_in_order_and_once(house: Any) -> None:
    events = [one for one in SENT if one["sessionId"] == SESSION]
    assert [one["seq"] for one in events] == list(range(1, 20))
    async with house(ackless=True) as h, field_runner(h) as runner:
        for line in [*LINES, *LINES[5:9]]:
            await runner.ws.send_message(line)
        await until(lambda: h.context.board.session(SESSION) and h.context.board.session(SESSION).seq == 19)
        await h.cast.settle()
        state = h.context.board.session(SESSION)
        assert state is not None
        assert (state.state, state.exit_code, state.holes, state.pending) == ("COMPLETED", 0, 0, {})


async def test_its_providers_are_those_with_a_version(house: Any) -> None:
    async with house(ackless=True) as h, field_runner(h) as runner:
        await runner.ws.send_message(LINES[0])
        await until(lambda: heard(h))
        hello = (await describe(h)).hello
        assert hello.capabilities.providers == ["codex"]
        assert hello.provider_versions == {"codex": "available"}
        assert {"pty_streaming", "codex_provider"} <= set(hello.capabilities.features)
        seen = Candidate(
            runner_id="r1",
            status="online",
            connected=True,
            providers=frozenset(hello.capabilities.providers),
            features=frozenset(hello.capabilities.features),
            max_sessions=hello.capabilities.max_concurrent_sessions,
        )
        assert choose([seen], "codex") == "r1"
        for provider in ("command", "claude_code"):
            assert isinstance(choose([seen], provider), NoRunner)


async def heard(house: Any) -> bool:
    return (await describe(house)).heartbeat is not None


async def test_a_start_is_what_its_schema_wants(house: Any) -> None:
    """SessionConfigSchema of its packages/shared: a UUID, a checkout and billing always, and nothing of ours."""
    config = {
        "sessionId": str(uuid.uuid4()), "orgId": "demo", "agentId": "a", "agentName": "n", "providerId": "codex",
        "repoRef": {"provider": "local", "path": "/src", "defaultBranch": "trunk"},
        "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    async with house(ackless=True) as h, field_runner(h) as runner:
        actor = await h.context.router_call(m.EnsureRunner("r1"))
        await until(lambda: connected(h))
        start = Command(command_id="1", command="start", config=Decoder(SessionConfig).convert(config))
        await actor.call(m.Send(start, wait=True))
        told = (await runner.hear())["config"]
    assert uuid.UUID(told["sessionId"])
    assert told["checkout"] == {"type": "branch", "ref": "trunk"}
    assert told["billing"]["plan"] == "free" and told["billing"]["limits"]["maxConcurrency"] > 0
    assert set(told) == {
        *("sessionId", "orgId", "repoRef", "checkout", "providerId", "task", "policy", "billing", "env"),
    }
    assert set(told["policy"]) == {"shellAllowlist", "shellDenylist", "requiresApprovalFor", "networkMode"}
