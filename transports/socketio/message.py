"""One encoded Engine.IO packet, shared by all its receivers; each form of it is made at most once."""

import base64

import msgspec

from townwatch.transports.websocket.deflate import LEAST_WINDOW, WIDEST_WINDOW, deflate
from townwatch.transports.websocket.frames import BINARY, TEXT, build_frame

DEFLATE_FROM = 1024
"""Bytes of a message from which compressing it is worth the time."""
Tag = tuple[str, int]
"""(stream, number): which event of which stream a message was made from."""


class Message(msgspec.Struct, gc=False, eq=False):
    """`text` (with its packet type) or `binary`. `tag` is for merging a replay with live messages.

    A struct that the garbage collector does not follow: the recovery log keeps a hundred thousand of them.
    """

    text: str | None = None
    binary: bytes | None = None
    tag: Tag | None = None
    numbered: bool = False
    """Whether its last argument is a recovery offset."""
    _bare: "Message | None" = None
    _frame: bytes | None = None
    _payload: str | None = None
    _deflated: bytes | None = None
    _narrow: dict[int, bytes] | None = None
    """Window in bits → frame compressed with it."""

    @property
    def frame(self) -> bytes:
        """The finished WebSocket frame."""
        if self._frame is None:
            if self.text is not None:
                self._frame = build_frame(TEXT, self.text.encode())
            else:
                self._frame = build_frame(BINARY, self.binary or b"")
        return self._frame

    @property
    def deflated(self) -> bytes:
        """The finished WebSocket frame for those who negotiated permessage-deflate: compressed where that pays."""
        if self._deflated is None:
            opcode, plain = self._plain()
            self._deflated = self._shrunk(opcode, plain, deflate(plain)) if self.size >= DEFLATE_FROM else self.frame
        return self._deflated

    def deflated_for(self, window: int) -> bytes:
        """As `deflated`, for a peer whose window has so many bits (RFC 7692, server_max_window_bits)."""
        if window == WIDEST_WINDOW or self.size < DEFLATE_FROM:
            return self.deflated
        if window < LEAST_WINDOW:
            return self.frame
        made = self._narrow = self._narrow or {}
        if window not in made:
            opcode, plain = self._plain()
            if len(plain) <= 1 << window:  # nothing in it refers further back than its own beginning
                made[window] = self.deflated
            else:
                made[window] = self._shrunk(opcode, plain, deflate(plain, window=window))
        return made[window]

    def _plain(self) -> tuple[int, bytes]:
        return (BINARY, self.binary or b"") if self.text is None else (TEXT, self.text.encode())

    def _shrunk(self, opcode: int, plain: bytes, packed: bytes) -> bytes:
        return build_frame(opcode, packed, compressed=True) if len(packed) < len(plain) else self.frame

    @property
    def bare(self) -> "Message":
        """The same without the recovery offset, for clients that do not want it."""
        if not self.numbered:
            return self
        if self._bare is None:
            if self.text is not None:
                self._bare = Message(self.text[: self.text.rindex(',"')] + "]", tag=self.tag)
            else:
                packet = msgspec.msgpack.decode(self.binary or b"")
                packet["data"].pop()
                self._bare = Message(binary=msgspec.msgpack.encode(packet), tag=self.tag)
        return self._bare

    @property
    def payload(self) -> str:
        """As it stands in a polling payload: binary as ``b`` and base64."""
        if self._payload is None:
            self._payload = self.text if self.text is not None else "b" + base64.b64encode(self.binary or b"").decode()
        return self._payload

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.text if self.text is not None else self.binary or b"")


PING, NOOP, CLOSE, PONG_PROBE = Message("2"), Message("6"), Message("1"), Message("3probe")
