"""What a WebSocket peer does to us, counted in its bytes: frames a second, fragments a message. Pure.

trio-websocket limits the size of a message, but a flood of empty continuation frames or of pings never adds up to one.
This meter walks over the frame headers (RFC 6455, section 5.2) as the bytes pass by, and says when it is too much.
"""

import attrs

_HEAD_END = b"\r\n\r\n"
_CONTINUATION, _FIRST_CONTROL = 0x0, 0x8
_FIN, _OPCODE, _MASKED, _LENGTH = 0x80, 0x0F, 0x80, 0x7F
_EXTENDED = {126: 2, 127: 8}


@attrs.frozen(kw_only=True)
class FrameLimits:
    """Each is a maximum; a peer beyond it is cut off.

    data_frames, control_frames: a second, averaged; `burst` seconds' worth may come at once.
    fragments: of one message. empty_fragments: frames of one message without a byte in them.
    """

    data_frames: float = 5000
    control_frames: float = 50
    burst: float = 4
    fragments: int = 1024
    empty_fragments: int = 16


@attrs.define
class _Bucket:
    rate: float
    capacity: float
    tokens: float
    at: float = 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now
        self.tokens -= 1
        return self.tokens >= 0


class FrameMeter:
    """Feed it what comes in, from the HTTP head on; it answers what is wrong, or None."""

    def __init__(self, limits: FrameLimits, now: float) -> None:
        self._limits = limits
        self._in_head = True
        self._tail = b""
        self._header = bytearray()
        self._payload_left = 0
        self._fragments = 0
        self._empty = 0
        self._data = _bucket(limits.data_frames, limits.burst, now)
        self._control = _bucket(limits.control_frames, limits.burst, now)

    def feed(self, data: bytes | bytearray, now: float) -> str | None:
        """What limit the peer broke with these bytes, in words; None while all is well."""
        position = self._skip_head(data) if self._in_head else 0
        while position < len(data):
            if self._payload_left:
                step = min(self._payload_left, len(data) - position)
                self._payload_left -= step
                position += step
                continue
            self._header.append(data[position])
            position += 1
            length = _header_length(self._header)
            if length is not None and len(self._header) == length:
                problem = self._frame(now)
                if problem is not None:
                    return problem
        return None

    def _skip_head(self, data: bytes | bytearray) -> int:
        """Where the frames begin in `data`."""
        joined = self._tail + data
        end = joined.find(_HEAD_END)
        if end < 0:
            self._tail = joined[-3:]
            return len(data)
        self._in_head = False
        return end + len(_HEAD_END) - len(self._tail)

    def _frame(self, now: float) -> str | None:
        """A header is complete: what kind of frame it opens, and whether it may come."""
        first, payload = self._header[0], _payload_length(self._header)
        self._header.clear()
        self._payload_left = payload
        opcode = first & _OPCODE
        if opcode >= _FIRST_CONTROL:
            return None if self._control.take(now) else "too many control frames"
        if not self._data.take(now):
            return "too many frames"
        if opcode != _CONTINUATION:
            self._fragments = self._empty = 0
        self._fragments += 1
        self._empty += payload == 0
        if self._fragments > self._limits.fragments:
            return "a message in too many fragments"
        if self._empty > self._limits.empty_fragments:
            return "too many empty fragments"
        return None


def _bucket(rate: float, burst: float, now: float) -> _Bucket:
    return _Bucket(rate, rate * burst, rate * burst, now)


def _header_length(header: bytearray) -> int | None:
    """Bytes of the header that begins so; None while the first two are not there."""
    if len(header) < 2:
        return None
    return 2 + _EXTENDED.get(header[1] & _LENGTH, 0) + (4 if header[1] & _MASKED else 0)


def _payload_length(header: bytearray) -> int:
    short = header[1] & _LENGTH
    extended = _EXTENDED.get(short)
    return short if extended is None else int.from_bytes(header[2 : 2 + extended], "big")
