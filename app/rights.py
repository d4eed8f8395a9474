"""Access for the cast: `access` behind the ports of `actors`."""

from functools import partial
from typing import Any, cast

from townwatch.access import Subject as AccessSubject
from townwatch.access.authenticator import Authenticator
from townwatch.access.gate import Denied, Gate, NotFound
from townwatch.access.policy import Action
from townwatch.access.subject import InvalidCredentials
from townwatch.actors.ports import Principal
from townwatch.app.grants import GrantBook
from townwatch.config.settings import LimitsSettings
from townwatch.supervision import Rate
from townwatch.transports.http.deps import Rates
from townwatch.transports.runners import ports as runner_ports
from townwatch.transports.runners.ports import RunnerIdentity


class Rights:
    """`townwatch.actors.ports.Access`, and who a token belongs to."""

    def __init__(self, authenticator: Authenticator, gate: Gate, grants: GrantBook) -> None:
        self._authenticator = authenticator
        self._gate = gate
        self._grants = grants

    async def readable_village(self, subject: Principal, name: str) -> str | None:
        try:
            return await self._gate.village(cast(AccessSubject, subject), Action.READ, name)
        except (NotFound, Denied):
            return None

    async def may_read(self, subject: Principal, village_id: str) -> bool:
        return await self._gate.may_read(cast(AccessSubject, subject), village_id)

    async def may_drive(self, subject: Principal, village_id: str) -> bool | None:
        return await self._gate.may_drive(cast(AccessSubject, subject), village_id)

    async def person(self, token: str | None) -> Principal:
        """Raises ValueError for a token that is no good, and for one that is no person's."""
        try:
            subject = await self._authenticator.authenticate(token)
        except InvalidCredentials as error:
            raise ValueError(str(error)) from None
        if subject.kind in ("runner", "session"):
            raise ValueError("is no person's token")
        return cast(Any, subject)

    async def runner(self, token: str) -> RunnerIdentity:
        """Raises `townwatch.transports.runners.ports.InvalidCredentials`."""
        try:
            subject = await self._authenticator.runner(token)
        except InvalidCredentials as error:
            raise runner_ports.InvalidToken(str(error)) from None
        return self._identity(subject)

    async def certified(self, names: tuple[str, ...]) -> RunnerIdentity:
        """Raises `townwatch.transports.runners.ports.InvalidCredentials`."""
        try:
            subject = await self._authenticator.certified_runner(names)
        except InvalidCredentials as error:
            raise runner_ports.InvalidToken(str(error)) from None
        return self._identity(subject)

    def _identity(self, subject: AccessSubject) -> RunnerIdentity:
        runner_id = subject.runner_id
        if not runner_id:
            raise runner_ports.InvalidToken("names no runner")
        return RunnerIdentity(runner_id=runner_id, villages=partial(self._grants.of, runner_id))


def rates(limits: LimitsSettings) -> Rates:
    """Return the rate limits of a person's requests over REST."""
    return Rates(
        reads=Rate(limits.reads_per_second, limits.reads_burst),
        writes=Rate(limits.commands_per_second, limits.commands_burst),
    )
