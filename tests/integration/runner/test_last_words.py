"""A runner that is told to end ends its sessions; what their commands still say then is told."""

import json
from contextlib import closing
from pathlib import Path

from tests.integration.runner.conftest import until
from townwatch.contracts.link import Result, decode_from_service
from townwatch.runner.identity import Identity, new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.spool.spool import Spool

SCRIPT = """
trap : HUP
trap 'for n in 1 2 3; do echo last words $n; done; exit 3' TERM
echo ready
while :; do sleep 0.05; done
"""


async def test_what_a_command_says_while_its_runner_shuts_down_is_told(tmp_path: Path) -> None:
    identity = Identity(runner_id="r1", token="t", url="ws://127.0.0.1:9/runner")
    heard = bytearray()

    async def hear(data: bytes) -> None:
        heard.extend(data)

    async with open_runner(identity, tmp_path, slot="main") as runner:
        session_id = new_session_id()
        plan = SessionSpec(session_id=session_id, village="demo", command=["bash", "-c", SCRIPT], directory=tmp_path)
        runner.start(plan, lambda session: setattr(session.output, "screen", hear))
        await until(lambda: b"ready" in heard)
    with closing(Spool(tmp_path / "runner" / "main" / "spool.db")) as spool:
        events = [json.loads(stored.body) for stored in spool.unacked(session_id, 0, 1000)]
    said = "".join(event["data"] for event in events if event["type"] == "TERMINAL_CHUNK")
    assert [line for line in said.split("\r\n") if line.startswith("last")] == [f"last words {n}" for n in (1, 2, 3)]
    assert (events[-1]["type"], events[-1]["reason"]) == ("SESSION_ENDED", "runner shutting down")
    assert (events[-1]["finalState"], events[-1]["exitCode"]) == ("FAILED", 3)


async def test_no_session_begins_while_its_runner_shuts_down(tmp_path: Path) -> None:
    identity = Identity(runner_id="r1", token="t", url="ws://127.0.0.1:9/runner")
    config = {
        "sessionId": "late", "agentId": "a", "orgId": "demo", "providerId": "command", "command": ["true"],
        "repoRef": {"provider": "local", "path": str(tmp_path)}, "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    start = {"type": "command", "commandId": "c", "command": "start", "config": config}
    async with open_runner(identity, tmp_path, slot="main") as runner:
        await runner.stop_all()
        result: Result = await runner._handle(decode_from_service.decode(json.dumps(start)))  # pyright: ignore
        assert result.ok is False
        assert result.error is not None
        assert "takes no new sessions" in result.error.message
        assert not runner.sessions
