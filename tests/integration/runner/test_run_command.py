"""`townwatch run -- COMMAND` is to the person and to the shell as the command itself. The service is away."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from townwatch.runner import identity
from townwatch.runner.identity import Identity
from townwatch.runner.session.terminal import Terminal
from townwatch.runner.spool.spool import Spool

SECONDS = 30


@pytest.fixture
def state(tmp_path: Path) -> Path:
    identity.save(tmp_path / "state", Identity(runner_id="r1", token="t", url="ws://127.0.0.1:9/runner"))
    return tmp_path / "state"


def wrapped(state: Path, *command: str) -> list[str]:
    return [sys.executable, "-P", "-m", "townwatch", "run", f"--state-dir={state}", "--", *command]


async def run(state: Path, *command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(SECONDS):
        return await trio.run_process(
            wrapped(state, *command), stdin=given, capture_stdout=True, capture_stderr=True, check=False
        )


class Screen:
    """A person's own terminal with the wrapped command in it."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.text = ""
        self._news = trio.Event()

    async def read(self) -> None:
        async for piece in self.terminal.output():
            self.text += piece if isinstance(piece, str) else ""
            self._news.set()

    async def shows(self, text: str) -> None:
        with trio.fail_after(SECONDS):
            while text not in self.text:
                self._news = trio.Event()
                await self._news.wait()

    async def type(self, text: str) -> None:
        await self.terminal.write(text.encode())


@asynccontextmanager
async def own_terminal(state: Path, *command: str) -> AsyncIterator[Screen]:
    terminal = await Terminal.start(command, cwd=state.parent, env=os.environ, cols=81, rows=31)
    async with trio.open_nursery() as nursery:
        screen = Screen(terminal)
        nursery.start_soon(screen.read)
        try:
            yield screen
        finally:
            with trio.CancelScope(shield=True):
                await terminal.end(10)
                await terminal.wait()
            nursery.cancel_scope.cancel()
            terminal.close()


def in_a_shell(state: Path, *command: str) -> list[str]:
    """A person's shell that runs the wrapped command, and then says its status and how the terminal was left."""
    script = 'before=$(stty -g); "$@"; echo status-$?; [ "$before" = "$(stty -g)" ] && echo same-as-before'
    return ["bash", "-c", script, "bash", *wrapped(state, *command)]


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15)]
)
async def test_the_exit_status_is_the_commands(state: Path, script: str, status: int) -> None:
    done = await run(state, "sh", "-c", script)
    assert (done.returncode, done.stderr) == (status, b"")


async def test_a_command_that_is_not_there_is_one_line_and_127(state: Path) -> None:
    done = await run(state, "no-such-program")
    assert done.returncode == 127
    assert done.stderr == b"townwatch: could not start: no-such-program: No such file or directory\n"


async def test_a_command_that_itself_ends_with_127_is_left_to_speak_for_itself(state: Path) -> None:
    done = await run(state, "sh", "-c", "exit 127")
    assert (done.returncode, done.stderr) == (127, b"")


@pytest.mark.parametrize(
    "given",
    [b"", b"no end of line", b"two\nlines\n", b"\x00\x03\x04\x1a\xff\xfe" * 50, b"x" * 20_000 + b"\n"],
    ids=["nothing", "no end of line", "lines", "control bytes", "a line longer than a terminal takes"],
)
async def test_piped_input_arrives_byte_for_byte_and_ends(state: Path, given: bytes) -> None:
    done = await run(state, "sha256sum", given=given)
    expected = await trio.run_process(["sha256sum"], stdin=given, capture_stdout=True)
    assert (done.stdout, done.returncode) == (expected.stdout, 0)


async def test_a_slow_reader_of_the_output_gets_all_of_it(state: Path) -> None:
    command = f"{' '.join(wrapped(state, 'seq', '1', '200000'))} | (sleep 1.5; tail -n 1; )"
    done = await trio.run_process(["sh", "-c", command], stdin=b"", capture_stdout=True)
    assert done.stdout == b"200000\n"


async def test_keys_and_bytes_pass_as_they_are(state: Path) -> None:
    script = "printf '\\033]0;title\\007\\377'; read -r line; echo got:$line"
    async with own_terminal(state, *wrapped(state, "bash", "-c", script)) as screen:
        await screen.shows("\x1b]0;title\x07�")
        await screen.type("päper\r")
        await screen.shows("got:päper")


async def test_a_killed_program_leaves_the_terminal_as_it_found_it(state: Path) -> None:
    script = "printf '\\033[?1049h\\033[?25l\\033[?1006h'; kill -KILL $$"
    async with own_terminal(state, *in_a_shell(state, "sh", "-c", script)) as screen:
        await screen.shows("same-as-before")
        left = screen.text.partition("\x1b[?1006h")[2].partition("status-")[0]
        assert all(undone in left for undone in ("\x1b[?1049l", "\x1b[?25h", "\x1b[?1006l"))


