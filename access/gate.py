"""The one place that callers ask: policy and its query together.

A village is asked for by its name where a person named it (`village`), by its key everywhere else.
"""

import re

from townwatch.access.policy import Action, Verdict, decide, decide_service
from townwatch.access.subject import Subject
from townwatch.store import standing
from townwatch.store.database import Database
from townwatch.store.standing import Kind, Membership

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
        """Return the policy's verdict. An id that no thing has is NOT_FOUND; it never raises."""
        return decide(subject, action, await self._standing(subject, kind, thing_id))

    async def check(self, subject: Subject, action: Action, kind: Kind, thing_id: str) -> Membership:
        """Return the membership when allowed, else raise `NotFound` or `Denied`."""
        found = await self._standing(subject, kind, thing_id)
        verdict = decide(subject, action, found)
        if found is None or verdict is Verdict.NOT_FOUND:
            raise NotFound(f"no {kind} {thing_id[:200]!r}")
        if verdict is Verdict.FORBIDDEN:
            raise Denied(f"{action} of this {kind} needs a higher role in its village, or the scope {action}")
        return found

    async def village(self, subject: Subject, action: Action, name: str) -> str:
        """Return the key of the village that has this name, where the subject may do that in it. Raises as `check`."""
        try:
            return (await self.check(subject, action, "village_name", name)).village_id
        except NotFound:
            raise NotFound(f"no village {name[:200]!r}") from None
        except Denied:
            raise Denied(f"{action} of this village needs a higher role in it, or the scope {action}") from None

    async def check_runner(self, subject: Subject, action: Action, runner_id: str, *, any_owner: bool = False) -> None:
        """Check an action on a runner (see `townwatch.store.standing.of_runner`). Raises `NotFound` or `Denied`."""
        found = None
        if _ID.fullmatch(runner_id):
            found = await self._database.read(standing.of_runner, runner_id, subject.user_id, any_owner)
        match decide(subject, action, found):
            case Verdict.NOT_FOUND:
                raise NotFound(f"no runner {runner_id[:200]!r}")
            case Verdict.FORBIDDEN:
                whose = "a village" if any_owner else "all the villages"
                raise Denied(f"{action} of this runner takes an owner of {whose} that it serves")
            case Verdict.ALLOWED:
                pass

    def check_service(self, subject: Subject, action: Action) -> None:
        """Check an action on the service itself, outside any village. Raises `Denied`."""
        if decide_service(subject, action) is not Verdict.ALLOWED:
            raise Denied(f"{action} of the service needs an administrator and the scope {action}")

    async def may_read(self, subject: Subject, village_id: str) -> bool:
        """Return True if `subject` may look at a village and everything in it."""
        return await self.verdict(subject, Action.READ, "village", village_id) is Verdict.ALLOWED

    async def may_drive(self, subject: Subject, village_id: str) -> bool | None:
        """Return True if `subject` may type, start, stop, pause and resize there, None if it may not see it."""
        verdict = await self.verdict(subject, Action.DRIVE, "village", village_id)
        return None if verdict is Verdict.NOT_FOUND else verdict is Verdict.ALLOWED

    async def _standing(self, subject: Subject, kind: Kind, thing_id: str) -> Membership | None:
        if not _ID.fullmatch(thing_id):
            return None
        return await self._database.read(standing.of, kind, thing_id, subject.user_id)
