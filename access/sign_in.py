"""Ways in for people: the one-time code of the link that the service prints, and local passwords."""

from collections.abc import Callable

import attrs
import structlog
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.jwt import OwnTokens
from townwatch.access.passwords import Passwords
from townwatch.access.subject import InvalidCredentials, Subject, WrongSecret
from townwatch.contracts.clock import epoch_ms
from townwatch.store import sign_ins, tokens, users
from townwatch.store.database import Database
from townwatch.store.rows import new_id
from townwatch.store.sign_ins import DAY_MS, SignInRow, Way
from townwatch.store.tokens import Code, CodeWay
from townwatch.store.users import User

CODE_LIFETIME_MS = 15 * 60_000
REDIRECT_CODE_LIFETIME_MS = 60_000
"""Lifetime of a code that a browser carries from a redirect to the page: it is used at once, or not at all."""
KEPT_DAYS = 90
"""How long a sign-in that is over stays in the list of past ones, where the settings say nothing else."""
MAX_PLACE_CHARS = 300
_log = structlog.get_logger("access")


@attrs.frozen(kw_only=True)
class ClientPlace:
    """Origin of a request, as it says itself: its address, and the name of the browser or program."""

    address: str | None = None
    user_agent: str | None = None


NO_PLACE = ClientPlace()


@attrs.frozen(kw_only=True)
class SignInResult:
    """The answer to a sign-in. `device`: by which the device is known again; None for a person without an address."""

    token: str = attrs.field(repr=False)
    expires_ms: int
    user: User
    device: str | None = attrs.field(repr=False)
    way: Way


class SignIn:
    """Gives access tokens to people who show who they are."""

    def __init__(
        self,
        database: Database,
        own: OwnTokens,
        passwords: Passwords | None = None,
        now_ms: Callable[[], int] = epoch_ms,
        kept_days: int = KEPT_DAYS,
    ) -> None:
        """`kept_days`: how long the list of past sign-ins has one that is over."""
        self._database = database
        self._own = own
        self._passwords = passwords or Passwords()
        self._now_ms = now_ms
        self.keep_ms = kept_days * DAY_MS

    async def issue_code(self, user_id: str, lifetime_ms: int = CODE_LIFETIME_MS, way: CodeWay = "link") -> str:
        """A code that signs this person in once, within 15 minutes."""
        return await self._database.call(issue_sign_in_code, user_id, self._now_ms(), lifetime_ms, way)

    async def exchange(self, code: str, place: ClientPlace = NO_PLACE) -> SignInResult:
        """Use a code up. Raises `townwatch.access.subject.WrongSecret` where it is unknown, used or expired."""
        now = self._now_ms()
        digest = secrets.digest(code[:200])
        found = await self._database.call(tokens.use_code, "sign_in", digest, now)
        user = await self._database.read(users.get, found.user_id) if found and found.user_id else None
        if user is None or user.disabled:
            raise WrongSecret("the code is unknown, used or expired; get a new one")
        return await self._signed_in(user, (found.way if found else None) or "link", place)

    async def with_password(self, email: str, password: str, place: ClientPlace = NO_PLACE) -> SignInResult:
        """Sign in by e-mail address and password. Raises `WrongSecret`, without saying which of the two was wrong."""
        user = await self._database.read(users.by_email, email[:320])
        right = await self._passwords.matches(user.password_hash if user else None, password)
        if user is None or not right or user.disabled:
            raise WrongSecret("the e-mail address or the password is wrong")
        if user.password_hash and self._passwords.is_outdated(user.password_hash):
            await self._database.call(users.set_password_hash, user.user_id, await self._passwords.hash(password))
        return await self._signed_in(user, "password", place)

    async def is_password(self, user_id: str, password: str | None) -> bool:
        """Return True if `password` is this person's; None matches a person without a password."""
        user = await self._database.read(users.get, user_id)
        if user is None or user.password_hash is None:
            return user is not None and password is None
        return await self._passwords.matches(user.password_hash, password or "")

    async def reissue(self, user_id: str, place: ClientPlace = NO_PLACE) -> SignInResult:
        """Return a new access token for a person who was just authenticated. Raises `InvalidCredentials` if
        locked out.
        """
        user = await self._database.read(users.get, user_id)
        if user is None or user.disabled:
            raise InvalidCredentials("this person was removed or locked out; ask an administrator")
        return await self._signed_in(user, "renewed", place)

    async def set_password(self, user_id: str, password: str) -> None:
        """A new password; every access token issued so far ends, and every one-time code.

        Raises `townwatch.access.passwords.WeakPassword`.
        """
        hashed = await self._passwords.hash(password)
        await self._database.call(_change_password, user_id, hashed, self._now_ms())

    async def sign_out_everywhere(self, user_id: str) -> bool:
        """End all access tokens of a person issued so far, and their one-time codes. False: no such person."""
        return await self._database.call(_end_sign_ins, user_id, self._now_ms())

    async def sign_out(self, subject: Subject) -> None:
        """End this access token at once; others of the same person stay good."""
        if subject.kind == "user" and subject.token_id is not None:
            expires = subject.expires_ms or self._now_ms()
            await self._database.call(tokens.end_access_token, subject.token_id, expires, self._now_ms())

    def known_device(self, email: str, shown: str | None) -> str | None:
        """Return the id of the device that shows this token, where it signed in to this account before."""
        return None if shown is None else self._own.device_of(shown, account_of(email))

    async def end(self, user_id: str, sign_in_id: str) -> SignInRow | None:
        """End one of a person's sign-ins, and the token that it is; None where they have no such one."""
        return await self._database.call(_end_one, user_id, sign_in_id, self._now_ms())

    async def _signed_in(self, user: User, way: Way, place: ClientPlace) -> SignInResult:
        issued = self._own.issue(user.user_id)
        device = None if user.email is None else self._own.issue_device(account_of(user.email))
        row = SignInRow(
            sign_in_id=new_id("in"),
            user_id=user.user_id,
            token_id=issued.token_id,
            way=way,
            address=short(place.address),
            user_agent=short(place.user_agent),
            created_ms=issued.issued_ms,
            expires_ms=issued.expires_ms,
        )
        try:
            await self._database.call(sign_ins.add, row, self.keep_ms)
        except Exception as error:  # on a full disk, who signs in to free it is let in all the same
            _log.warning("sign_in_not_listed", user_id=user.user_id, way=way, reason=repr(error))
        return SignInResult(token=issued.token, expires_ms=issued.expires_ms, user=user, device=device, way=way)


