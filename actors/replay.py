"""Catch-up for a joining or returning client: missed events or a gap, then pending approvals."""

from collections.abc import Callable, Mapping, Sequence

import trio

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.log_reading import read_for_viewers
from townwatch.actors.ports import Replay
from townwatch.actors.rendering.compose import Translation, compose
from townwatch.actors.session.state import SessionState
from townwatch.contracts import scopes, ui
from townwatch.contracts.codec import encode
from townwatch.contracts.events import RunnerEvent
from townwatch.contracts.scopes import ApprovalKey
from townwatch.contracts.translate import for_agent_alone, for_village, translate
from townwatch.contracts.ui import Scope

REPLAY_EVENTS = 5_000
"""Events a session; beyond it the oldest of what was missed becomes a gap."""
PAGE = 500


async def missed(
    context: Context,
    out: Replay,
    room: str,
    since: Mapping[str, int],
    positions: Mapping[str, int],
    shown: dict[ApprovalKey, None],
    *,
    output: bool = True,
    told: Callable[[m.UiFrame], bool] | None = None,
) -> None:
    """Send everything the room showed after `since` and up to `positions`. A session `since` does not name is new to
    it. `output`: False for a client that gets the same text as terminal output. `told`: which messages the client gets
    by another room that it joins in the same breath.
    """
    is_village = room.startswith("village:")
    audience = for_village if is_village else translate

    def wanted(outgoing: m.UiFrame) -> bool:
        if outgoing.approval is not None:
            shown[outgoing.approval] = None
        if (not output and outgoing.output) or (told is not None and told(outgoing)):
            return False
        return bool(outgoing.scope & (Scope.VILLAGE if is_village else Scope.AGENT))

    for session_id, position in positions.items():
        state = context.board.session(session_id)
        if state is not None:
            await _replay(context, out, room, state, since.get(session_id, 0), position, audience, wanted)


async def missed_terminal(
    context: Context, out: Replay, room: str, since: Mapping[str, int], positions: Mapping[str, int]
) -> bool:
    """The terminal output after `since`; False where it is too much, and a screen serves better."""
    for session_id, after in since.items():
        state, position = context.board.session(session_id), positions[session_id]
        if state is None or position - after > REPLAY_EVENTS:
            return False
        await _replay(context, out, room, state, after, position, for_agent_alone, lambda o: Scope.TERMINAL in o.scope)
    return True


async def _replay(
    context: Context,
    out: Replay,
    room: str,
    state: SessionState,
    after: int,
    until: int,
    audience: Translation,
    wanted: Callable[[m.UiFrame], bool],
) -> None:
    async def gap(to: int) -> None:
        if not room.startswith(("village:", "agent:")):
            return  # a terminal's is told with its agent's
        size = await trio.to_thread.run_sync(context.journal_log.size, state.session_id, after, to)
        told = ui.GapMessage(
            room=scopes.wire_room(room), from_=after, to=to, session_id=state.session_id, bytes=size or None
        )
        out.send("gap", encode(told))

    if until - after > REPLAY_EVENTS:
        await gap(until - REPLAY_EVENTS)
        after = until - REPLAY_EVENTS
    begin = after
    while after < until:
        events: Sequence[RunnerEvent] = await read_for_viewers(context, state.session_id, after, PAGE)
        within = [event for event in events if event.seq <= until]
        if not within:
            return await gap(until)
        if after == begin and within[0].seq > after + 1:  # retention took it, or the runner never had it
            await gap(within[0].seq - 1)
        for outgoing in compose(state, within, audience):
            if wanted(outgoing):
                await out.room(len(outgoing.payload))
                out.send(outgoing.event, outgoing.payload)
        after = events[-1].seq


def pending(
    context: Context,
    out: Replay,
    positions: Mapping[str, int],
    shown: dict[ApprovalKey, None],
    follows: Callable[[SessionState], bool],
) -> None:
    """The approvals that wait for a decision, once a client: who comes later must see them too.

    `follows`: whether the client follows the session already, through another room, and so saw it asked.
    """
    for session_id in positions:
        state = context.board.session(session_id)
        if state is None or follows(state):
            continue
        for approval in context.undecided(state):
            key = scopes.approval_key(session_id, approval.approval_id)
            if key in shown:
                continue
            shown[key] = None
            message = ui.approval_message(approval, state.agent_id, approval.requested_at)
            out.send("approval_requested", encode(message))
