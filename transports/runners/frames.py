"""The two ways runners talk: `townwatch.runner.v1`, and the dialect without acknowledgements. Pure.

From a frame to a message of contracts.link, and from a command to a frame. What is wrong with a frame is a
`FrameProblem`: its code and text go to the runner, and `close` says whether the connection can go on.
"""

from functools import cache
from typing import Any, Literal, Protocol, cast

import attrs
import msgspec

from contracts.codec import ContractError, camel, decode_json, encode, to_json_values
from contracts.link import (
    Capabilities,
    Command,
    Events,
    Heartbeat,
    Hello,
    LinkError,
    Nack,
    Result,
    Welcome,
    decode_from_runner,
)

KNOWN_TYPES = frozenset(cls.TYPE for cls in (Hello, Events, Heartbeat, Result))
HEARTBEAT_SESSION = "runner_heartbeat"

_members: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


@attrs.frozen
class FrameProblem(Exception):
    """A frame that cannot be taken. `close`: the WebSocket code to close with; None: it is ignored."""

    code: str
    message: str
    close: int | None = None


def text_of(message: str | bytes, limit: int) -> bytes:
    """The frame's bytes. Raises `FrameProblem` for a binary one and for one that is too long."""
    if isinstance(message, bytes):
        raise FrameProblem("E_BINARY", "every message is a JSON text frame, this one is binary", 1003)
    data = message.encode()
    if len(data) > limit:
        raise FrameProblem("E_TOO_LARGE", f"a frame of {len(data)} bytes is longer than {limit}", 1009)
    return data


def unknown_fields(cls: type[Any], data: bytes | msgspec.Raw) -> int:
    """How many fields of a valid message nobody here knows."""
    return len(_members.decode(data).keys() - _wire_names(cls))


@cache
def _wire_names(cls: type[Any]) -> frozenset[str]:
    return frozenset({"type", *(camel(field.name) for field in attrs.fields(cls))})


@attrs.frozen
class Beating:
    """The heartbeat of the dialect without acknowledgements: it also says what a hello would."""

    hello: Hello
    heartbeat: Heartbeat


FromWire = Hello | Events | Heartbeat | Result | Beating


class Dialect(Protocol):
    """How one kind of runner is understood and spoken to."""

    lenient: bool
    """Whether holes are recorded instead of asked for, and nothing is acknowledged."""

    def read(self, data: bytes) -> FromWire:
        """Raises `FrameProblem`."""
        ...

    def write(self, message: Welcome | Nack | LinkError | Command | Any) -> bytes | None:
        """None where the runner would not understand it."""
        ...


class V1:
    """`townwatch.runner.v1`."""

    lenient = False

    def read(self, data: bytes) -> FromWire:
        try:
            return decode_from_runner.decode(data)
        except ContractError as error:
            raise _problem(data, error) from None

    def write(self, message: Any) -> bytes | None:
        return encode(message)


def _problem(data: bytes, error: ContractError) -> FrameProblem:
    """Why `data` is no message: not JSON and not an object end the connection, the rest is only ignored."""
    try:
        value = decode_json(data, max_bytes=len(data))
    except ContractError as unreadable:
        return FrameProblem("E_BAD_JSON", f"the frame is not JSON: {unreadable.message}", 1007)
    if not isinstance(value, dict):
        return FrameProblem("E_BAD_PAYLOAD", "every message is a JSON object with a type", 1007)
    kind = cast(dict[str, Any], value).get("type")
    if not isinstance(kind, str) or kind not in KNOWN_TYPES:
        known = ", ".join(sorted(KNOWN_TYPES))
        return FrameProblem("E_UNKNOWN_TYPE", f"type: {str(kind)[:60]!r} is none of {known}")
    return FrameProblem(error.code, f"{kind}: {error}")


class Ackless:
    """Runners in the field: one event a frame, commands in capitals, no answers."""

    lenient = True

    def __init__(self, runner_id: str) -> None:
        self._runner_id = runner_id

    def read(self, data: bytes) -> FromWire:
        if HEARTBEAT_SESSION.encode() in data:
            beating = self._heartbeat(data)
            if beating is not None:
                return beating
        return Events(events=[msgspec.Raw(data)])

    def write(self, message: Any) -> bytes | None:
        return _in_capitals(message) if isinstance(message, Command) else None

    def _heartbeat(self, data: bytes) -> Beating | None:
        """None where the session is another one that merely speaks of heartbeats."""
        try:
            event = decode_json(data)
            if not isinstance(event, dict) or cast(dict[str, Any], event).get("sessionId") != HEARTBEAT_SESSION:
                return None
            fields = cast(dict[str, Any], event)
            told = decode_json(str(fields.get("reason") or "{}"))
            if not isinstance(told, dict):
                raise ContractError("reason", "is not a JSON object in a string")
            return self._beating(cast(dict[str, Any], told), fields.get("ts"))
        except ContractError as error:
            raise FrameProblem(error.code, f"heartbeat: {error}") from None

    def _beating(self, told: dict[str, Any], ts: Any) -> Beating:
        mode: Literal["hosted", "customer_hosted"] = "hosted" if told.get("mode") == "hosted" else "customer_hosted"
        most = told.get("maxSessions")
        versions = told.get("providerVersions")
        versions = cast(dict[Any, Any], versions) if isinstance(versions, dict) else {}
        hello = Hello(
            runner_id=self._runner_id,
            name=self._runner_id,
            version=str(told.get("version") or "unknown")[:100],
            mode=mode,
            capabilities=Capabilities(
                providers=_strings(told.get("capabilities")) or [str(name) for name in versions],
                max_concurrent_sessions=most if isinstance(most, int) and 0 <= most <= 100_000 else 8,
            ),
            provider_versions={str(name): str(version) for name, version in versions.items()},
        )
        return Beating(hello, Heartbeat(ts=ts if isinstance(ts, int | float) and ts >= 0 else 0))


def _strings(value: Any) -> list[str]:
    return [item for item in cast(list[Any], value) if isinstance(item, str)] if isinstance(value, list) else []


def silent_hello(runner_id: str) -> Hello:
    """What is known of a runner of the ack-less dialect before its first heartbeat."""
    return Hello(runner_id=runner_id, name=runner_id, version="unknown")


def _in_capitals(command: Command) -> bytes | None:
    """The command as runners in the field know it; None for one they never learnt."""
    session = command.session_id
    body: dict[str, Any]
    match command.command:
        case "start":
            body = {"config": to_json_values(command.config)}
        case "input":
            told = {"sessionId": session, "data": command.data, "mode": command.mode or "raw"}
            body = {"sessionId": session, "input": told}
        case "stop":
            body = {"sessionId": session, "graceful": command.graceful is not False}
        case "pause" | "resume":
            body = {"sessionId": session}
        case "approve":
            body = {"sessionId": session, "approvalId": command.approval_id, "decision": command.decision}
            if command.note is not None:
                body["note"] = command.note
        case _:
            return None
    return encode({"type": command.command.upper(), **body})
