"""A client of another process is back: show it, in the rooms that it was in, what it has not seen of the log.

A client sees a message once, however many of its rooms it is for, and what is shown here is what it would have seen
live: the messages of an event in their order, the village's before the agent's.
"""

from collections.abc import Iterator, Mapping, Sequence

from townwatch.actors.context import Context
from townwatch.actors.log_reading import read_for_viewers
from townwatch.actors.people.progress import Teller
from townwatch.actors.people.seen import SeenLog
from townwatch.actors.ports import Replay
from townwatch.actors.rendering.compose import compose
from townwatch.actors.session.state import SessionState
from townwatch.contracts import scopes
from townwatch.contracts.events import RunnerEvent
from townwatch.contracts.translate import for_agent_alone, for_village
from townwatch.contracts.ui import Scope

PAGE = 500


def rooms_of(state: SessionState, teller: Teller, scope: Scope, output: bool) -> tuple[str, ...]:
    """Return the rooms that one message of a session is for."""
    agent = scopes.agent_room(state.village_id, state.agent_id)
    if teller == "t":
        return (scopes.terminal_room(state.village_id, state.agent_id),) if Scope.TERMINAL in scope else (agent,)
    village = (scopes.output_room if output else scopes.village_room)(state.village_id)
    return (village, agent) if Scope.AGENT in scope else (village,)


async def show_missed(context: Context, out: Replay, rooms: frozenset[str], seen: SeenLog) -> None:
    """Show a client that has just come into `rooms` what it has not seen, up to what was told by now."""
    villages = {scopes.village_of_room(room) for room in rooms}
    states = [state for village in villages if village for state in context.board.of_village(village)]
    ends: list[tuple[SessionState, dict[Teller, int]]] = []
    for state in states:  # without a pause: what is told from here on is live
        session_id = state.session_id
        ends.append((state, {"v": context.published.get(session_id, 0), "t": context.shown.get(session_id, 0)}))
    for state, until in ends:
        await _show(context, out, rooms, seen, state, until)


async def _show(
    context: Context,
    out: Replay,
    rooms: frozenset[str],
    seen: SeenLog,
    state: SessionState,
    until: Mapping[Teller, int],
) -> None:
    mine = _rooms_here(rooms, state)
    places = [seen.place(room, teller, state.session_id)[0] for room in mine for teller in until]
    after, last = min(places, default=0), max(until.values())
    while mine and after < last:
        events: Sequence[RunnerEvent] = await read_for_viewers(context, state.session_id, after, PAGE)
        if not events:
            return
        for event in events:
            if event.seq > last:
                return
            for teller in until:
                if event.seq <= until[teller]:
                    for name, payload in _missed(context, rooms, seen, state, teller, event):
                        await out.room(len(payload))
                        out.send(name, payload)
        after = events[-1].seq


def _rooms_here(rooms: frozenset[str], state: SessionState) -> list[str]:
    village, agent = state.village_id, state.agent_id
    here = (
        scopes.village_room(village),
        scopes.output_room(village),
        scopes.agent_room(village, agent),
        scopes.terminal_room(village, agent),
    )
    return [room for room in here if room in rooms]


def _missed(
    context: Context, rooms: frozenset[str], seen: SeenLog, state: SessionState, teller: Teller, event: RunnerEvent
) -> Iterator[tuple[str, bytes]]:
    """The messages of an event that a client in these rooms has not seen."""
    watches = scopes.terminal_room(state.village_id, state.agent_id) in rooms
    frames = compose(state, [event], for_village if teller == "v" else for_agent_alone)
    for number, frame in enumerate(frames, start=1):
        if teller == "v" and frame.output and watches:
            continue  # it gets the same text as terminal output
        wanted = [
            room for room in rooms_of(state, teller, frame.scope, teller == "v" and frame.output) if room in rooms
        ]
        places = [seen.place(room, teller, state.session_id) for room in wanted]
        if any(event.seq > seq + 1 or (event.seq == seq + 1 and number > shown) for seq, shown in places):
            yield frame.event, frame.payload
