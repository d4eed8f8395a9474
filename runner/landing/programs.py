"""Running git and a forge's program for a person: as the session's user, in its environment, bounded in time and text.

What observes a session (observers/git.py) runs nothing that a repository configures. A commit or a push that a person
asks for does: hooks, filters, signing, credential helpers. They run with the rights of the session's own processes,
which could run the same, and never wait for a terminal.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import trio

from townwatch.runner.account import Account, inherited, options_of_children
from townwatch.runner.session.environment import session_environment
from townwatch.runner.session.lifecycle import NotPossible

LOOK_SECONDS = 15.0
KEPT_BYTES = 64 * 1024
"""Of each stream. More is read, and dropped."""
LISTED_BYTES = 8 << 20
"""The same, of what lists files."""
LINGER_SECONDS = 1.0
"""How long the ends of a program's output are waited for: what a hook left running may hold them for ever."""
SAID_CHARS = 2000

_KEPT_GIT = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_SSH", "GIT_SSL_", "GIT_PROXY", "GIT_HTTP", "GIT_CONFIG_GLOBAL",
             "GIT_CONFIG_SYSTEM", "GIT_TRACE")  # fmt: skip
"""Variables that say who commits, and how a remote is reached. Others would point git at another repository."""
_NO_QUESTIONS = {
    "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never",
    "GIT_EDITOR": ":", "GIT_SEQUENCE_EDITOR": ":", "GIT_PAGER": "cat", "PAGER": "cat",
    "GIT_MERGE_AUTOEDIT": "no",
    "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_PROMPT": "1", "NO_COLOR": "1", "CLICOLOR": "0",
}  # fmt: skip


class ProgramFailed(NotPossible):
    """A program failed, is missing or took too long; the message is its own words."""

    code = "GIT"


class ProgramEnded(ProgramFailed):
    """A program was ended before it was done: whether it has done its work is not known."""


@attrs.frozen
class Output:
    code: int
    out: bytes
    errors: bytes

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace").strip()

    @property
    def words(self) -> str:
        """Return what it said to a person: the end of it, where that is long."""
        both = f"{self.errors.decode(errors='replace')}\n{self.out.decode(errors='replace')}".strip()
        return both if len(both) <= SAID_CHARS else f"… {both[-SAID_CHARS:]}"


def environment_for(account: Account | None, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a session's processes, without what leads to our own door. `more`: of its order."""
    found = {**session_environment(False, inherited(account)), **more}
    kept = {name: value for name, value in found.items() if not name.startswith("GIT_") or name.startswith(_KEPT_GIT)}
    return {**{name: value for name, value in kept.items() if name != "DISPLAY"}, **_NO_QUESTIONS, "LC_ALL": "C.UTF-8"}


@attrs.frozen
class Programs:
    """Runs programs in one directory."""

    directory: Path
    env: Mapping[str, str]

    async def git(
        self,
        *words: str,
        ok: Sequence[int] = (0,),
        feed: bytes = b"",
        seconds: float = LOOK_SECONDS,
        env: Mapping[str, str] = {},
        most: int = KEPT_BYTES,
    ) -> Output:
        """Run git. Raises `ProgramFailed`."""
        command = ["git", "-C", str(self.directory), "-c", "core.quotepath=off", "-c", "color.ui=false", *words]
        name = next((word for word in words if not word.startswith("-")), "")
        return await self.run(command, f"git {name}", ok=ok, feed=feed, seconds=seconds, env=env, most=most)

    async def run(
        self,
        command: Sequence[str],
        name: str,
        *,
        ok: Sequence[int] = (0,),
        feed: bytes = b"",
        seconds: float = LOOK_SECONDS,
        env: Mapping[str, str] = {},
        most: int = KEPT_BYTES,
    ) -> Output:
        """Run a program. Raises `ProgramFailed`."""
        options = options_of_children()
        if command[0] != "git":
            # `-C` is git's own; another program begins in the directory, which the account may be alone to enter.
            command = ["/bin/sh", "-c", 'cd -- "$1" && shift && exec "$@"', "sh", str(self.directory), *command]
        try:
            with trio.fail_after(seconds):
                done = await _output(command, feed, {**self.env, **env}, options, most)
        except OSError as error:
            raise ProgramFailed(f"{name} cannot be run: {error.strerror}") from None
        except trio.TooSlowError:
            raise ProgramEnded(f"{name} took more than {seconds:g} s and was ended") from None
        if done.code < 0:
            raise ProgramEnded(f"{name} was ended by {_signal(-done.code)}")
        if done.code not in ok:
            raise ProgramFailed(done.words or f"{name} failed with exit code {done.code}, and said nothing")
        return done


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _output(
    command: Sequence[str], feed: bytes, env: Mapping[str, str], options: Mapping[str, Any], most: int
) -> Output:
    """Run it to its end. When that is cancelled, it and all that it started are killed at once."""
    process = await trio.lowlevel.open_process(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(env), start_new_session=True, **options,
    )  # fmt: skip
    out, errors = bytearray(), bytearray()

    async def give() -> None:
        assert process.stdin is not None
        async with process.stdin as stdin:
            with suppress(trio.BrokenResourceError):
                await stdin.send_all(feed)

    async def take(stream: trio.abc.ReceiveStream | None, into: bytearray) -> None:
        assert stream is not None
        async with stream:
            async for piece in stream:
                into += piece[: max(0, most - len(into))]

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give)
            nursery.start_soon(take, process.stderr, errors)
            nursery.start_soon(take, process.stdout, out)
            await process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + LINGER_SECONDS
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await process.wait()
    return Output(process.returncode or 0, bytes(out), bytes(errors))
