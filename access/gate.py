"""The one place that callers ask: policy and its query together."""

import re

from access.policy import Action, Verdict, decide, decide_service
from access.subject import Subject
from store import standing
from store.database import Database
from store.standing import Kind, Standing

ROOM_KINDS: dict[str, Kind] = {"village": "village", "agent": "agent", "repo": "house"}
_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Denied(Exception):
    """The asker may see the thing, and may not do that with it: 403."""


class NotFound(Exception):
    """There is no such thing, as far as the asker may know: 404."""


class Gate:
    """Asks the database, then the policy."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verdict(self, subject: Subject, action: Action, kind: Kind, thing_id: str) -> Verdict:
        """What the policy says; never raises for an odd id."""
        return decide(subject, action, await self._standing(subject, kind, thing_id))

    async def check(self, subject: Subject, action: Action, kind: Kind, thing_id: str) -> Standing:
        """Return the standing when allowed, else raise `NotFound` or `Denied`."""
        found = await self._standing(subject, kind, thing_id)
        verdict = decide(subject, action, found)
        if found is None or verdict is Verdict.NOT_FOUND:
            raise NotFound(f"no {kind} {thing_id[:200]!r}")
        if verdict is Verdict.FORBIDDEN:
            raise Denied(f"{action} of this {kind} is not yours to do")
        return found

    def check_service(self, subject: Subject, action: Action) -> None:
        """For what belongs to no village. Raises `Denied`."""
        if decide_service(subject, action) is not Verdict.ALLOWED:
            raise Denied(f"{action} of the service is not yours to do")

    async def may_read(self, subject: Subject, village_id: str) -> bool:
        """Whether somebody may look at a village and everything in it."""
        return await self.verdict(subject, Action.READ, "village", village_id) is Verdict.ALLOWED

    async def may_drive(self, subject: Subject, village_id: str) -> bool:
        """Whether somebody may type, start, stop, pause and resize in a village."""
        return await self.verdict(subject, Action.DRIVE, "village", village_id) is Verdict.ALLOWED

    async def may_join(self, subject: Subject, room: str) -> bool:
        """Whether somebody may be in a room (``village:<id>``, ``agent:<id>``, ``repo:<id>``)."""
        prefix, _, thing_id = room.partition(":")
        kind = ROOM_KINDS.get(prefix)
        return kind is not None and await self.verdict(subject, Action.READ, kind, thing_id) is Verdict.ALLOWED

    async def _standing(self, subject: Subject, kind: Kind, thing_id: str) -> Standing | None:
        if not _ID.fullmatch(thing_id):
            return None
        return await self._database.read(standing.of, kind, thing_id, subject.user_id)
