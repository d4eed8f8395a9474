"""A session from its start to its end: a real command in a real terminal, told truly."""

import errno
import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import trio

from tests.integration.runner.conftest import Bench, open_bench, until
from townwatch.cli import quick
from townwatch.contracts.link import Command, decode_from_service
from townwatch.runner.session import output, redact
from townwatch.runner.session.session import Session
from townwatch.runner.spool.spool import Spool

ASK = f"{sys.executable} -P -m townwatch ask --category shell --risk high"


async def test_a_command_that_ends_well_is_completed_and_every_number_is_there_once(bench: Bench) -> None:
    session = bench.start("bash", "-c", "echo hello; exit 0")
    ended = await bench.over(session)
    assert (ended["exitCode"], ended["finalState"], ended["reason"]) == (0, "COMPLETED", "exited by itself")
    assert bench.states(session) == ["PREPARING_WORKSPACE", "STARTING_PROVIDER", "RUNNING", "COMPLETED"]
    assert "hello" in bench.output(session)
    events = bench.events(session)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "SESSION_ENDED"


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [("exit 7", 7, "exited with code 7"), ("kill -SEGV $$", 128 + signal.SIGSEGV, "killed by SIGSEGV")],
)
async def test_a_command_that_ends_badly_is_failed_with_its_own_code(
    bench: Bench, script: str, code: int, reason: str
) -> None:
    ended = await bench.over(bench.start("bash", "-c", script))
    assert (ended["exitCode"], ended["finalState"], ended["reason"]) == (code, "FAILED", reason)


async def test_a_command_that_is_not_there_says_so(bench: Bench) -> None:
    ended = await bench.over(bench.start("no-such-program"))
    assert ended["exitCode"] == 127
    assert "no-such-program: No such file" in ended["reason"]


async def test_the_screen_is_as_large_as_told_also_later(bench: Bench) -> None:
    session = bench.start(
        "bash", "-c", "stty size; trap 'stty size; exit' WINCH; while :; do sleep 0.02; done", cols=91
    )
    await bench.shows(session, "24 91")
    session.resize(132, 43)
    await bench.shows(session, "43 132")
    await bench.over(session)


async def test_the_sizes_are_told_for_recordings_and_late_viewers(bench: Bench) -> None:
    session = bench.start("sleep", "60", cols=91)
    await until(lambda: sizes(bench, session) == [(91, 24)])
    for cols in range(100, 133):  # somebody drags a window
        session.resize(cols, 43)
    await until(lambda: sizes(bench, session) == [(91, 24), (132, 43)])


def sizes(bench: Bench, session: Session) -> list[tuple[int, int]]:
    told = [event["providerEvent"] for event in bench.events(session, "PROVIDER_EVENT_FORWARDED")]
    return [(one["cols"], one["rows"]) for one in told if one["type"] == "terminal_resized"]


async def test_what_is_typed_arrives_and_a_split_character_stays_whole(bench: Bench) -> None:
    script = "printf 'gr\\303'; sleep 0.1; printf '\\274n\\n'; read -r line; echo got:$line"
    session = bench.start("bash", "-c", script)
    await bench.shows(session, "grün")
    await session.type("päper\r")
    await bench.shows(session, "got:päper")
    await bench.over(session)
    assert "�" not in bench.output(session)


async def test_a_stop_that_is_not_graceful_ends_who_ignores_sigterm(bench: Bench) -> None:
    session = bench.start("bash", "-c", "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done")
    await bench.shows(session, "ready")
    await session.stop(graceful=False)
    ended = await bench.over(session)
    assert (ended["finalState"], ended["reason"]) == ("COMPLETED", "stopped by user")
    assert bench.states(session)[-2:] == ["STOPPING", "COMPLETED"]


async def test_a_second_impatient_stop_kills_now(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("townwatch.runner.session.session.GRACE_SECONDS", 1000)
    session = bench.start("bash", "-c", "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done")
    await bench.shows(session, "ready")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.stop)
        await until(lambda: "STOPPING" in bench.states(session))
        await session.stop(graceful=False)
    await bench.over(session)


async def test_a_stop_goes_on_when_who_asked_has_gone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("townwatch.runner.session.session.GRACE_SECONDS", 0.2)
    session = bench.start("bash", "-c", "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done")
    await bench.shows(session, "ready")
    with trio.move_on_after(0.05):
        await session.stop()
    ended = await bench.over(session)
    assert ended["exitCode"] == 128 + signal.SIGKILL


