"""Records of the search index, its port and its errors."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

import attrs

from townwatch.store.search.query import Query, Span

Kind = Literal["prompt", "message", "tool", "terminal", "path", "approval", "test", "alert", "state"]
VERSION = 1
"""Of what is stored and how words are cut. An index of another version is built anew."""
ROOM_BITS = 12
MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, which an event may say."""
COUNTED = 1000
"""Matches that are counted; beyond that the answer is that there are more."""
CHUNK = 1000
"""Pieces removed in one commit."""


@attrs.frozen(kw_only=True)
class Piece:
    """Text that was said between two events of a session (both included). `at_ms`: when the last of them was made."""

    kind: Kind
    from_seq: int
    seq: int
    at_ms: int
    text: str


@attrs.frozen(kw_only=True)
class Advance:
    """Everything of a session up to and with the event `seq`: its pieces, and the new position, in one transaction."""

    session_id: str
    village_id: str
    seq: int
    pieces: Sequence[Piece]


@attrs.frozen(kw_only=True)
class FoundText:
    """A piece that matches. `place`: orders matches by time, each has its own. `snippet`, `spans`: what is shown of it,
    and where the matches in that are; made by the index from what a store finds.
    """

    place: int
    session_id: str
    village_id: str
    kind: Kind
    from_seq: int
    seq: int
    text: str
    snippet: str = ""
    spans: Sequence[Span] = ()

    @property
    def at_ms(self) -> int:
        return self.place >> ROOM_BITS


@attrs.frozen(kw_only=True)
class Wanted:
    """A search, newest first. `village_ids`: where the asker may look; there is no default for that.

    `session_ids`, `kind`: None is all of them. `before`: the place to go on from.
    """

    query: Query
    village_ids: Collection[str]
    session_ids: Collection[str] | None = None
    kind: Kind | None = None
    before: int | None = None
    limit: int = 20


@attrs.frozen(kw_only=True)
class Found:
    """`next`: the place to go on from, None at the end. `total` counts all pages, up to `COUNTED`; `more_than_total`:
    there are more.
    """

    matches: Sequence[FoundText]
    next: int | None
    total: int
    more_than_total: bool


@attrs.frozen(kw_only=True)
class Freshness:
    """Lag of the index behind the log. `behind`: events; `current_at`: when it had everything last, epoch ms; None
    for not since the service started. `reason`: why it does not go on; None while it does.
    """

    behind: int
    current_at: int | None
    reason: str | None = None


class SearchError(OSError):
    """The index cannot be written or read now. Nothing else is touched by that."""


class SearchTooSlow(SearchError):
    """The question takes longer than a search may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the search took longer than {seconds:g} s; narrow it by village, house, agent or kind")


FirstSeq = Callable[[str], int | None]
"""The first event of a session that may still be read; None where the session was deleted."""


class SearchStore(Protocol):
    """Store of the index. Calls block and may come from any thread. Those that write wait for each other."""

    def positions(self) -> dict[str, int]:
        """Session → the last event that is in the index."""
        ...

    def add(self, advances: Sequence[Advance], first_seq: FirstSeq) -> None:
        """Store pieces and positions in one transaction. `first_seq` is asked inside it: what was deleted or trimmed
        meanwhile is left out.
        """
        ...

    def forget(self, session_ids: Collection[str]) -> None:
        """Remove all text of these sessions."""
        ...

    def trim(self, session_id: str, first_seq: int) -> None:
        """Remove all text of a session that begins before an event."""
        ...

    def find(self, wanted: Wanted) -> Found:
        """Return a page of matches. Raises `SearchTooSlow`."""
        ...

    def renewed(self) -> bool:
        """Return True once if the index is empty because it had to be made anew while the service runs."""
        ...

    def tidy(self) -> bool:
        """Do a little of what removing left to do; return True if there is more."""
        ...

    def close(self) -> None: ...


def place_of(at_ms: int) -> int:
    """The first place of a millisecond."""
    return min(max(0, at_ms), MAX_MS) << ROOM_BITS
