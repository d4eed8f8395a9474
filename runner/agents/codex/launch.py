"""Starting Codex beside us: an app-server of the session's own and the terminal program as its client."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import attrs

SERVER_OPTIONS = frozenset({"-c", "--config", "--enable", "--disable"})
"""Options that the app-server takes as well: what they configure is decided there."""
VALUED = frozenset(
    {"-m", "--model", "-p", "--profile", "-s", "--sandbox", "-a", "--ask-for-approval", "-C", "--cd", "-i", "--image"}
    | {"--add-dir", "--local-provider", "--remote", "--remote-auth-token-env"}
    | SERVER_OPTIONS
)
OTHER_COMMANDS = frozenset(
    "exec e review login logout mcp mcp-server plugin app-server remote-control app completion update doctor sandbox "
    "debug apply a archive delete unarchive cloud exec-server features help proto generate-ts".split()
)
"""Commands of codex that are not its conversation in the terminal."""
UNTOUCHED = frozenset({"--remote", "--no-daemon", "-h", "--help", "-V", "--version", "--oss"})

# `set -m` gives the server a process group of its own: ^C in the terminal is not for it. It ends with the session.
_START = """
set -m; {codex} app-server {options} --listen {address} </dev/null >{log} 2>&1 & server=$!; set +m
tries=0
while [ ! -S {socket} ] && kill -0 $server 2>/dev/null && [ $tries -lt 400 ]; do sleep 0.05; tries=$((tries+1)); done
alone() {{ : >{alone}; kill $server 2>/dev/null; exec {codex} --no-daemon "$@"; }}
"""
_TERMINAL = """
[ -S {socket} ] || alone {given}
exec {codex} --remote {address} {directory} {given}
"""
_ORDERED = """
while [ -S {socket} ] && [ ! -s {thread} ] && [ ! -e {alone} ] && kill -0 $server 2>/dev/null; do sleep 0.05; done
[ -s {thread} ] || alone {order}
exec {codex} --remote {address} {directory} {given} resume "$(cat {thread})"
"""


def arguments(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (options for the app-server, positional arguments) of a command line of codex."""
    server: list[str] = []
    positional: list[str] = []
    words = list(command[1:])
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if word == "--":
            positional += words
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        taken = [word]
        if name in VALUED and "=" not in word and words:
            taken.append(words.pop(0))
        if name in SERVER_OPTIONS:
            server += taken
    return server, positional


def is_conversation(command: Sequence[str]) -> bool:
    """Return whether a command line opens codex's conversation in the terminal, with a server that it would choose."""
    if any(word.partition("=")[0] in UNTOUCHED for word in command[1:]):
        return False
    _, positional = arguments(command)
    return not positional or positional[0] not in OTHER_COMMANDS


@attrs.frozen(kw_only=True)
class Files:
    """What the server, the terminal program and we share. `thread` will name the conversation of an order; `alone` is
    there once the terminal program is to go on without a server, by itself or because we say so.
    """

    socket: Path
    log: Path
    thread: Path
    alone: Path


def wrapped(
    codex: str, given: Sequence[str], files: Files, *, cwd: Path, server: Sequence[str], order: Sequence[str] | None
) -> list[str]:
    """Return the command line for the pseudo-terminal: the server in the background, the terminal program before it.

    `order`: the arguments that carry an order out without a server, where that cannot be had; None for a person's own.
    """
    placed = any(word.partition("=")[0] in ("-C", "--cd") for word in given)
    words = {
        "codex": [codex],
        "options": server,
        "address": [f"unix://{files.socket}"],
        "socket": [str(files.socket)],
        "log": [str(files.log)],
        "thread": [str(files.thread)],
        "alone": [str(files.alone)],
        "directory": [] if placed else ["-C", str(cwd)],
        "given": given,
        "order": order or [],
    }
    quoted = {name: shlex.join(values) for name, values in words.items()}
    script = _START + (_TERMINAL if order is None else _ORDERED)
    return ["/bin/sh", "-c", script.format(**quoted)]
