"""Access and decisions for the cast: `access` and `store` behind the ports of `actors`."""

from collections.abc import Sequence
from typing import Any, cast

from access import Subject as AccessSubject
from access.authenticator import Authenticator
from access.gate import Gate
from access.subject import InvalidToken
from actors.ports import Standing, Subject
from config.settings import Limits
from store import approvals
from store.approvals import Approval
from store.database import Database
from supervision import Rate
from transports.http.deps import Rates
from transports.runners import ports as runner_ports
from transports.runners.ports import RunnerIdentity


class Rights:
    """`actors.ports.Access`, and who a token belongs to."""

    def __init__(self, authenticator: Authenticator, gate: Gate) -> None:
        self._authenticator = authenticator
        self._gate = gate

    async def may_read(self, subject: Subject, village_id: str) -> bool:
        return await self._gate.may_read(cast(AccessSubject, subject), village_id)

    async def may_drive(self, subject: Subject, village_id: str) -> bool:
        return await self._gate.may_drive(cast(AccessSubject, subject), village_id)

    async def person(self, token: str | None) -> Subject:
        """Raises ValueError for a token that is no good, and for one that is no person's."""
        try:
            subject = await self._authenticator.authenticate(token)
        except InvalidToken as error:
            raise ValueError(str(error)) from None
        if subject.kind in ("runner", "session"):
            raise ValueError("is no person's token")
        return cast(Any, subject)

    async def runner(self, token: str) -> RunnerIdentity:
        """Raises `transports.runners.ports.InvalidToken`."""
        try:
            subject = await self._authenticator.runner(token)
        except InvalidToken as error:
            raise runner_ports.InvalidToken(str(error)) from None
        return RunnerIdentity(runner_id=subject.runner_id or "")

    async def certified(self, names: tuple[str, ...]) -> RunnerIdentity:
        """Raises `transports.runners.ports.InvalidToken`."""
        try:
            subject = await self._authenticator.certified_runner(names)
        except InvalidToken as error:
            raise runner_ports.InvalidToken(str(error)) from None
        return RunnerIdentity(runner_id=subject.runner_id or "")


def rates(limits: Limits) -> Rates:
    """How many requests over REST a person may make."""
    return Rates(
        reads=Rate(limits.reads_per_second, limits.reads_burst),
        writes=Rate(limits.commands_per_second, limits.commands_burst),
    )


class StoredDecisions:
    """`actors.ports.Decisions` in the database: one conditional update, the first decision wins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, approval_id: str, session_id: str, decision: str, resolved_by: str, note: str | None, at_ms: int
    ) -> Standing:
        decided = await self._database.call(
            approvals.record, session_id, approval_id, decision, resolved_by, note, at_ms
        )
        return _standing(decided.standing, won=decided.won)

    async def unconfirmed(self, session_id: str) -> Sequence[Standing]:
        return [_standing(one) for one in await self._database.read(approvals.unconfirmed, session_id)]

    async def confirm(
        self, session_id: str, approval_id: str, decision: str, resolved_by: str | None, note: str | None, at_ms: int
    ) -> None:
        await self._database.call(approvals.confirm, session_id, approval_id, decision, resolved_by, note, at_ms)


def _standing(approval: Approval, *, won: bool = False) -> Standing:
    return Standing(
        approval_id=approval.approval_id,
        decision=approval.decision or "deny",
        resolved_by=approval.resolved_by,
        note=approval.note,
        won=won,
        confirmed=approval.confirmed_ms is not None,
    )