def account_of(email: str) -> str:
    """Return the account that an e-mail address means, whether there is one or not."""
    return email.strip().lower()[:320]


def issue_sign_in_code(
    connection: Connection, user_id: str, now_ms: int, lifetime_ms: int = CODE_LIFETIME_MS, way: CodeWay = "link"
) -> str:
    """A new one-time code; only its hash is kept."""
    code = secrets.make(secrets.SIGN_IN_CODE)
    row = Code(
        hash=secrets.digest(code),
        kind="sign_in",
        user_id=user_id,
        created_ms=now_ms,
        expires_ms=now_ms + lifetime_ms,
        way=way,
    )
    tokens.add_code(connection, row)
    return code


def _end_one(connection: Connection, user_id: str, sign_in_id: str, now_ms: int) -> SignInRow | None:
    found = sign_ins.get(connection, user_id, sign_in_id)
    if found is None:
        return None
    if found.way == "token":
        tokens.revoke_api_token(connection, user_id, found.token_id, now_ms)
    else:
        tokens.end_access_token(connection, found.token_id, found.expires_ms or now_ms, now_ms)
    return found


def short(text: str | None) -> str | None:
    """Return what is printable of it, in a length that fits a list."""
    return "".join(character for character in text if character.isprintable())[:MAX_PLACE_CHARS] if text else None


def _end_sign_ins(connection: Connection, user_id: str, now_ms: int) -> bool:
    if users.get(connection, user_id) is None:
        return False
    users.void_tokens(connection, user_id, now_ms)
    tokens.use_up_codes(connection, user_id, now_ms)
    return True


def _change_password(connection: Connection, user_id: str, hashed: str, now_ms: int) -> None:
    users.set_password_hash(connection, user_id, hashed)
    users.void_tokens(connection, user_id, now_ms)
    tokens.use_up_codes(connection, user_id, now_ms)
