"""The processes of a session are found wherever they went, and none works on when it says that it has ended."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
import trio

from tests.integration.runner.conftest import Bench, open_bench, until
from townwatch.runner.session import processes
from townwatch.runner.session.session import Session
from townwatch.runner.session.system import cgroups
from townwatch.runner.session.terminal import CommandExit

TICKS = "while :; do date +%s%N > beat; sleep 0.05; done"
AWAY = {
    "setsid": f"setsid sh -c '{TICKS}' &",
    "setsid twice": f"setsid setsid sh -c '{TICKS}' & disown",
    "a daemon": f"(setsid sh -c '{TICKS}' &)",
    "without the mark": f"env -i PATH=$PATH setsid sh -c '{TICKS}' &",
    "nohup": f"nohup sh -c '{TICKS}' >/dev/null 2>&1 &",
}


async def beats(directory: Path) -> bool:
    """Whether the process that writes its heart beat still does."""
    before = (directory / "beat").read_text()
    for _ in range(20):
        await trio.sleep(0.02)
        if (directory / "beat").read_text() not in ("", before):
            return True
    return False


@pytest.mark.parametrize("how", AWAY)
async def test_a_stop_ends_what_went_away(bench: Bench, how: str) -> None:
    session = bench.start("bash", "-c", f"{AWAY[how]}\nsleep 100")
    await until((bench.directory / "beat").exists)
    await until(lambda: len(bench.runner.shared.processes.table.members(session.plan.session_id)) >= 3)
    await session.stop()
    ended = await bench.over(session)
    assert (ended["finalState"], ended["reason"]) == ("COMPLETED", "stopped by user")
    assert not await beats(bench.directory)


@pytest.mark.parametrize("how", [how for how in AWAY if how != "without the mark"])
async def test_a_normal_end_leaves_nothing_running_either(bench: Bench, how: str) -> None:
    session = bench.start("bash", "-c", f"{AWAY[how]}\nwhile [ ! -s beat ]; do sleep 0.02; done; exit 0")
    ended = await bench.over(session)
    assert (ended["finalState"], ended["reason"]) == ("COMPLETED", "exited by itself")
    assert not await beats(bench.directory)


async def test_a_process_that_began_while_its_session_was_being_paused_stands_still(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{AWAY['setsid']}\nsleep 100")
    await until((bench.directory / "beat").exists)
    await until(lambda: len(bench.runner.shared.processes.table.members(session.plan.session_id)) >= 3)
    terminal = session._terminal
    assert terminal is not None
    find, looks = terminal.find, iter([[terminal.pid]])  # the first look comes before it has begun
    terminal.find = lambda: next(looks, None) or find()
    await session.pause()
    assert not await beats(bench.directory)
    await session.resume()
    assert await beats(bench.directory)
    await session.stop()


HIDES = """
import os, time
for _ in range(2):  # its parents are gone before anybody looks
    if os.fork():
        os._exit(0)
    os.setsid()
os.execve("/bin/sh", ["sh", "-c", "while :; do date +%s%N > beat; sleep 0.05; done"], {"PATH": os.environ["PATH"]})
"""
HOPS = """
import os, time
end = time.monotonic() + 60
while time.monotonic() < end:  # a new process every moment; each list of them is out of date
    if os.fork():
        os._exit(0)
    os.setsid()
    with open("beat", "w") as file:
        file.write(str(time.time_ns()))
