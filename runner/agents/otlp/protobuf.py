"""Logs of OTLP in protobuf (opentelemetry-proto 1), as far as they are read here. Pure.

The wire format is a list of (number, type, value); a message that is not known is passed over by its length. What is
read are the paths to the attributes of log records: resource_logs 1 → scope_logs 2 → log_records 2 → attributes 6,
and body 5, event_name 12.
"""

import struct
from collections.abc import Iterator
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEPTH = 16
"""Values in values; deeper ones are left out."""
LONGEST_VARINT = 10
MOST_FIELDS = 200_000
"""Of one export, those in values counted once a level: two bytes of a body can be a field."""


class NotProtobuf(ValueError):
    """The bytes are no message of this format."""


def records(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the attributes of each log record; `body` and `event.name` where a record has them beside. Raises
    `NotProtobuf`.
    """
    yield from _Export().records(body)


class _Export:
    """One export. It counts what is read of it."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def records(self, body: bytes) -> Iterator[dict[str, Any]]:
        for resource in self._messages(body, 1):
            for scope in self._messages(resource, 2):
                for record in self._messages(scope, 2):
                    yield self._record(record)

    def _record(self, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, kind, value in self._fields(data):
            if number == 6 and kind == BYTES:
                key, read = self._pair(value, 0)
                found[key] = read
            elif number == 12 and kind == BYTES:
                found.setdefault("event.name", _text(value))
        return found

    def _pair(self, data: bytes, depth: int) -> tuple[str, Any]:
        key, read = "", None
        for number, kind, value in self._fields(data):
            if number == 1 and kind == BYTES:
                key = _text(value)
            elif number == 2 and kind == BYTES:
                read = self._value(value, depth)
        return key, read

    def _value(self, data: bytes, depth: int) -> Any:
        """Read an AnyValue; None for one that is empty or of a kind that is not known."""
        for number, kind, value in self._fields(data):
            match number, kind:
                case 1, 2:
                    return _text(value)
                case 2, 0:
                    return bool(value)
                case 3, 0:
                    return value - (1 << 64) if value >> 63 else value
                case 4, 1:
                    return struct.unpack("<d", value)[0]
                case 5, 2 if depth < DEPTH:
                    return [self._value(one, depth + 1) for one in self._messages(value, 1)]
                case 6, 2 if depth < DEPTH:
                    return dict(self._pair(one, depth + 1) for one in self._messages(value, 1))
                case _:
                    return None
        return None

    def _messages(self, data: bytes, wanted: int) -> Iterator[bytes]:
        return (value for number, kind, value in self._fields(data) if number == wanted and kind == BYTES)

    def _fields(self, data: bytes) -> Iterator[tuple[int, int, Any]]:
        """Yield (number, wire type, value) of a message; a value is an int, or its bytes. Raises `NotProtobuf`."""
        at = 0
        while at < len(data):
            self._left -= 1
            if self._left < 0:
                raise NotProtobuf(f"more than {MOST_FIELDS} fields")
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            match kind:
                case 0:
                    value, at = _varint(data, at)
                    yield number, kind, value
                    continue
                case 1:
                    size = 8
                case 2:
                    size, at = _varint(data, at)
                case 5:
                    size = 4
                case _:
                    raise NotProtobuf(f"wire type {kind} at byte {at}")
            if number == 0 or size > len(data) - at:
                raise NotProtobuf(f"field {number} is longer than its message")
            yield number, kind, data[at : at + size]
            at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(LONGEST_VARINT):
        if at >= len(data):
            raise NotProtobuf("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise NotProtobuf("a number that does not end")


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
