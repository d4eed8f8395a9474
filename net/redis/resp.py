"""Redis' protocol (RESP 2) without I/O: bytes in, replies out.

A reply is bytes, text (a simple string), a number, a list, None, or `RedisError`. What a reply holds is bounded while
it is read, so that a message of another's, which Redis lets be 512 MB, is never in our memory: bulk strings beyond
`most` bytes are passed over and stand as `TOO_LONG`, and so do those of a reply that has kept `most_of_all` already;
the elements of a list beyond `MOST_ELEMENTS` are left out. What is cut stays in step: the next reply is read as usual.
"""

from collections.abc import Generator
from typing import Any, Final

import attrs

MOST_ELEMENTS = 256
"""Elements of a list that are kept."""
SHORT_BYTES = 64
"""A string of this size is kept even where a reply holds enough already: ids of stream entries are."""
MOST_DEPTH = 8
MOST_LINE = 8192
DIGITS = 12


class RespBroken(Exception):
    """What came is not Redis' protocol. Nothing after it can be read."""


class _TooLong:
    def __repr__(self) -> str:
        return "TOO_LONG"


TOO_LONG: Final = _TooLong()
"""Stands for a string that was longer than may be kept."""


@attrs.frozen
class RedisError:
    """Redis refused a command, and why."""

    text: str


Reply = Any
Reading = Generator[None, None, Reply]


def encode_command(*words: str | bytes | int) -> bytes:
    r"""Return a command as it is sent.

    >>> encode_command("PING")
    b'*1\r\n$4\r\nPING\r\n'
    """
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class RespReader:
    """Bytes as they come, and the whole replies in them."""

    def __init__(self, most: int, most_of_all: int) -> None:
        """`most`: bytes of a string; `most_of_all`: bytes that all strings of a reply may have together."""
        self._most = most
        self._most_of_all = most_of_all
        self._bytes = bytearray()
        self._left = 0
        self._reading: Reading | None = None

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that are whole with these bytes. Raises `RespBroken`."""
        self._bytes += data
        found: list[Reply] = []
        while True:
            if self._reading is None:
                if not self._bytes:
                    return found
                self._left = self._most_of_all
                self._reading = self._value(0)
            try:
                next(self._reading)
            except StopIteration as whole:
                found.append(whole.value)
                self._reading = None
            else:
                return found

    def _value(self, depth: int) -> Reading:
        line = yield from self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest.decode("utf-8", "replace")
            case b"-":
                return RedisError(rest.decode("utf-8", "replace"))
            case b":":
                return _number(rest)
            case b"$":
                return (yield from self._string(_number(rest)))
            case b"*":
                return (yield from self._list(_number(rest), depth))
            case _:
                raise RespBroken(f"a reply begins with {line[:20]!r}")

    def _line(self) -> Generator[None, None, bytes]:
        seen = 0
        while (end := self._bytes.find(b"\r\n", max(0, seen - 1))) < 0:
            seen = len(self._bytes)
            if seen > MOST_LINE:
                raise RespBroken("a line without an end")
            yield
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 2]
        return line

    def _string(self, size: int) -> Reading:
        if size < 0:
            return None
        if size > self._most or (size > self._left and size > SHORT_BYTES):
            yield from self._pass_over(size + 2)
            return TOO_LONG
        while len(self._bytes) < size + 2:
            yield
        data = bytes(self._bytes[:size])
        del self._bytes[: size + 2]
        self._left -= size
        return data

    def _list(self, count: int, depth: int) -> Reading:
        if count < 0:
            return None
        if depth >= MOST_DEPTH:
            raise RespBroken("lists in lists without end")
        kept: list[Reply] = []
        for number in range(count):
            element = yield from self._value(depth + 1)
            if number < MOST_ELEMENTS:
                kept.append(element)
        return kept

    def _pass_over(self, size: int) -> Generator[None, None, None]:
        while size:
            taken = min(size, len(self._bytes))
            del self._bytes[:taken]
            size -= taken
            if size:
                yield


def _number(text: bytes) -> int:
    digits = text[1:] if text[:1] == b"-" else text
    if not (digits.isdigit() and len(digits) <= DIGITS):
        raise RespBroken(f"{text[:20]!r} is no number")
    return int(text)
