"""How far people were told of the event log, as a text that any process of the same log understands: a *mark*.

A mark stands in the offset of each Socket.IO event. It says which of the stored events a client had seen that saw this
one last: all up to a position of the log, but for those that were stored and not yet told at that moment, a few at most
(each session's first of them), and of the event under way so many messages. So a process that took over needs nothing
of the one before it to go on where a client was.

    3f            all events up to position 0x3f were told
    3f~3d~3e      … but the village has told of two sessions only what comes before 0x3d and 0x3e
    3f!3d         … and the agent, which tells what its followers alone get, of one only what comes before 0x3d
    3fv3d-2~3d    … and of event 0x3d, two messages of the village's
    x             it cannot be said: too many are under way, or what this client gets is a replay's
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

from townwatch.contracts.records import LogRecord

Teller = Literal["v", "t"]
"""Who tells of an event: its village; and its agent, what its followers alone get, as its terminal."""
UNKNOWN = "x"
MOST_UNDER_WAY = 16
"""Sessions that a mark names as under way; with more, it cannot be said."""
_HEX = "[0-9a-f]{1,15}"
_MARK = re.compile(
    rf"({_HEX})(?:([vt])({_HEX})-([0-9a-f]{{1,4}}))?((?:~{_HEX}){{0,{MOST_UNDER_WAY}}})((?:!{_HEX}){{0,{MOST_UNDER_WAY}}})"
)


@attrs.frozen(kw_only=True)
class Mark:
    """`own`: who told it, the position of the event, and how many messages of it. `under_way`: by teller, positions."""

    position: int
    own: tuple[Teller, int, int] | None
    under_way: dict[Teller, tuple[int, ...]]

    @property
    def positions(self) -> set[int]:
        """All positions that it names beside its own."""
        named = {one for positions in self.under_way.values() for one in positions}
        return named if self.own is None else {*named, self.own[1]}


def read_mark(text: str) -> Mark | None:
    """Return what a mark says; None for what is none, or says that it cannot be said."""
    found = _MARK.fullmatch(text)
    if found is None:
        return None
    position, teller, own, messages, village, agent = found.groups()
    by: Teller | None = None if teller is None else "v" if teller == "v" else "t"
    return Mark(
        position=int(position, 16),
        own=None if by is None else (by, int(own, 16), int(messages, 16)),
        under_way={"v": _numbers(village, "~"), "t": _numbers(agent, "!")},
    )


def _numbers(text: str, sign: str) -> tuple[int, ...]:
    return tuple(int(one, 16) for one in text.split(sign)[1:])


class LogProgress:
    """Writes marks. The journal says what was stored; a village and an agent, what they tell and have told."""

    def __init__(self, position: int) -> None:
        """`position`: of the newest event at the start, all of which counts as told."""
        self._position = position
        self._waiting: dict[Teller, dict[str, dict[int, int]]] = {"v": {}, "t": {}}
        """teller → session → seq → position, of what is stored and not yet told"""
        self._base: str | None = None
        self._own = ""
        self._telling: tuple[Teller, str, int] | None = None
        self._messages = 0

    def stored(self, records: Iterable[LogRecord]) -> None:
        """Note what a commit has stored, before anything of it is told."""
        village, agent = self._waiting["v"], self._waiting["t"]
        for record in records:
            for waiting in (village, agent):
                places = waiting.get(record.session_id)
                if places is None:
                    places = waiting[record.session_id] = {}
                places[record.seq] = record.position
            self._position = record.position
        self._base = None

    def found(self, records: Iterable[LogRecord], told: Mapping[Teller, Mapping[str, int]]) -> None:
        """Note what a commit has stored whose answer was lost, as `stored`. `told`: teller → session → the seq up to
        which it was told already.
        """
        for record in records:
            for teller, waiting in self._waiting.items():
                if record.seq > told[teller].get(record.session_id, 0):
                    waiting.setdefault(record.session_id, {})[record.seq] = record.position
            self._position = max(self._position, record.position)
        self._base = None

    def telling(self, teller: Teller, session_id: str, seq: int) -> None:
        """Note that the next message is one of this event's."""
        told = (teller, session_id, seq)
        self._messages = self._messages + 1 if told == self._telling else 1
        self._telling = told
        position = self._waiting[teller].get(session_id, {}).get(seq)
        self._own = UNKNOWN if position is None else f"{teller}{position:x}-{self._messages:x}"

    def told(self, teller: Teller, session_id: str, seq: int) -> None:
        """Note that all messages of a session up to `seq` were told."""
        self._telling, self._own = None, ""
        waiting = self._waiting[teller]
        places = waiting.get(session_id)
        if places is None:
            return
        if next(reversed(places)) <= seq:  # all that is stored, as most often
            del waiting[session_id]
        else:
            for one in [one for one in places if one <= seq]:
                del places[one]
        self._base = None

    def forget(self, session_id: str) -> None:
        """Note that a session was deleted: nothing more of it is told."""
        for waiting in self._waiting.values():
            waiting.pop(session_id, None)
        self._base = None

    def mark(self) -> str:
        """Return how far people were told, with the message under way."""
        if self._own == UNKNOWN:
            return UNKNOWN
        village, agent = self._waiting["v"], self._waiting["t"]
        if len(village) > MOST_UNDER_WAY or len(agent) > MOST_UNDER_WAY:
            return UNKNOWN
        if self._base is None:
            self._base = "".join([f"~{next(iter(one.values())):x}" for one in village.values()]) + "".join(
                [f"!{next(iter(one.values())):x}" for one in agent.values()]
            )
        return f"{self._position:x}{self._own}{self._base}"
