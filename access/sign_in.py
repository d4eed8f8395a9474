"""Ways in for people: the one-time code of the link that the service prints, and local passwords."""

from collections.abc import Callable

import attrs
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.jwt import OwnTokens
from townwatch.access.passwords import Passwords
from townwatch.access.subject import InvalidCredentials, Subject, WrongSecret
from townwatch.contracts.clock import epoch_ms
from townwatch.store import tokens, users
from townwatch.store.database import Database
from townwatch.store.tokens import Code
from townwatch.store.users import User

CODE_LIFETIME_MS = 15 * 60_000
REDIRECT_CODE_LIFETIME_MS = 60_000
"""Lifetime of a code that a browser carries from a redirect to the page: it is used at once, or not at all."""


@attrs.frozen(kw_only=True)
class SignInResult:
    """The answer to a sign-in. `device`: by which the device is known again; None for a person without an address."""

    token: str = attrs.field(repr=False)
    expires_ms: int
    user: User
    device: str | None = attrs.field(repr=False)


class SignIn:
    """Gives access tokens to people who show who they are."""

    def __init__(
        self,
        database: Database,
        own: OwnTokens,
        passwords: Passwords | None = None,
        now_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._database = database
        self._own = own
        self._passwords = passwords or Passwords()
        self._now_ms = now_ms

    async def issue_code(self, user_id: str, lifetime_ms: int = CODE_LIFETIME_MS) -> str:
        """A code that signs this person in once, within 15 minutes."""
        return await self._database.call(issue_sign_in_code, user_id, self._now_ms(), lifetime_ms)

    async def exchange(self, code: str) -> SignInResult:
        """Use a code up. Raises `townwatch.access.subject.WrongSecret` where it is unknown, used or expired."""
        now = self._now_ms()
        digest = secrets.digest(code[:200])
        found = await self._database.call(tokens.use_code, "sign_in", digest, now)
        user = await self._database.read(users.get, found.user_id) if found and found.user_id else None
        if user is None or user.disabled:
            raise WrongSecret("the code is unknown, used or expired; get a new one")
        return self._signed_in(user)

    async def with_password(self, email: str, password: str) -> SignInResult:
        """Sign in by e-mail address and password. Raises `WrongSecret`, without saying which of the two was wrong."""
        user = await self._database.read(users.by_email, email[:320])
        right = await self._passwords.matches(user.password_hash if user else None, password)
        if user is None or not right or user.disabled:
            raise WrongSecret("the e-mail address or the password is wrong")
        if user.password_hash and self._passwords.is_outdated(user.password_hash):
            await self._database.call(users.set_password_hash, user.user_id, await self._passwords.hash(password))
        return self._signed_in(user)

    async def is_password(self, user_id: str, password: str | None) -> bool:
        """Return True if `password` is this person's; None matches a person without a password."""
        user = await self._database.read(users.get, user_id)
        if user is None or user.password_hash is None:
            return user is not None and password is None
        return await self._passwords.matches(user.password_hash, password or "")

    async def again(self, user_id: str) -> SignInResult:
        """Return a new access token for a person who was just authenticated. Raises `InvalidCredentials` if
        locked out.
        """
        user = await self._database.read(users.get, user_id)
        if user is None or user.disabled:
            raise InvalidCredentials("this person was removed or locked out; ask an administrator")
        return self._signed_in(user)

    async def set_password(self, user_id: str, password: str) -> None:
        """A new password; every access token issued so far ends. Raises `townwatch.access.passwords.WeakPassword`."""
        hashed = await self._passwords.hash(password)
        await self._database.call(_change_password, user_id, hashed, self._now_ms())

    async def sign_out(self, subject: Subject) -> None:
        """This access token ends here and now; others of the same person live on."""
        if subject.kind == "user" and subject.token_id is not None:
            expires = subject.expires_ms or self._now_ms()
            await self._database.call(tokens.end_access_token, subject.token_id, expires, self._now_ms())

    def known_device(self, email: str, shown: str | None) -> str | None:
        """Return the id of the device that shows this token, where it signed in to this account before."""
        return None if shown is None else self._own.device_of(shown, account_of(email))

    def _signed_in(self, user: User) -> SignInResult:
        issued = self._own.issue(user.user_id)
        device = None if user.email is None else self._own.issue_device(account_of(user.email))
        return SignInResult(token=issued.token, expires_ms=issued.expires_ms, user=user, device=device)


def account_of(email: str) -> str:
    """Return the account that an e-mail address means, whether there is one or not."""
    return email.strip().lower()[:320]


def issue_sign_in_code(connection: Connection, user_id: str, now_ms: int, lifetime_ms: int = CODE_LIFETIME_MS) -> str:
    """A new one-time code; only its hash is kept."""
    code = secrets.make(secrets.SIGN_IN_CODE)
    row = Code(
        hash=secrets.digest(code),
        kind="sign_in",
        user_id=user_id,
        created_ms=now_ms,
        expires_ms=now_ms + lifetime_ms,
    )
    tokens.add_code(connection, row)
    return code


def _change_password(connection: Connection, user_id: str, hashed: str, now_ms: int) -> None:
    users.set_password_hash(connection, user_id, hashed)
    users.void_tokens(connection, user_id, now_ms)
