"""Wire format of a trunk: frames of a kind, the number of a line (or of an audience), and a payload.

    kind (1 byte), number (4), length of the payload (4), the payload; integers are big-endian

A *line* is one client's connection. Its bytes are carried as they are: a trunk knows nothing of HTTP or WebSockets.
"""

import struct
from collections.abc import Iterable, Iterator

# From the process that has the client, to the leader.
OPEN = 1
"""A client has come: a claim (`edge/relay/wire.py`), a line break, and the first bytes that it sent."""
DATA = 2
"""Bytes of the client. No more than `WINDOW` of a line are on their way, or wait at the leader."""
ENDED = 3
"""The client sends nothing more. It may still read."""
SLOW = 4
"""The client took too little: what waited for it was dropped, and nothing more is written to it."""
FLUSHED = 5
"""The answer to `FLUSH`; the same number."""

# From the leader.
WRITE = 11
"""Bytes for the client."""
WRITE_AHEAD = 12
"""Bytes for the client, before what waits for it."""
AUDIENCE = 13
"""Numbers of lines, 4 bytes each: from now on they are called by the number of this frame."""
SPREAD = 14
"""Bytes for every line of an audience."""
FORGET = 15
"""An audience that is no more."""
TOOK = 16
"""So many bytes (4) of the line were read."""
BACKLOG = 17
"""So many bytes (4) may wait for the client."""
DROP = 18
"""Drop what waits for the client."""
FLUSH = 19
"""To be answered when what waits for a line (4) is written; the number is the question's own."""
SHUT = 20
"""Nothing more will be written to the client."""
CUT = 21
"""Close the client's connection now."""

MAY_BE_PASSED_OVER = 128
"""A side that does not know a kind from here on passes it over; any other kind that it does not know ends the trunk. So
a release may add what is only good to have without asking which release is at the other end. What must be understood
needs a new version of the first words (`edge/relay/wire.py`), of which the older side's counts.
"""
WINDOW = 64 * 1024
ENDED_AT_ONCE = 32
"""Lines of a trunk that has ended that end in one pass of the loop, at either side: each is a client that goes."""
MOST_OF_A_LINE = 4 * WINDOW
"""Of one client: in a frame that comes to the leader, and of what waits there: the window, a head and one read more."""
_HEAD = struct.Struct("!BII")
_NUMBER = struct.Struct("!I")
MOST_BYTES = 64 * 1024 * 1024
"""Of one payload. A longer one is a bug, or a peer that does not speak this."""
Frame = tuple[int, int, bytes]


class TrunkBroken(Exception):
    """Bytes came that are no frame of a trunk."""


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    return _HEAD.pack(kind, number, len(payload)) + payload


def packed(numbers: Iterable[int]) -> bytes:
    """Return numbers as a payload.

    >>> unpacked(packed([1, 70000]))
    (1, 70000)
    """
    return b"".join(map(_NUMBER.pack, numbers))


def unpacked(payload: bytes) -> tuple[int, ...]:
    """Return the numbers of a payload. Raises `TrunkBroken`."""
    if len(payload) % _NUMBER.size:
        raise TrunkBroken("numbers of a wrong length")
    return struct.unpack(f"!{len(payload) // _NUMBER.size}I", payload)


def only(payload: bytes) -> int:
    """Return the one number of a payload. Raises `TrunkBroken`."""
    found = unpacked(payload)
    if len(found) != 1:
        raise TrunkBroken(f"{len(found)} numbers where there is one")
    return found[0]


class FrameBuffer:
    """Bytes as they come, and the whole frames in them. `most`: bytes that a payload may have."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._bytes = bytearray()
        self._most = most

    def feed(self, data: bytes) -> None:
        """Add bytes that came."""
        self._bytes += data

    def frames(self) -> Iterator[Frame]:
        """Take the whole frames out. Raises `TrunkBroken`."""
        at, held = 0, self._bytes
        try:
            while len(held) - at >= _HEAD.size:
                kind, number, length = _HEAD.unpack_from(held, at)
                if length > self._most:
                    raise TrunkBroken(f"a frame of {length} bytes")
                end = at + _HEAD.size + length
                if len(held) < end:
                    break
                found = kind, number, bytes(memoryview(held)[at + _HEAD.size : end])
                at = end
                yield found
        finally:
            del held[:at]
