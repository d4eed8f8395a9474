"""Adopt a conversation that an agent's CLI had outside of Townwatch: the command line that goes on with it.

Two processes that go on with one conversation would write over each other, so one that is still open is refused. The
CLI's own files say which conversations there are; they are looked at, never written.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import psutil

from townwatch.runner.account import acting
from townwatch.runner.agents import catalog
from townwatch.runner.agents.claude import session_file

NAME_CHARS = 8
"""Names of conversations are longer; what is shorter is their number in a list."""


class CannotAdopt(Exception):
    """The CLI cannot go on with that conversation here; the message says why and what to do."""


@attrs.frozen
class _Ways:
    """Arguments that go on with the conversation of a name, with the latest one, with one that is chosen in the CLI's
    own list (None: it has none). ``ID`` stands for the name.
    """

    named: Sequence[str]
    latest: Sequence[str]
    listed: Sequence[str] | None = None


WAYS: dict[str, _Ways] = {
    "claude": _Ways(("--resume", "ID"), ("--continue",), ("--resume",)),
    "codex": _Ways(("resume", "ID"), ("resume", "--last"), ("resume",)),
    "opencode": _Ways(("--session", "ID"), ("--continue",)),
    "gemini": _Ways(("--resume", "ID"), ("--resume", "latest")),
    "qwen": _Ways(("--resume", "ID"), ("--continue",), ("--resume",)),
    "copilot": _Ways(("--resume=ID",), ("--continue",), ("--resume",)),
}


def command_line(
    agent: str, conversation: str | None, *, latest: bool = False, env: Mapping[str, str] = os.environ
) -> list[str]:
    """Return the command that goes on with a conversation of an agent (its program, or its providerId). Without a name,
    and without `latest`: with the CLI's own list, for a person to choose from.

    Raises:
        CannotAdopt: an unknown agent, a conversation that is open in another process, no list to choose from.
    """
    program = catalog.PROGRAMS.get(agent, agent)
    ways = WAYS.get(program)
    if ways is None:
        raise CannotAdopt(f"{agent} is no agent that can go on with a conversation; those are {', '.join(WAYS)}")
    if conversation is not None:
        if conversation.startswith("-"):
            raise CannotAdopt(f"{conversation!r} is no name of a conversation")
        if (pid := open_in(program, conversation, env)) is not None:
            raise CannotAdopt(f"{conversation} is open in process {pid}; end that one first, as two would overwrite it")
        return [program, *(word.replace("ID", conversation) for word in ways.named)]
    if latest:
        return [program, *ways.latest]
    if ways.listed is None:
        raise CannotAdopt(f"{program} has no list to choose from: name the conversation, or take the --latest one")
    return [program, *ways.listed]


def open_in(program: str, conversation: str, env: Mapping[str, str]) -> int | None:
    """Return the process that a conversation is open in; None where none is seen: by the CLI's own word where it gives
    one (Claude), else by a file of that name that a process of ours holds open.
    """
    if program == "claude":
        directory = session_file.directory(env)
        for path in sorted(directory.glob("*.json")) if directory is not None else ():
            seen = session_file.read(path)
            ours = seen is not None and seen.session_id == conversation and path.stem.isdigit()
            if ours and psutil.pid_exists(int(path.stem)):
                return int(path.stem)
        return None
    if len(conversation) < NAME_CHARS:  # a number in a list: it is in the names of many files
        return None
    account = acting.get()
    user = os.getuid() if account is None else account.uid
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user and _holds(process, conversation):
                return int(process.name)
        except OSError:  # it has ended, or may not be looked at
            continue
    return None


def _holds(process: Path, name: str) -> bool:
    """Return whether a process has a file open that is named so."""
    for descriptor in (process / "fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if name in os.readlink(descriptor).rpartition("/")[2]:
                return True
    return False
