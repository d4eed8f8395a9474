"""Messages that a control client may send, and the errors for others. Pure."""

from typing import Any, cast

import attrs

from townwatch.contracts.codec import ContractError, decode_json
from townwatch.contracts.control import (
    CONTROL_TYPES,
    ControlCode,
    Subscribe,
    TerminalCommand,
    Unsubscribe,
    decode_control,
)
from townwatch.transports.websocket.frames import TEXT

COLS_ROWS = range(1, 1001)


@attrs.frozen
class Trouble(Exception):
    """An error for the client. The connection stays."""

    code: ControlCode
    message: str


def parse(opcode: int, message: bytes) -> Any:
    """Decode one of the messages of townwatch.contracts.control. Raises `Trouble`."""
    if opcode != TEXT:
        raise Trouble("INVALID_MESSAGE", "every message is a JSON object in a text frame, this one is binary")
    try:
        value = decode_json(message)
    except ContractError as error:
        raise Trouble("INVALID_MESSAGE", f"the message is not JSON: {error.message}") from None
    if not isinstance(value, dict):
        raise Trouble("INVALID_MESSAGE", "every message is a JSON object with a type")
    kind = cast(dict[str, Any], value).get("type")
    if not isinstance(kind, str) or kind not in CONTROL_TYPES:
        known = ", ".join(sorted(CONTROL_TYPES))
        raise Trouble("UNKNOWN_MESSAGE_TYPE", f"type: {str(kind)[:60]!r} is none of {known}")
    try:
        parsed = decode_control.convert(value)
    except ContractError as error:
        raise Trouble("INVALID_MESSAGE", f"{kind}: {error}") from None
    if isinstance(parsed, Subscribe | Unsubscribe) and not (parsed.session_id or parsed.runner_id):
        raise Trouble("INVALID_MESSAGE", f"{kind}: sessionId or runnerId is required")
    return parsed


def typed_text(message: TerminalCommand) -> str:
    """The data of an input. Raises `Trouble`."""
    if not isinstance(message.data, str):
        raise Trouble("INVALID_MESSAGE", "terminal: data must be the text typed")
    return message.data


def new_size(message: TerminalCommand) -> tuple[int, int]:
    """The data of a resize: cols, rows. Raises `Trouble`."""
    size = cast(dict[str, Any], message.data) if isinstance(message.data, dict) else {}
    cols, rows = size.get("cols"), size.get("rows")
    for name, value in (("cols", cols), ("rows", rows)):
        if type(value) is not int or value not in COLS_ROWS:
            raise Trouble("INVALID_MESSAGE", f"terminal: data.{name} must be a whole number from 1 to 1000")
    return cast(int, cols), cast(int, rows)
