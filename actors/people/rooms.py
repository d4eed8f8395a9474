"""The rooms of one client: how it joins and leaves them, and what it is told of what it missed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from townwatch.actors import messages as m, replay
from townwatch.actors.context import Context
from townwatch.actors.people import keyboard, returning
from townwatch.actors.people.seen import SeenLog
from townwatch.actors.ports import Access, Principal, Ref
from townwatch.actors.session.state import SessionState
from townwatch.contracts import joins, scopes
from townwatch.contracts.codec import encode
from townwatch.contracts.joins import Refusal
from townwatch.contracts.ui import Scope
from townwatch.contracts.village_ids import name_of
from townwatch.supervision import RateWindow

CALL_TIMEOUT_SECONDS = 10.0
NOT_HERE = "there is no such room, or you may not join it"


class ClientRooms:
    """Joins, leaves and replays for one client. `joined`: room → the village whose membership it depends on.

    Joins raise `Refusal`.
    """

    def __init__(self, context: Context, client_id: str, access: Access, subject: Callable[[], Principal]) -> None:
        self._context = context
        self._client_id = client_id
        self._access = access
        self._subject = subject
        self._window = RateWindow()
        self._pending_shown: dict[scopes.ApprovalKey, None] = {}
        self.joined: dict[str, str] = {}

    async def join(self, wanted: joins.JoinRooms | joins.JoinVillage | joins.JoinAgent | joins.JoinRepo) -> Any:
        """Join what a request names, and return its ack. Each request counts as one join."""
        self._count_join()
        match wanted:
            case joins.JoinVillage():
                return await self._join_village(await self._readable(wanted.village_id), wanted)
            case joins.JoinAgent():
                places = self._context.board.villages_of_agent(wanted.agent_id)
                return await self._join_agent(await self._meant(wanted.village_id, places), wanted)
            case joins.JoinRepo():
                places = self._context.board.villages_of_repo(wanted.repo_id)
                return await self._join_repo(await self._meant(wanted.village_id, places), wanted.repo_id)
            case joins.JoinRooms():
                return await self._join_many(wanted)

    def leave(self, wanted: joins.JoinVillage | joins.JoinAgent | joins.JoinRepo) -> dict[str, Any]:
        """Leave a room in the village that is named, else in every village."""
        rooms_in: tuple[Callable[[str], str], ...]
        match wanted:
            case joins.JoinVillage():
                rooms_in = (scopes.village_room, scopes.output_room)
            case joins.JoinAgent(agent_id=agent_id):
                rooms_in = (
                    lambda one: scopes.agent_room(one, agent_id),
                    lambda one: scopes.terminal_room(one, agent_id),
                )
            case joins.JoinRepo(repo_id=repo_id):
                rooms_in = (lambda one: scopes.repo_room(one, repo_id),)
        villages = {one for one in self.joined.values() if wanted.village_id in (None, name_of(one))}
        self._leave([room_in(village_id) for village_id in villages for room_in in rooms_in])
        return {"ok": True}

    async def recover(self, rooms: Sequence[str]) -> bool:
        """Keep the rooms of the connection before this one; return False where rights that changed forbid it."""
        for room in rooms:
            village_id = scopes.village_of_room(room)
            if village_id is None or not await self._access.may_read(self._subject(), village_id):
                return False
            self._in(room, village_id)
        return True

    async def come_back(self, seen: SeenLog) -> None:
        """Enter the rooms of the connection to another process, and show what was missed there since."""
        rooms = frozenset(self.joined)
        async with self._context.outlet.catch_up(self._client_id) as out:
            for room in rooms:
                self._context.outlet.enter(self._client_id, room)
            await returning.show_missed(self._context, out, rooms, seen)
            for room, village_id in list(self.joined.items()):
                if room == scopes.village_room(village_id):
                    output = scopes.output_room(village_id) in rooms
                    village = await self._village(village_id)
                    await village.call(m.Enter(self._client_id, room, output), timeout=CALL_TIMEOUT_SECONDS)
            await self._tell_state(rooms)

    async def _tell_state(self, rooms: frozenset[str]) -> None:
        """Tell what is no event of the log as it is now: houses, and who holds keyboards."""
        for village_id in set(self.joined.values()):
            village = await self._village(village_id)
            for house in await village.call(m.Houses(), timeout=CALL_TIMEOUT_SECONDS):
                if scopes.repo_room(village_id, house.repo_id) in rooms:
                    shown = m.ShowHouse(self._client_id, house.repo_id)
                    await village.call(shown, timeout=CALL_TIMEOUT_SECONDS)
            for state in self._context.board.of_village(village_id):
                if not state.ended and scopes.agent_room(village_id, state.agent_id) in rooms:
                    held = self._context.keyboards.get(state.session_id, keyboard.Keyboard())
                    said = encode(keyboard.message(state, held))
                    self._context.outlet.send(self._client_id, "keyboard", said)

    async def evict(self) -> None:
        """Leave every room that the client may no longer be in."""
        verdicts: dict[str, bool] = {}
        for room, village_id in list(self.joined.items()):
            if village_id not in verdicts:
                verdicts[village_id] = await self._access.may_read(self._subject(), village_id)
            if not verdicts[village_id]:
                self._leave([room])

    # --- one room, or many ------------------------------------------------------------------------

    async def _join_many(self, wanted: joins.JoinRooms) -> dict[str, Any]:
        """Join a village, then agents and repositories of it, each with an answer of its own. What the village's room
        shows of what was missed is not shown once more for its agents.
        """
        village_id = await self._readable(wanted.village_id)
        whole = joins.JoinVillage(village_id=wanted.village_id, output=wanted.output, since=wanted.since)
        ack = await self._join_village(village_id, whole)

        def told(frame: m.UiFrame) -> bool:
            return bool(frame.scope & Scope.VILLAGE) and (wanted.output == "full" or not frame.output)

        async def agent(agent_id: str) -> dict[str, Any]:
            if village_id not in self._context.board.villages_of_agent(agent_id):
                raise Refusal("E_FORBIDDEN", NOT_HERE)
            return await self._join_agent(village_id, joins.JoinAgent(agent_id=agent_id, since=wanted.since), told=told)

        async def repo(repo_id: str) -> dict[str, Any]:
            return await self._join_repo(village_id, repo_id)

        agents = {one: await _answered(agent(one)) for one in dict.fromkeys(wanted.agents)}
        return {**ack, "agents": agents, "repos": {one: await _answered(repo(one)) for one in wanted.repos}}

    async def _join_village(self, village_id: str, wanted: joins.JoinVillage) -> dict[str, Any]:
        since, output = wanted.since, wanted.output == "full"
        village = await self._village(village_id)
        room = scopes.village_room(village_id)
        follows = self._follower()
        async with self._context.outlet.catch_up(self._client_id) as catching_up:
            enter = m.Enter(self._client_id, room, output)
            entered: m.Entered = await village.call(enter, timeout=CALL_TIMEOUT_SECONDS)
            self._in(room, village_id)
            if output:
                self.joined[scopes.output_room(village_id)] = village_id
            else:
                self.joined.pop(scopes.output_room(village_id), None)
            if since is not None:
                shown = self._pending_shown
                await replay.missed(self._context, catching_up, room, since, entered.positions, shown, output=output)
            replay.pending(self._context, catching_up, entered.positions, self._pending_shown, follows)
        return _joined(room, since, entered)

    async def _join_agent(
        self, village_id: str, wanted: joins.JoinAgent, told: Callable[[m.UiFrame], bool] | None = None
    ) -> dict[str, Any]:
        village = await self._village(village_id)
        room = scopes.agent_room(village_id, wanted.agent_id)
        follows = self._follower()
        async with self._context.outlet.catch_up(self._client_id) as catching_up:
            if wanted.terminal:  # before the agent's room: its members get no output in the work stream
                await self._open_terminal(wanted, village_id, catching_up)
            entered: m.Entered = await village.call(m.Enter(self._client_id, room), timeout=CALL_TIMEOUT_SECONDS)
            self._in(room, village_id)
            if wanted.since is not None:
                shown = self._pending_shown
                watches = scopes.terminal_room(village_id, wanted.agent_id) in self.joined
                await replay.missed(
                    self._context, catching_up, room, wanted.since, entered.positions, shown, output=not watches,
                    told=told,
                )  # fmt: skip
            replay.pending(self._context, catching_up, entered.positions, self._pending_shown, follows)
            self._tell_keyboard(village_id, wanted.agent_id, catching_up)
        return _joined(room, wanted.since, entered)

    async def _open_terminal(self, wanted: joins.JoinAgent, village_id: str, catching_up: Any) -> None:
        """The screen for who comes new; exactly what was missed for who was here before."""
        agent = await self._context.router_call(m.EnsureAgent(wanted.agent_id, village_id))
        room = scopes.terminal_room(village_id, wanted.agent_id)
        enter = m.Enter(self._client_id, room, since=wanted.since or {})
        entered: m.Entered = await agent.call(enter, timeout=CALL_TIMEOUT_SECONDS)
        self.joined[room] = village_id
        known = {} if wanted.since is None else {s: q for s, q in wanted.since.items() if s in entered.positions}
        if known and await replay.missed_terminal(self._context, catching_up, room, known, entered.positions):
            return
        for outgoing in entered.screen:
            catching_up.send(outgoing.event, outgoing.payload)

    async def _join_repo(self, village_id: str, repo_id: str) -> dict[str, Any]:
        village = await self._village(village_id)
        if not await village.call(m.ShowHouse(self._client_id, repo_id), timeout=CALL_TIMEOUT_SECONDS):
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        room = scopes.repo_room(village_id, repo_id)
        self.joined[room] = village_id
        return {"ok": True, "room": scopes.wire_room(room)}

    # --- helpers ----------------------------------------------------------------------------------

    async def _readable(self, name: str) -> str:
        village_id = await self._access.readable_village(self._subject(), name)
        if village_id is None:
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        return village_id

    async def _meant(self, asked: str | None, places: Sequence[str]) -> str:
        """Return the village in which the person means an agent or a house: the one that they name; else one that
        they have joined; else the first of those that they may see. `places`: the villages that have it, oldest claim
        first, so that a later claim of the same id never takes an older one's place.
        """
        here = set(self.joined.values())
        wanted = [one for one in places if asked in (None, name_of(one))]
        for village_id in sorted(wanted, key=lambda one: one not in here):
            if await self._access.may_read(self._subject(), village_id):
                return village_id
        raise Refusal("E_FORBIDDEN", NOT_HERE)

    def _follower(self) -> Callable[[SessionState], bool]:
        """Return a predicate: was this session followed before the join under way?"""
        rooms = frozenset(self.joined)
        return lambda state: (
            scopes.village_room(state.village_id) in rooms
            or scopes.agent_room(state.village_id, state.agent_id) in rooms
        )

    def _tell_keyboard(self, village_id: str, agent_id: str, out: Any) -> None:
        """Tell a client that joins an agent who holds its keyboard."""
        state = self._context.board.of_agent(village_id, agent_id)
        if state is not None and (found := self._context.keyboards.get(state.session_id)) is not None:
            out.send("keyboard", encode(keyboard.message(state, found)))

    def _in(self, room: str, village_id: str) -> None:
        self.joined[room] = village_id
        self._context.present.add(village_id)

    def _leave(self, rooms: Sequence[str]) -> None:
        for room in rooms:
            self._context.outlet.leave(self._client_id, room)
            village_id = self.joined.pop(room, None)
            if village_id is not None:
                self._context.present.add(village_id)

    def _count_join(self) -> None:
        """Count a join. Raise E_RATE_LIMIT above the limit: 20 in any 5 s unless configured otherwise."""
        most, seconds = self._context.allowances.joins, self._context.allowances.joins_seconds
        if wait := self._window.take(most, seconds, trio.current_time()):
            self._context.measure("limit", {"limit": "joins"})
            text = f"limit joins: at most {most} joins in {seconds:g} s; try again in {wait:.1f} s"
            raise Refusal("E_RATE_LIMIT", text, retry_after=wait)

    async def _village(self, village_id: str) -> Ref:
        return await self._context.router_call(m.EnsureVillage(village_id))


async def _answered(join: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Return a join's ack, or that of its refusal: one room's is no other's."""
    try:
        return await join
    except Refusal as refused:
        return refused.as_ack()


def _joined(room: str, since: joins.Since | None, entered: m.Entered) -> dict[str, Any]:
    """Return the join's ack; a resuming client gets its positions, so that its next `since` is complete."""
    ack: dict[str, Any] = {"ok": True, "room": scopes.wire_room(room)}
    return ack if since is None else {**ack, "positions": dict(entered.positions)}
