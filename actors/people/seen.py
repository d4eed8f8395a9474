"""What a client of another process has seen of the event log, and whose client it is. Pure."""

from collections.abc import Mapping

import attrs

from townwatch.actors.people.progress import Teller
from townwatch.contracts.networks import network_of

PERSON = "user:"
Place = tuple[int, int]
"""(seq, messages): all events of a session up to `seq` were seen, and of the next one so many messages."""
View = Mapping[tuple[Teller, str], Place]
"""(teller, session) → how far it was seen; a session that it does not name was seen as far as it was told then."""


@attrs.frozen(kw_only=True)
class SeenLog:
    """What a client has seen. `views`: room → its view. `base`: session → seq up to which the sessions that a view does
    not name were seen.
    """

    views: Mapping[str, View]
    base: Mapping[str, int]

    def place(self, room: str, teller: Teller, session_id: str) -> Place:
        """Return how far a session was seen in a room."""
        found = self.views.get(room, {}).get((teller, session_id))
        return (self.base.get(session_id, 0), 0) if found is None else found


def owner_of(user_id: str | None, address: str) -> str:
    """Return in a word whose client it is: a person's, or that of an anonymous visitor from some network."""
    return f"{PERSON}{user_id}" if user_id is not None else f"address:{network_of(address)}"


def same_owner(kept: str, owner: str) -> bool:
    """Return True for clients of one person, or both of the anonymous: their addresses change."""
    return kept == owner or not (kept.startswith(PERSON) or owner.startswith(PERSON))


def both(one: View, other: View) -> View:
    """Return the view of a client that has seen what either of these says."""
    return {key: max(place, other[key]) for key, place in one.items() if key in other}
