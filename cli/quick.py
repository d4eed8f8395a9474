"""`townwatch ask`, `alert` and `usage`: one request to the runner of this session, with the standard library alone.

The other side, and the wire between them, is `runner/session/agent_socket.py`: one JSON line there, one back. Agents
run these at every tool, so the question is sent before `json` is imported, and `socket` never is: together they cost as
much as the interpreter's whole start.
"""

from __future__ import annotations

import os
import sys

try:  # what `socket` and `json` are made of in CPython
    from _json import encode_basestring_ascii as _quoted
    from _socket import socket
except ImportError:
    from json import dumps as _quoted
    from socket import socket

TYPE_CHECKING = False  # `import typing` alone costs a quarter of the whole start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

ADDRESS, SESSION, TOKEN = "TOWNWATCH_ASK", "TOWNWATCH_SESSION", "TOWNWATCH_ASK_TOKEN"
CONNECT_SECONDS = 10.0
ALLOWED, DENIED, TROUBLE = 0, 1, 2


class Option:
    """One `--name VALUE`. `field` is its name on the wire; `kind` converts the text or raises ValueError."""

    def __init__(
        self,
        field: str,
        help: str,
        kind: Callable[[str], Any] = str,
        *,
        choices: tuple[str, ...] = (),
        required: bool = False,
        default: Any = None,
    ) -> None:
        self.field, self.help, self.kind = field, help, kind
        self.choices, self.required, self.default = choices, required, default


class CliCommand:
    """One command: (name, help) of each positional argument, the first `needed` of which must be given; the options."""

    def __init__(
        self, summary: str, positional: tuple[tuple[str, str], ...], needed: int, options: dict[str, Option]
    ) -> None:
        self.summary, self.positional, self.needed, self.options = summary, positional, needed, options