async def test_a_stop_before_the_command_began_is_its_end(bench: Bench) -> None:
    session = bench.start("bash", "-c", "sleep 100")
    await session.stop()
    ended = await bench.over(session)
    assert (ended["finalState"], ended["reason"]) == ("COMPLETED", "stopped by user")


async def test_what_it_left_in_the_background_is_gone_too(bench: Bench) -> None:
    session = bench.start("bash", "-c", "trap '' HUP; sleep 1000 & echo pid=$!=; disown")
    await bench.over(session)
    pid = int(bench.output(session).split("=")[1])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_paused_session_stands_still_until_it_is_resumed(bench: Bench) -> None:
    session = bench.start("bash", "-c", "echo pid=$$=; read -r; echo done")
    await bench.shows(session, "=\r\n")
    process = psutil.Process(int(bench.output(session).split("=")[1]))
    await session.pause()
    await until(lambda: process.status() == psutil.STATUS_STOPPED)
    await session.resume()
    await session.type("\r")
    await bench.over(session)
    assert bench.states(session)[2:] == ["RUNNING", "PAUSED_BY_HUMAN", "RUNNING", "COMPLETED"]


async def test_secrets_of_the_environment_never_reach_the_spool(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "hunter2-hunter2")
    session = bench.start(
        "bash", "-c", "env; printf hunter2-; sleep 0.05; echo hunter2", env={"DB_PASSWORD": "/s3cret/+x=="}
    )
    await bench.over(session)
    raw = b"".join(one.body for one in bench.spool.unacked(session.plan.session_id, 0, 10_000))
    token = session._env["TOWNWATCH_ASK_TOKEN"]
    for secret in ("hunter2-hunter2", "/s3cret/+x==", token):
        assert secret.encode() not in raw
    assert "MY_API_KEY=••••••" in bench.output(session)


async def test_an_author_is_shown_and_no_form_of_a_secret_is(bench: Bench) -> None:
    secret, key = 's3cr3t/"+va lue&9', "the first line is here\nthe second line is here\nthe third line is here"
    script = (
        'echo "$GIT_AUTHOR_NAME"; printf %s "$DEPLOY_TOKEN" | base64; echo "$SERVICE_PRIVATE_KEY" | sed -n 2p;'
        ' printf "printed=%s\\n" "$(printf %s "$DEPLOY_TOKEN")"'
    )
    environment = {"GIT_AUTHOR_NAME": "Test Person", "DEPLOY_TOKEN": secret, "SERVICE_PRIVATE_KEY": key}
    session = bench.start("bash", "-c", script, env=environment)
    await bench.over(session)
    shown = bench.output(session).splitlines()
    assert shown[0] == "Test Person"
    assert shown[1].startswith("••••••")
    assert len(shown[1]) <= len("••••••") + 2  # base64 of the last byte and what follows it says nothing of a secret
    assert shown[2:] == ["••••••", "printed=••••••"]


async def test_a_secret_is_masked_in_events_that_are_no_output(bench: Bench) -> None:
    session = bench.start("./hunter2-hunter2", env={"DB_PASSWORD": "hunter2-hunter2"}, agent_name="hunter2-hunter2")
    await bench.over(session)
    raw = b"".join(one.body for one in bench.spool.unacked(session.plan.session_id, 0, 10_000))
    assert b"could not start" in raw
    assert b"hunter2-hunter2" not in raw


