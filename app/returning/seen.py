"""What a client has seen of the event log, from the marks that it comes with."""

from collections.abc import Mapping, Sequence

import trio

from townwatch.actors.context import Context
from townwatch.actors.people.progress import Mark, Teller, read_mark
from townwatch.actors.people.seen import Place, SeenLog, View, both
from townwatch.contracts import scopes
from townwatch.store.log.port import DurableLog

MOST_MISSED = 5_000
"""Events of one session that are shown to who comes back; one that missed more begins anew, and is told of the gap."""
MOST_MISSED_IN_ALL = 20_000
MOST_BEHIND = 200_000
"""Positions of the log that are looked through."""
TELLERS: tuple[Teller, ...] = ("v", "t")


async def find_seen(context: Context, log: DurableLog, marks: Mapping[str, Sequence[str]]) -> SeenLog | None:
    """Return what a client has seen. `marks`: room → marks of which it has seen all. None where that cannot be known,
    or where it missed too much.
    """
    base = dict(context.published)  # before the log is read: all that is not in a view was told by then
    read: dict[str, Mark] = {}
    for text in {text for texts in marks.values() for text in texts}:
        mark = read_mark(text)
        if mark is None or not log.position - MOST_BEHIND <= mark.position <= log.position:
            return None
        read[text] = mark
    villages = {village for room in marks if (village := scopes.village_of_room(room)) is not None}
    views: dict[str, View] = {}
    for text, mark in read.items():
        view = await trio.to_thread.run_sync(view_of, log, villages, mark)
        if view is None:
            return None
        views[text] = view
    of_rooms: dict[str, View] = {}
    for room, texts in marks.items():
        view = views[texts[0]]
        for text in texts[1:]:
            view = both(view, views[text])
        of_rooms[room] = view
    return SeenLog(views=of_rooms, base=base)


def view_of(log: DurableLog, villages: set[str], mark: Mark) -> View | None:
    """Return what a client has seen that has this mark; None where that cannot be known, or it missed too much."""
    view: dict[tuple[Teller, str], Place] = {}
    missed = 0
    for village in villages:
        for session_id, (first, count) in log.first_after(village, mark.position).items():
            missed += count
            if count > MOST_MISSED or missed > MOST_MISSED_IN_ALL:
                return None
            for teller in TELLERS:
                view[teller, session_id] = (first - 1, 0)
    places = log.places(sorted(mark.positions)) if mark.positions else {}
    if len(places) < len(mark.positions):
        return None  # events that were removed meanwhile, or a mark that was made up
    for teller, positions in mark.under_way.items():
        for session_id, seq in map(places.__getitem__, positions):
            view[teller, session_id] = min(view.get((teller, session_id), (seq - 1, 0)), (seq - 1, 0))
    if mark.own is not None:
        teller, position, messages = mark.own
        session_id, seq = places[position]
        view[teller, session_id] = (seq - 1, messages)
    return view
