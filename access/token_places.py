"""Notes from where tokens are used that no sign-in here gave out: API tokens, and those of other issuers."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import structlog

from townwatch.access.sign_in import ClientPlace, short
from townwatch.access.subject import Subject
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.networks import network_of
from townwatch.store import sign_ins
from townwatch.store.database import Database
from townwatch.store.sign_ins import SignInRow

REMEMBERED = 4096
"""Places that are known without asking the database."""
_log = structlog.get_logger("access")


class TokenPlaces:
    """One row in the list of sign-ins for a token, a network and a program: the first time that it was used so."""

    def __init__(self, database: Database, keep_ms: int, now_ms: Callable[[], int] = epoch_ms) -> None:
        self._database = database
        self._keep_ms = keep_ms
        self._now_ms = now_ms
        self._known: OrderedDict[str, None] = OrderedDict()

    async def note(self, subject: Subject, place: ClientPlace) -> None:
        """Note where the token is used, if that is new. Never raises for a database that cannot be written to."""
        outside = subject.kind == "api_token" or (subject.kind == "user" and not subject.signed_in_here)
        if not outside or subject.user_id is None or subject.token_id is None:
            return
        agent = short(place.user_agent)
        where = "\0".join((subject.token_id, network_of(place.address), agent or ""))
        key = f"in_{hashlib.sha256(where.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"
        if key in self._known:
            self._known.move_to_end(key)
            return
        self._known[key] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        row = SignInRow(
            sign_in_id=key,
            user_id=subject.user_id,
            token_id=subject.token_id,
            way="token" if subject.kind == "api_token" else "issuer",
            address=short(place.address),
            user_agent=agent,
            created_ms=self._now_ms(),
            expires_ms=subject.expires_ms,
        )
        try:
            await self._database.call(sign_ins.add, row, self._keep_ms)
        except Exception as error:  # the request itself goes on: it may change nothing, or free the full disk
            self._known.pop(key, None)
            _log.warning("token_place_not_listed", user_id=subject.user_id, reason=repr(error))
