"""Running git: bounded in time and output, and never running what the repository's configuration names."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from townwatch.runner.account import environment_of_children, options_of_children

TIMEOUT_SECONDS = 20.0
OUTPUT_BYTES = 32 << 20
"""git is ended where it says more than this."""
ERROR_CHARS = 500
HARDENED = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*",
            "-c", "core.quotepath=off")  # fmt: skip
"""Settings that no configuration overrides. Other users' repositories are read too: nothing of them is run."""

_TRANSPORT = ("GIT_SSH", "GIT_SSL_", "GIT_ASKPASS", "GIT_PROXY", "GIT_HTTP", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
"""Variables that are kept: how a clone reaches its server, and which files the user's own settings are in."""


class GitError(Exception):
    """git is missing, failed, said too much or took too long."""


class GitTooSlow(GitError):
    """git took too long, and was ended."""


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """Return git's environment, without the variables by which a hook or a caller points it elsewhere."""
    given = environment_of_children()
    inherited = {name: value for name, value in given.items() if not name.startswith("GIT_")}
    kept = {name: value for name, value in given.items() if name.startswith(_TRANSPORT)}
    ours = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    return {**inherited, **kept, **ours, **more}


async def git(
    directory: Path,
    *arguments: str,
    feed: bytes = b"",
    ok: Sequence[int] = (0,),
    seconds: float = TIMEOUT_SECONDS,
    env: Mapping[str, str] = {},
) -> bytes:
    """The output of one git command. Raises `GitError`."""
    name = next((word for word in arguments if not word.startswith("-")), "")
    command = ["git", "-C", str(directory), *HARDENED, *arguments]
    try:
        with trio.fail_after(seconds):
            code, out, errors = await _run(command, feed, environment(env))
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    except trio.TooSlowError:
        raise GitTooSlow(f"git {name} took more than {seconds:g} s") from None
    if len(out) > OUTPUT_BYTES:
        raise GitError(f"git {name} said more than {OUTPUT_BYTES >> 20} MiB")
    if code not in ok:
        raise GitError(_reason(errors.decode(errors="replace")) or f"git {name} failed")
    return out


def _reason(errors: str) -> str:
    """Return the line in which git says why: the fatal one, else the first; never its page of usage."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("fatal:")]
    return (fatal or lines or [""])[0][:ERROR_CHARS]


async def _run(command: Sequence[str], feed: bytes, env: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """(exit code, output, error output). When it is cancelled, git and all that it started are killed at once."""
    process = await trio.lowlevel.open_process(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(env), start_new_session=True, **options_of_children(),
    )  # fmt: skip
    out, errors = bytearray(), bytearray()

    def kill() -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    async def give() -> None:
        assert process.stdin is not None
        async with process.stdin as stdin:
            with suppress(trio.BrokenResourceError):
                await stdin.send_all(feed)

    async def take(stream: trio.abc.ReceiveStream | None, into: bytearray, limit: int) -> None:
        assert stream is not None
        async with stream:
            async for piece in stream:
                if len(into) <= limit:
                    into += piece
                else:
                    kill()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give)
            nursery.start_soon(take, process.stderr, errors, 4096)
            nursery.start_soon(take, process.stdout, out, OUTPUT_BYTES)
            await process.wait()
    finally:
        if process.returncode is None:
            kill()
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await process.wait()
    return process.returncode or 0, bytes(out), bytes(errors)
