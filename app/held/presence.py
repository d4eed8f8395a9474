"""`presence`: the people who look on, told to a village and to its agents' rooms at most once a second."""

from collections import defaultdict
from contextlib import suppress

import trio

from townwatch.actors.context import Context
from townwatch.actors.directory import LiveConnection
from townwatch.contracts import scopes, ui
from townwatch.contracts.codec import encode
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runtime.tasks import TaskOwner
from townwatch.store import members
from townwatch.store.database import Database

EVERY_SECONDS = 1.0
MOST_PEOPLE = 100
"""People that one message names."""


class Presence(TaskOwner):
    """Looks once a second at the villages in which something changed."""

    def __init__(self, context: Context, database: Database) -> None:
        super().__init__()
        self._context = context
        self._database = database
        self._told: dict[str, bytes] = {}

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(EVERY_SECONDS)
            if changed := set(self._context.present):
                self._context.present.clear()
                await self._tell(changed)

    async def _tell(self, villages: set[str]) -> None:
        rooms: dict[str, list[LiveConnection]] = defaultdict(list)
        for one in list(self._context.directory.connections.values()):
            for room in one.in_rooms():
                if room.startswith(("village:", "agent:")) and scopes.village_of_room(room) in villages:
                    rooms[room].append(one)
        roles: dict[str, str] = {}
        drives = self._drives()
        for village_id in villages:
            roles.clear()
            with suppress(TablesUnavailable):  # then without roles
                known = await self._database.read(members.of_village, village_id)
                roles.update({member.user_id: member.role for member in known})
            for room in [room for room in rooms if scopes.village_of_room(room) == village_id]:
                payload = encode(_message(room, rooms[room], roles, drives))
                if self._told.get(room) != payload:
                    self._told[room] = payload
                    self._context.outlet.publish("presence", payload, (room,))
        for room in [room for room in self._told if scopes.village_of_room(room) in villages and room not in rooms]:
            del self._told[room]

    def _drives(self) -> dict[tuple[str, str], str]:
        """(agent's room, user) → the session whose keyboard that user holds."""
        found: dict[tuple[str, str], str] = {}
        for session_id, keyboard in self._context.keyboards.items():
            state = self._context.board.session(session_id)
            if keyboard.lease is not None and state is not None:
                room = scopes.agent_room(state.village_id, state.agent_id)
                found[room, keyboard.lease.person.user_id] = session_id
        return found


def _message(
    room: str, there: list[LiveConnection], roles: dict[str, str], drives: dict[tuple[str, str], str]
) -> ui.PresenceMessage:
    names = {one.user_id: one.name for one in there if one.user_id is not None}
    people = [
        ui.PresentPerson(user_id=user, name=name or user, role=roles.get(user), drives=drives.get((room, user)))
        for user, name in sorted(names.items(), key=lambda item: (item[1], item[0]))[:MOST_PEOPLE]
    ]
    visitors = sum(one.user_id is None for one in there)
    return ui.PresenceMessage(room=scopes.wire_room(room), people=people, visitors=visitors)