async def test_a_machine_without_pseudo_terminals_is_said_to_be_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose /dev/pts is not mounted."""

    def none_left() -> tuple[int, int]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "openpty", none_left)
    session = bench.start("true")
    await bench.over(session)
    assert session.exit is not None and session.exit.code == 126
    assert session.lifecycle.reason == (
        "could not start: this machine gives no pseudo-terminal: mount devpts at /dev/pts, or raise kernel.pty.max"
        " (No space left on device)"
    )


async def test_the_echo_of_a_key_that_begins_a_secret_is_not_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOLD_SECONDS", "SHORT_HOLD_SECONDS"):
        monkeypatch.setattr(redact, name, 1000.0)
    monkeypatch.setattr(output, "ECHO_SECONDS", 1000.0)
    session = bench.start("cat", env={"API_KEY": "sk-ant-hunter2-hunter2"})
    await session.started.wait()
    for key in "sk-":
        before = bench.output(session)
        await session.type(key)
        await until(lambda before=before, key=key: bench.output(session) == before + key)
    await session.stop()
    await bench.over(session)


async def test_a_short_test_run_is_told_with_its_own_exit_code(bench: Bench) -> None:
    (bench.directory / "test_it.py").write_text(
        "import unittest\nclass T(unittest.TestCase):\n def test_a(self): pass\n def test_b(self): self.fail()\n"
    )
    session = bench.start(sys.executable, "-m", "unittest", "test_it.py")
    await bench.over(session)
    (started,) = bench.events(session, "TEST_RUN_STARTED")
    (finished,) = bench.events(session, "TEST_RUN_FINISHED")
    assert started["testFiles"] == ["test_it.py"]
    assert {name: finished[name] for name in ("exitCode", "passed", "failed", "skipped")} == {
        "exitCode": 1, "passed": 1, "failed": 1, "skipped": 0,
    }  # fmt: skip


async def test_the_ticks_add_up_to_the_total(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("townwatch.runner.session.session.USAGE_SECONDS", 0.1)
    session = bench.start("bash", "-c", "for i in 1 2 3 4; do echo some output; sleep 0.1; done")
    ended = await bench.over(session)
    ticks = bench.events(session, "USAGE_TICK")
    assert len(ticks) >= 2
    for name in ("agentSeconds", "terminalKb", "commandsRun"):
        assert sum(tick["units"][name] for tick in ticks) == pytest.approx(ended["totalUsage"][name])


async def test_what_changes_in_the_repository_is_told(bench: Bench) -> None:
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        who = ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
        await trio.run_process(["git", *who, *words], cwd=bench.directory)
    session = bench.start("bash", "-c", "echo ready; read -r; printf '1\\n2\\n' > new.txt; read -r")
    await bench.shows(session, "ready")
    await session.type("\r")
    touched = await bench.one(session, "FILE_TOUCHED")
    assert (touched["path"], touched["reason"]) == ("new.txt", "write")
    diff = await bench.one(session, "DIFF_SUMMARY")
    assert diff["files"] == [{"path": "new.txt", "status": "added", "additions": 2, "deletions": 0}]
    await session.type("\r")
    await bench.over(session)
    assert bench.events(session, "SESSION_STARTED")[0]["repoRef"]["defaultBranch"] == "main"


# --- approvals --------------------------------------------------------------------------------------------------------


async def asked(bench: Bench, session: object, count: int = 1) -> list[str]:
    events = await until(lambda: len(e := bench.events(session, "APPROVAL_REQUESTED")) >= count and e)  # type: ignore[arg-type]
    return [event["approval"]["approvalId"] for event in events]


async def test_an_approval_that_is_allowed_goes_on(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} 'rm -rf build/'; echo status=$?")
    (approval,) = await asked(bench, session)
    await until(lambda: bench.states(session)[-1] == "WAITING_FOR_APPROVAL")
    await session.approvals.decide(approval, "allow", "ada", "go on")
    await bench.over(session)
    assert "allow by ada: go on" in bench.output(session)
    assert "status=0" in bench.output(session)
    assert bench.states(session)[2:] == ["RUNNING", "WAITING_FOR_APPROVAL", "RUNNING", "COMPLETED"]


async def test_an_approval_that_is_denied_says_so_and_the_session_goes_on(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} 'rm -rf /'; echo status=$?; echo went on")
    (approval,) = await asked(bench, session)
    await until(lambda: bench.states(session)[-1] == "WAITING_FOR_APPROVAL")
    await session.approvals.decide(approval, "deny", "ada")
    await bench.over(session)
    assert "status=1" in bench.output(session)
    assert "went on" in bench.output(session)
    assert bench.states(session)[2:] == ["RUNNING", "WAITING_FOR_APPROVAL", "RUNNING", "COMPLETED"]


async def test_a_denial_that_says_stop_ends_the_session(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} 'rm -rf /'; echo status=$?; sleep 100")
    (approval,) = await asked(bench, session)
    await session.approvals.decide(approval, "deny", "ada", stop=True)
    ended = await bench.over(session)
    assert "status=1" in bench.output(session)
    assert (ended["finalState"], ended["reason"]) == ("COMPLETED", "approval denied by ada")
    assert bench.states(session)[-3:] == ["WAITING_FOR_APPROVAL", "STOPPING", "COMPLETED"]


async def test_no_answer_in_time_is_a_no(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} --timeout 0.2 'anybody?'; echo status=$?; echo went on")
    await bench.over(session)
    (resolved,) = bench.events(session, "APPROVAL_RESOLVED")
    assert (resolved["decision"], resolved["resolvedBy"]) == ("deny", "timeout")
    assert "status=1" in bench.output(session)
    assert "went on" in bench.output(session)


async def test_it_runs_again_when_the_last_of_several_is_allowed(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} one & {ASK} two; wait; echo all")
    first, second = await asked(bench, session, 2)
    await session.approvals.decide(second, "allow")
    assert session.lifecycle.state == "WAITING_FOR_APPROVAL"
    await session.approvals.decide(second, "deny")  # the first decision stands
    await session.approvals.decide(first, "allow")
    await bench.over(session)
    assert bench.states(session)[2:] == ["RUNNING", "WAITING_FOR_APPROVAL", "RUNNING", "COMPLETED"]


async def test_a_stop_while_somebody_is_asked_is_a_no_that_is_told(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} 'rm -rf build/'")
    (approval,) = await asked(bench, session)
    await session.stop()
    ended = await bench.over(session)
    (resolved,) = bench.events(session, "APPROVAL_RESOLVED")
    assert (resolved["approvalId"], resolved["decision"]) == (approval, "deny")
    assert resolved["seq"] < ended["seq"]
    assert ended["finalState"] == "COMPLETED"


async def test_a_denial_with_stop_of_a_paused_session_ends_it(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} 'rm -rf build/'; sleep 100")
    (approval,) = await asked(bench, session)
    await session.pause()
    await session.approvals.decide(approval, "deny", "ada", stop=True)
    assert (await bench.over(session))["reason"] == "approval denied by ada"


@pytest.mark.parametrize("wrong", [{"category": "fun"}, {"risk": "none"}, {"summary": None}, {"timeoutSeconds": 1e308}])
async def test_a_wrong_request_is_refused_and_nothing_else_happens(bench: Bench, wrong: dict[str, object]) -> None:
    session = bench.start("cat")
    await until(lambda: "RUNNING" in bench.states(session))
    right = {"action": "ask", "category": "shell", "risk": "low", "summary": "x"}
    answer = await trio.to_thread.run_sync(quick.request, "ask", {**right, **wrong}, session._env)
    assert answer["ok"] is False
    assert bench.events(session, "APPROVAL_REQUESTED") == []
    await session.stop()
    await bench.over(session)


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_a_command_is_done_once_however_often_it_comes(bench: Bench) -> None:
    session = bench.start("cat")
    await until(lambda: "RUNNING" in bench.states(session))
    typed = Command(command_id="c1", command="input", session_id=session.plan.session_id, data="once\r")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(bench.runner._handle, typed)
    await session.type("\x04")
    await bench.over(session)
    assert bench.output(session).count("once") == 2  # the terminal's echo, and cat


async def test_a_session_that_ended_here_is_not_run_a_second_time(bench: Bench) -> None:
    session = bench.start("true")
    await bench.over(session)
    config = {
        "sessionId": session.plan.session_id, "agentId": "a", "orgId": "demo",
        "providerId": "command", "command": ["true"],
        "repoRef": {"provider": "local", "path": str(bench.directory)}, "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    start = {"type": "command", "commandId": "c", "command": "start", "config": config}
    result = await bench.runner._handle(decode_from_service.decode(json.dumps(start)))
    assert result.ok is False
    assert result.error.message.endswith("it is not run a second time")


async def test_a_runner_that_shuts_down_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "state", tmp_path) as bench:
        session = bench.start("bash", "-c", "sleep 60 & wait")
        await bench.one(session, "PROVIDER_EVENT_FORWARDED")
        terminal = session._terminal  # pyright: ignore[reportPrivateUsage]
        assert terminal is not None
    with closing(Spool(tmp_path / "state" / "runner" / "main" / "spool.db")) as spool:
        [*_, ended] = spool.unacked(session.plan.session_id, 0, 1000)
    told = json.loads(ended.body)
    assert (told["type"], told["reason"], told["finalState"]) == ("SESSION_ENDED", "runner shutting down", "FAILED")
    assert terminal.members() == []