class UsageError(Exception):
    """The command line is wrong; the message says where and what is accepted."""


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _money(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


NUMBERS: dict[Callable[[str], Any], str] = {
    _seconds: "number of seconds above 0",
    _count: "whole number, 0 or more",
    _money: "amount, 0 or more",
}

COMMANDS: dict[str, CliCommand] = {
    "ask": CliCommand(
        "Ask for approval, from inside a session: status 0 when allowed, 1 when denied, 2 when no answer could be had.",
        (("summary", "what is to be done"),),
        1,
        {
            "category": Option(
                "category",
                "what kind of thing it is",
                choices=("merge", "deps_add", "secrets", "deploy", "shell", "network"),
                required=True,
            ),
            "risk": Option("risk", "how bad it could be", choices=("low", "med", "high"), required=True),
            "timeout": Option("timeoutSeconds", "seconds after which no answer is a no (default: a day)", _seconds),
        },
    ),
    "alert": CliCommand(
        "Raise an alert, from inside a session. Raised again as info or warn under the same id, it is resolved.",
        (("title", "what happened, in a line"), ("description", "more about it")),
        1,
        {
            "severity": Option("severity", "how bad", choices=("info", "warn", "error", "critical"), default="warn"),
            "category": Option(
                "category",
                "what it is about",
                choices=("security", "performance", "build", "test", "dependency", "policy"),
                default="build",
            ),
            "alert-id": Option("alertId", "name of the alert, to raise or resolve the same one again"),
        },
    ),
    "usage": CliCommand(
        "Report tokens that were used, from inside a session.",
        (),
        0,
        {
            "input-tokens": Option("inputTokens", "tokens sent to the model", _count, default=0),
            "output-tokens": Option("outputTokens", "tokens received from it", _count, default=0),
            "cost-usd": Option("costUsd", "what they cost, in US dollars, where it is known", _money),
            "model": Option("model", "the model; without --cost-usd a table of prices says what it costs"),
        },
    ),
}


def run(arguments: list[str]) -> int:
    """Run `ask`, `alert` or `usage` (the first of `arguments`) and return the exit status."""
    name = arguments[0]
    command = COMMANDS[name]
    if any(word in ("--help", "-h") for word in _before_separator(arguments)):
        print(usage(name))
        return 0
    try:
        fields = parse(name, arguments[1:])
        answer = request(name, fields)
    except UsageError as error:
        return _complain(f"{error}; see townwatch {name} --help")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return _complain(f"the runner of this session does not answer: {why}")
    if not answer.get("ok"):
        return _complain(str(answer.get("error")))
    if command is not COMMANDS["ask"]:
        return 0
    decision = str(answer.get("decision"))
    by = f" by {answer['resolvedBy']}" if answer.get("resolvedBy") else ""
    note = f": {answer['note']}" if answer.get("note") else ""
    print(f"{decision}{by}{note}")
    return {"allow": ALLOWED, "deny": DENIED}.get(decision, TROUBLE)


def _before_separator(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def parse(name: str, words: list[str]) -> dict[str, Any]:
    """Return the fields of the request for `words`, options and positional arguments in any order.

    Raises:
        UsageError: an unknown option, a value that is not accepted, an argument too many or missing.
    """
    command = COMMANDS[name]
    fields: dict[str, Any] = {option.field: option.default for option in command.options.values()}
    given: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            given += rest
            break
        if not word.startswith("--"):
            given.append(word)
            continue
        key, equals, value = word[2:].partition("=")
        option = command.options.get(key.replace("_", "-"))
        if option is None:
            raise UsageError(f"unknown option --{key}")
        if not equals:
            if not rest:
                raise UsageError(f"--{key} needs a value")
            value = rest.pop(0)
        fields[option.field] = _convert(key, option, value)
    missing = [f"--{key}" for key, o in command.options.items() if o.required and fields[o.field] is None]
    missing += [label for label, _ in command.positional[len(given) : command.needed]]
    if missing:
        raise UsageError(f"missing: {', '.join(missing)}")
    if len(given) > len(command.positional):
        raise UsageError(f"one argument too many: {given[len(command.positional)]!r} (quote what has blanks)")
    labels = [label for label, _ in command.positional]
    return fields | dict.fromkeys(labels, "") | dict(zip(labels, given, strict=False))


def _convert(key: str, option: Option, value: str) -> Any:
    if option.choices and value not in option.choices:
        raise UsageError(f"--{key} {value!r}: choose one of {', '.join(option.choices)}")
    try:
        return option.kind(value)
    except ValueError:
        raise UsageError(f"--{key} {value!r} is no {NUMBERS[option.kind]}") from None


def usage(name: str) -> str:
    """Return the help text of a command: a line for each argument and option."""
    command = COMMANDS[name]
    rows = [(label.upper(), text) for label, text in command.positional]
    for key, option in command.options.items():
        choices = f" {{{','.join(option.choices)}}}" if option.choices else " VALUE"
        default = f" (default: {option.default})" if option.default is not None else ""
        rows.append((f"--{key}{choices}", option.help + (" (required)" if option.required else default)))
    words = " ".join(label.upper() for label, _ in command.positional)
    lines = [f"Usage: townwatch {name} [OPTIONS] {words}".rstrip(), "", command.summary, ""]
    for left, right in rows:
        lines += [f"  {left}", f"      {right}"]
    return "\n".join(lines)


def request(action: str, fields: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Send one request to the runner of this session and return its answer, however long a person takes.

    Raises:
        UsageError: not inside a session.
        OSError: the runner is gone, or ended before it answered.
        ValueError: the answer is no JSON object.
    """
    address, session, token = (environ.get(name, "") for name in (ADDRESS, SESSION, TOKEN))
    if not (address and session and token):
        raise UsageError("this is no session of Townwatch: start the command with `townwatch run -- COMMAND`")
    host, _, port = address.rpartition(":")
    connection = socket()  # TCP over IPv4, as the runner listens
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect((host, int(port)))
        connection.settimeout(None)  # an answer takes as long as a person does
        connection.sendall(_line({"session": session, "token": token, "action": action, **fields}))
        import json

        answer = b""
        while not answer.endswith(b"\n"):
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionResetError("it ended before it answered")
            answer += piece
    finally:
        connection.close()
    found: Any = json.loads(answer)
    if not isinstance(found, dict):
        raise ValueError("its answer is no JSON object")
    return found  # pyright: ignore[reportUnknownVariableType]


def _line(fields: Mapping[str, str | float | None]) -> bytes:
    """Return one line of JSON, as `json.dumps` writes it."""
    pairs = (f"{_quoted(name)}: {_value(value)}" for name, value in fields.items())
    return f"{{{', '.join(pairs)}}}\n".encode("ascii")


def _value(value: str | float | None) -> str:
    if value is None:
        return "null"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _complain(message: str) -> int:
    print(f"townwatch: {message}", file=sys.stderr)
    return TROUBLE
