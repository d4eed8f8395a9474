"""`townwatch run -- COMMAND` as a process of its own: as if nobody stood in between."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest
import trio

from tests.integration.runner.conftest import NOBODY, open_bench, until
from townwatch.runner import identity
from townwatch.runner.identity import Identity
from townwatch.runner.spool.spool import Spool, SpoolSession


@attrs.define(eq=False)
class Ran:
    """One `townwatch run`, whose terminal's other side is ours."""

    process: trio.Process
    master: int
    output: bytes = b""

    async def read(self) -> None:
        """Until the terminal is closed."""
        while True:
            try:
                data = await trio.to_thread.run_sync(os.read, self.master, 65536, abandon_on_cancel=True)
            except OSError:  # EIO: nobody holds the other side
                return
            self.output += data
            if not data:
                return


def command(state: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "townwatch", "run", f"--state-dir={state}", "--", *words]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A runner whose service is away."""
    identity.save(tmp_path / "state", Identity(runner_id="r1", token="t", url=NOBODY))
    return tmp_path / "state"


Act = Callable[[Ran], Any]


async def in_a_terminal(state: Path, act: Act, *words: str) -> Ran:
    """Run it in a terminal, let `act` do something, wait for its end."""
    master, slave = pty.openpty()
    process = await trio.lowlevel.open_process(
        command(state, *words), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    ran = Ran(process, master)
    try:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ran.read)
                await act(ran)
                await process.wait()
    finally:
        process.kill()
        os.close(master)
    return ran


async def nothing(_ran: Ran) -> None:
    await trio.lowlevel.checkpoint()


async def test_the_exit_code_is_the_commands_own(state: Path) -> None:
    ran = await in_a_terminal(state, nothing, "bash", "-c", "test -t 0 && test -t 1 && echo a terminal; exit 7")
    assert ran.process.returncode == 7
    assert b"a terminal" in ran.output


async def test_keys_arrive_and_control_c_interrupts(state: Path) -> None:
    async def act(ran: Ran) -> None:
        await until(lambda: b"ready" in ran.output)
        os.write(ran.master, b"hello\r")
        await until(lambda: b"got:hello" in ran.output)
        os.write(ran.master, b"\x03")

    script = "trap 'exit 5' INT; echo ready; read -r line; echo got:$line; while :; do sleep 0.05; done"
    ran = await in_a_terminal(state, act, "bash", "-c", script)
    assert ran.process.returncode == 5


async def test_who_ends_the_wrapper_ends_the_command(state: Path) -> None:
    async def act(ran: Ran) -> None:
        await until(lambda: b"ready" in ran.output)
        ran.process.terminate()

    ran = await in_a_terminal(state, act, "bash", "-c", "echo pid=$$=; echo ready; sleep 1000")
    assert ran.process.returncode == 128 + signal.SIGTERM
    assert not psutil.pid_exists(int(ran.output.split(b"=")[1]))


async def test_without_a_terminal_input_is_read_to_its_end(state: Path) -> None:
    done = await trio.run_process(
        command(state, "bash", "-c", "read -r line; echo got:$line; cat; exit 3"),
        stdin=b"one\ntwo\n", capture_stdout=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout == b"got:one\ntwo\n"


async def test_a_command_that_is_not_there_is_127_and_one_line(state: Path) -> None:
    done = await trio.run_process(command(state, "no-such-program"), stdin=b"", capture_stderr=True, check=False)
    assert done.returncode == 127
    assert done.stderr.decode().splitlines() == [
        "townwatch: could not start: no-such-program: No such file or directory"
    ]


def spooled(state: Path) -> tuple[list[SpoolSession], list[dict[str, Any]]]:
    spool = Spool(state / "runner" / "run-1" / "spool.db")
    try:
        sessions = spool.sessions()
        return sessions, [json.loads(e.body) for s in sessions for e in spool.unacked(s.session_id, 0, 10_000)]
    finally:
        spool.close()


async def test_a_runner_that_was_killed_is_told_truly_by_the_next_one(state: Path, tmp_path: Path) -> None:
    script = "echo pid=$$=; trap '' HUP; sleep 1000"
    process = await trio.lowlevel.open_process(
        command(state, "bash", "-c", script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None and process.stdout is not None
    async with process.stdin, process.stdout:
        try:
            seen = b""
            with trio.fail_after(20):
                while seen.count(b"=") < 2:
                    seen += await process.stdout.receive_some(1000)
            left = psutil.Process(int(seen.split(b"=")[1]))
            await until(lambda: any(event["type"] == "TERMINAL_CHUNK" for event in spooled(state)[1]))
        finally:
            process.kill()
            await process.wait()
    async with open_bench(state, tmp_path, slot="run-1"):
        sessions, events = spooled(state)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    changed, ended = events[-2:]
    assert (changed["previousState"], changed["newState"], changed["reason"]) == (
        "RUNNING", "FAILED", "runner process lost",
    )  # fmt: skip
    assert (ended["type"], ended["finalState"], ended["reason"]) == ("SESSION_ENDED", "FAILED", "runner process lost")
    assert [session.live for session in sessions] == [False]
    await until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