"""
needs_cgroups = pytest.mark.skipif(cgroups.usable() is None, reason="no control group can be made here")


@needs_cgroups
@pytest.mark.parametrize("script", [HIDES, HOPS], ids=["hides", "hops"])
async def test_a_control_group_ends_what_left_no_trace(bench: Bench, script: str) -> None:
    (bench.directory / "hide.py").write_text(script)
    session = bench.start("bash", "-c", f"env -i PATH=$PATH {sys.executable} hide.py; sleep 100")
    await until((bench.directory / "beat").exists)
    await session.stop(graceful=False)
    ended = await bench.over(session)
    assert (ended["finalState"], ended["reason"]) == ("COMPLETED", "stopped by user")
    assert not await beats(bench.directory)
    left = cgroups.usable()
    assert left is not None
    await until(lambda: not (left / cgroups.name_for(session.plan.session_id)).exists())


@needs_cgroups
async def test_what_a_killed_runner_left_in_a_control_group_is_ended(bench: Bench) -> None:
    group = cgroups.make("lost")
    assert group is not None
    left = await trio.lowlevel.open_process(["sleep", "1000"], env={}, preexec_fn=group.enter)
    group.begun()
    assert left.pid in processes.marked("lost")
    await trio.to_thread.run_sync(processes.kill_marked, "lost")
    with trio.fail_after(20):
        assert await left.wait() == -signal.SIGKILL
        while group.directory.exists():  # what is killed takes a moment to leave
            await trio.to_thread.run_sync(processes.kill_marked, "lost")
            await trio.sleep(0.02)


async def test_what_cannot_be_ended_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "usable", lambda: None)  # the kernel would end that one, too
    session = bench.start("bash", "-c", "setsid sleep 1000 & sleep 1000")
    await until(lambda: len(bench.runner.shared.processes.table.members(session.plan.session_id)) == 3)
    members = bench.runner.shared.processes.table.members(session.plan.session_id).values()
    (stubborn,) = [one.pid for one in members if one.terminal_session == one.pid and one.command[0] == "sleep"]
    kill = os.kill

    def refuse(pid: int, number: int) -> None:
        if pid == stubborn:
            raise PermissionError
        kill(pid, number)

    monkeypatch.setattr(os, "kill", refuse)
    await session.stop()
    ended = await bench.over(session)
    assert ended["reason"] == f"stopped by user; still running: sleep ({stubborn}), not permitted"
    kill(stubborn, signal.SIGKILL)


async def test_two_sessions_are_not_each_others(bench: Bench) -> None:
    first = bench.start("bash", "-c", "setsid sleep 1000 & sleep 1000")
    second = bench.start("bash", "-c", "setsid sleep 1000 & sleep 1000")
    table = bench.runner.shared.processes.table

    def pids(session: Session) -> set[int]:
        return set(table.members(session.plan.session_id))

    await until(lambda: len(pids(first)) == 3 and len(pids(second)) == 3)
    assert not pids(first) & pids(second)
    others = pids(second)
    await first.stop()
    await bench.over(first)
    assert pids(second) == others
    await second.stop()
    await bench.over(second)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in others)


@pytest.mark.parametrize("number", [1, 9, 15, 34, 40, 64])
async def test_any_signal_has_a_reason(bench: Bench, number: int) -> None:
    ended = await bench.over(bench.start(sys.executable, "-c", f"import os; os.kill(os.getpid(), {number})"))
    assert ended["exitCode"] == 128 + number
    assert ended["reason"].startswith("killed by ")
    assert CommandExit(signal=number).reason == ended["reason"]


async def test_a_command_takes_the_signals_that_its_runner_was_started_to_ignore(bench: Bench) -> None:
    """As `nohup townwatch runner` is."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            script = f"import os; os.kill(os.getpid(), {number.value})"
            assert (await bench.over(bench.start(sys.executable, "-c", script)))["exitCode"] == 128 + number
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


async def test_a_file_that_cannot_be_executed_ends_as_in_a_shell(bench: Bench) -> None:
    (bench.directory / "plain.txt").write_text("no program")
    assert (await bench.over(bench.start("./plain.txt")))["exitCode"] == 126
    assert (await bench.over(bench.start("./nothing")))["exitCode"] == 127
    assert (await bench.over(bench.start("")))["exitCode"] == 127
    assert (await bench.over(bench.start("x" * 300)))["exitCode"] == 127
    assert (await bench.over(bench.start("./" + "x" * 300)))["exitCode"] == 126
    assert (await bench.over(bench.start(str(bench.directory))))["exitCode"] == 126


async def test_a_script_without_a_first_line_is_run_as_by_a_shell(bench: Bench) -> None:
    for name, content in {"script": b"echo it runs with $1; exit 3\n", "empty": b"", "broken": b"\x7fELF\0\0"}.items():
        (bench.directory / name).write_bytes(content)
        (bench.directory / name).chmod(0o755)
    session = bench.start("./script", "this")
    assert (await bench.over(session))["exitCode"] == 3
    assert "it runs with this" in bench.output(session)
    assert (await bench.over(bench.start("./empty")))["exitCode"] == 0
    assert (await bench.over(bench.start("./broken")))["exitCode"] == 126


async def test_what_a_killed_runner_left_is_found_by_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool of any slot is read by any runner process of the machine, the sessions in it end, and so do their
    processes.
    """
    monkeypatch.setattr("townwatch.runner.slots.FIRST_LOOK_SECONDS", 0.05)
    state, work = tmp_path / "state", tmp_path / "work"
    work.mkdir()
    mark = "lostsession"
    async with open_bench(state, work, slot="run-7") as killed:
        killed.spool.open_session(mark, village="demo", provider="command", started_ms=1)
        await killed.runner.recorder.record(
            mark, "demo", "SESSION_STATE_CHANGED", previousState="CREATED", newState="RUNNING"
        )
        await killed.runner.recorder.settle()
        left = await trio.lowlevel.open_process(["sleep", "1000"], env={**os.environ, processes.MARK: mark})
    async with open_bench(state, work, slot="main"), open_bench(state, work, slot="run-1"):
        with trio.fail_after(20):
            assert await left.wait() == -signal.SIGKILL
    async with open_bench(state, work, slot="run-7") as found:
        (session,) = [one for one in found.spool.sessions() if one.session_id == mark]
        assert (session.live, session.state) == (False, "FAILED")
