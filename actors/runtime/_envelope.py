"""A message on its way."""

from typing import Any

from pykka._envelope import Envelope as PykkaEnvelope

from actors.runtime._future import TrioFuture


class Envelope(PykkaEnvelope[Any]):
    """pykka's envelope, with the time it was sent at and how often its handler crashed."""

    __slots__ = ("crashes", "sent_at")

    reply_to: TrioFuture[Any] | None

    def __init__(self, message: Any, reply_to: TrioFuture[Any] | None = None, sent_at: float = 0.0) -> None:
        self.message = message
        self.reply_to = reply_to  # pyright: ignore[reportIncompatibleVariableOverride]
        self.sent_at = sent_at
        self.crashes = 0

    def fail(self, error: BaseException) -> None:
        """Tell the asker, if there is one, that no other answer will come."""
        if self.reply_to is not None:
            self.reply_to.fail(error)