async def test_a_program_that_ends_by_itself_leaves_what_it_wants(state: Path) -> None:
    async with own_terminal(state, *in_a_shell(state, "sh", "-c", "printf '\\033[?25l'")) as screen:
        await screen.shows("same-as-before")
        assert "\x1b[?25h" not in screen.text


async def test_what_is_typed_ahead_is_not_lost(state: Path) -> None:
    async with own_terminal(state, *wrapped(state, "sh", "-c", "read -r line; echo got:$line")) as screen:
        await screen.type("early\r")
        await screen.shows("got:early")


async def test_the_size_follows_the_persons_screen(state: Path) -> None:
    script = "while :; do stty size; sleep 0.05; done"
    async with own_terminal(state, *wrapped(state, "bash", "-c", script)) as screen:
        await screen.shows("31 81")
        screen.terminal.resize(100, 40)
        await screen.shows("40 100")


async def test_control_c_is_the_commands_and_the_terminal_is_left_as_it_was(state: Path) -> None:
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    async with own_terminal(state, *in_a_shell(state, "sh", "-c", script)) as screen:
        await screen.shows("ready")
        await screen.type("\x03")
        for text in ("caught", "status-3", "same-as-before"):
            await screen.shows(text)


async def test_the_terminal_is_left_as_it_was_when_the_wrapper_is_ended_from_outside(state: Path) -> None:
    async with own_terminal(state, *in_a_shell(state, "sh", "-c", "echo ready; cat")) as screen:
        await screen.shows("ready")
        await screen.type("hello\r")
        await screen.shows("hello\r\nhello")
        (runner,) = [
            pid for pid in screen.terminal.members() if " -m townwatch run " in command_line(pid).split("bash")[0]
        ]
        os.kill(runner, signal.SIGTERM)
        await screen.shows(f"status-{128 + signal.SIGTERM}")
        await screen.shows("same-as-before")


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


async def test_interrupts_of_a_job_without_a_keyboard_are_the_commands(state: Path) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    process = await trio.lowlevel.open_process(
        wrapped(state, "sh", "-c", script), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with trio.fail_after(SECONDS):
        async with process.stdout:
            assert b"ready" in await process.stdout.receive_some()
            process.send_signal(signal.SIGINT)
            assert b"caught" in await process.stdout.receive_some()
            assert await process.wait() == 4


async def test_what_happened_is_in_the_spool_while_the_service_is_away(state: Path) -> None:
    await run(state, "sh", "-c", "echo kept; exit 5")
    spool = Spool(state / "runner" / "run-1" / "spool.db")
    (session,) = spool.sessions()
    events = [json.loads(one.body) for one in spool.unacked(session.session_id, 0, 100)]
    spool.close()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "kept" in "".join(event.get("data", "") for event in events)
    assert (events[-1]["type"], events[-1]["exitCode"]) == ("SESSION_ENDED", 5)
    assert not session.live


async def test_a_person_is_told_that_the_service_was_away_and_a_pipe_is_not(state: Path) -> None:
    async with own_terminal(state, *in_a_shell(state, "sh", "-c", "echo work")) as screen:
        await screen.shows("same-as-before")
        said = screen.text.partition("work")[2]
        assert "ws://127.0.0.1:9/runner was not told all of this (" in said
        assert "refused" in said
        assert "kept on this machine" in said
    done = await run(state, "sh", "-c", "echo work")
    assert (done.stdout, done.stderr) == (b"work\n", b"")


# --- in a pipe, as without us -----------------------------------------------------------------------------------------


async def in_shell(state: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """A line of shell in which TW is `townwatch run --`."""
    script = f'tw() {{ {shlex.join(wrapped(state))} "$@"; }}; {line}'
    with trio.fail_after(SECONDS):
        return await trio.run_process(["bash", "-c", script], capture_stdout=True, capture_stderr=True, check=False)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("tw yes | head -1; echo ${PIPESTATUS[0]}", b"y\n141\n"),
        ("tw sh -c 'while :; do echo x; done' | head -1; echo ${PIPESTATUS[0]}", b"x\n141\n"),
        ("tw sh -c 'echo ok' <&-; echo $?", b"ok\n0\n"),
        ("tw sh -c 'exit 4' >&-; echo $?", b"4\n"),
        ("tw printf 'a\\r' | xxd -p", b"610d\n"),
        ("tw printf 'a\\r\\nb\\r' | xxd -p", b"610d0a620d\n"),
        ("tw sh -c 'kill -40 $$'; echo $?", b"168\n"),
        ("echo x > plain; tw ./plain; echo $?", b"126\n"),
        ("tw ./nothing-there; echo $?", b"127\n"),
    ],
)
async def test_in_a_pipe_it_is_as_without_us(state: Path, line: str, shown: bytes) -> None:
    assert (await in_shell(state, f"cd {state.parent}; {line}")).stdout == shown


async def test_a_program_that_ignores_sigpipe_ends_too(state: Path) -> None:
    loop = "while True: print(1, flush=True)"
    done = await in_shell(state, f"tw {sys.executable} -c '{loop}' | head -1")
    assert done.stdout == b"1\n"
