"""The two ways runners talk: `townwatch.runner.v1`, and the dialect without acknowledgements. Pure.

From a frame to a message of townwatch.contracts.link, and from a command to a frame. What is wrong with a frame is a
`FrameProblem`: its code and text go to the runner, and `close` says whether the connection can go on.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, Protocol, cast

import attrs
import msgspec

from townwatch.contracts.codec import ContractError, camel, decode_json, encode, to_json_values
from townwatch.contracts.decoding.oddities import strict_json
from townwatch.contracts.link import (
    AllowancesHeld,
    Capabilities,
    Command,
    Events,
    Heartbeat,
    Hello,
    LinkError,
    Nack,
    OpenQuestions,
    Result,
    Welcome,
    decode_from_runner,
)
from townwatch.contracts.tasks import NO_COMMANDS, SessionConfig
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.frames import TEXT

KNOWN_TYPES = frozenset(cls.TYPE for cls in (Hello, Events, Heartbeat, Result))
HEARTBEAT_SESSION = "runner_heartbeat"
THEIR_FIELDS = frozenset(
    ("sessionId", "orgId", "repoRef", "checkout", "roomPath", "providerId", "task", "policy", "env")
)
"""Fields of a start's configuration that runners in the field know."""

_members: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


@attrs.frozen
class FrameProblem(Exception):
    """A frame that cannot be taken. `close`: the WebSocket code to close with; None: it is ignored."""

    code: str
    message: str
    close: int | None = None


def text_of(opcode: int, data: bytes) -> bytes:
    """The frame's bytes. Raises `FrameProblem` for a binary one."""
    if opcode != TEXT:
        why = "every message is a JSON text frame, this one is binary"
        raise FrameProblem("E_BINARY", why, CloseCode.NOT_TEXT)
    return data


def too_large(code: int, reason: str) -> bytes | None:
    """The last message to a runner whose frame is refused for its size before it is read."""
    return encode(LinkError(code="E_TOO_LARGE", message=reason)) if code == int(CloseCode.TOO_BIG) else None


def unknown_fields(cls: type[Any], data: bytes | msgspec.Raw) -> int:
    """Count a message's fields that are unknown here. A second parse: only for messages that are not read exactly."""
    try:
        return len(_members.decode(data).keys() - _wire_names(cls))
    except msgspec.MsgspecError:
        return 0


@cache
def _wire_names(cls: type[Any]) -> frozenset[str]:
    return frozenset({"type", *(camel(field.name) for field in attrs.fields(cls))})


@attrs.frozen
class AcklessHeartbeat:
    """The heartbeat of the dialect without acknowledgements: it also says what a hello would."""

    hello: Hello
    heartbeat: Heartbeat


FromWire = Hello | Events | Heartbeat | Result | AllowancesHeld | OpenQuestions | AcklessHeartbeat


class Dialect(Protocol):
    """Dialect of one kind of runner: how it is understood and spoken to."""

    lenient: bool
    """Whether holes are recorded instead of asked for, and nothing is acknowledged."""

    def read(self, data: bytes) -> FromWire:
        """Raises `FrameProblem`."""
        ...

    def write(self, message: Welcome | Nack | LinkError | Command | Any) -> bytes | None:
        """Return the frame; None where the runner would not understand it."""
        ...


def _ignored(_count: int) -> None:
    pass


class V1:
    """`townwatch.runner.v1`. `count_unknown`: told how many fields of a message are not known here."""

    lenient = False

    def __init__(self, count_unknown: Callable[[int], None] = _ignored) -> None:
        self._count_unknown = count_unknown

    def read(self, data: bytes) -> FromWire:
        exact = decode_from_runner.decode_exact(data)
        if exact is not None:
            return exact
        try:
            message: FromWire = decode_from_runner.decode(data)
            if unknown := unknown_fields(cast(type[Any], type(message)), data):
                self._count_unknown(unknown)
            return message
        except ContractError as error:
            mended = strict_json(data)
            if mended is None:
                raise _problem(data, error) from None
        try:
            return decode_from_runner.decode(mended)
        except ContractError as error:
            raise _problem(mended, error) from None

    def write(self, message: Any) -> bytes | None:
        return encode(message)


