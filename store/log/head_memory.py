"""The heads of a log's sessions in memory: what every implementation of `DurableLog` answers without reading."""

from townwatch.store.log.records import Head


class HeadMemory:
    """Heads of sessions in memory. A subclass keeps `_heads` and `_next_position` as they are stored."""

    _heads: dict[str, Head]
    _next_position: int

    def heads(self) -> dict[str, Head]:
        """Session id → head, of all sessions that were not deleted. From memory."""
        return {session_id: head for session_id, head in self._heads.copy().items() if not head.deleted}

    def head(self, session_id: str) -> Head | None:
        """One session's head; None where it is not known or was deleted."""
        head = self._heads.get(session_id)
        return None if head is None or head.deleted else head

    def deleted(self, session_id: str) -> bool:
        """Return True if this session was stored and then deleted. Reads memory only."""
        head = self._heads.get(session_id)
        return head is not None and head.deleted

    @property
    def position(self) -> int:
        """The position of the newest event, 0 in an empty log."""
        return self._next_position - 1