def _problem(data: bytes, error: ContractError) -> FrameProblem:
    """Say why `data` is no message: what is not JSON or not an object ends the connection, the rest is only ignored."""
    try:
        value = decode_json(data, max_bytes=len(data))
    except ContractError as unreadable:
        return FrameProblem("E_BAD_JSON", f"the frame is not JSON: {unreadable.message}", CloseCode.BAD_DATA)
    if not isinstance(value, dict):
        return FrameProblem("E_BAD_PAYLOAD", "every message is a JSON object with a type", CloseCode.BAD_DATA)
    kind = cast(dict[str, Any], value).get("type")
    if not isinstance(kind, str) or kind not in KNOWN_TYPES:
        known = ", ".join(sorted(KNOWN_TYPES))
        return FrameProblem("E_UNKNOWN_TYPE", f"type: {str(kind)[:60]!r} is none of {known}")
    return FrameProblem(error.code, f"{kind}: {error}")


class AcklessDialect:
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

    def _heartbeat(self, data: bytes) -> AcklessHeartbeat | None:
        """Read a heartbeat; None for a message that merely speaks of heartbeats."""
        try:
            event = decode_json(data)
        except ContractError:
            return None  # an event with an odd value: read as such
        try:
            if not isinstance(event, dict) or cast(dict[str, Any], event).get("sessionId") != HEARTBEAT_SESSION:
                return None
            fields = cast(dict[str, Any], event)
            told = decode_json(str(fields.get("reason") or "{}"))
            if not isinstance(told, dict):
                raise ContractError("reason", "is not a JSON object in a string")
            return self._beating(cast(dict[str, Any], told), fields.get("ts"))
        except ContractError as error:
            raise FrameProblem(error.code, f"heartbeat: {error}") from None

    def _beating(self, told: dict[str, Any], ts: Any) -> AcklessHeartbeat:
        mode: Literal["hosted", "customer_hosted"] = "hosted" if told.get("mode") == "hosted" else "customer_hosted"
        most = told.get("maxSessions")
        versions = _present(told.get("providerVersions"))
        hello = Hello(
            runner_id=self._runner_id,
            name=self._runner_id,
            version=str(told.get("version") or "unknown")[:100],
            mode=mode,
            capabilities=Capabilities(
                providers=list(versions),
                features=[NO_COMMANDS, *_strings(told.get("capabilities"))],
                max_concurrent_sessions=most if isinstance(most, int) and 0 <= most <= 100_000 else 8,
            ),
            provider_versions=versions,
        )
        count = told.get("activeSessionCount")
        known = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        when = ts if isinstance(ts, int | float) and ts >= 0 else 0
        return AcklessHeartbeat(hello, Heartbeat(ts=when, active_session_count=count if known else None))


def _present(versions: Any) -> dict[str, str]:
    """Return the providers that the runner can run: those whose version is not null."""
    told = cast(dict[Any, Any], versions) if isinstance(versions, dict) else {}
    return {str(name)[:200]: str(version)[:200] for name, version in told.items() if version is not None}


def _strings(value: Any) -> list[str]:
    return [item for item in cast(list[Any], value) if isinstance(item, str)] if isinstance(value, list) else []


def silent_hello(runner_id: str) -> Hello:
    """Stand in for the hello of a runner of the ack-less dialect, until its first heartbeat."""
    return Hello(runner_id=runner_id, name=runner_id, version="unknown")


def _their_config(config: SessionConfig | None) -> dict[str, Any]:
    """Return a start's configuration as their schema wants it: a checkout and billing always, no field of ours."""
    assert config is not None  # of every start
    told: dict[str, Any] = {
        name: value for name, value in to_json_values(config).items() if name in THEIR_FIELDS and value is not None
    }
    told.setdefault("checkout", {"type": "branch", "ref": config.repo_ref.default_branch or "main"})
    return {**told, "billing": {"plan": "free", "orgId": config.org_id, "limits": {"maxConcurrency": 1}}}


def _in_capitals(command: Command) -> bytes | None:
    """The command as runners in the field know it; None for one they never learnt."""
    session = command.session_id
    body: dict[str, Any]
    match command.command:
        case "start":
            body = {"config": _their_config(command.config)}
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
