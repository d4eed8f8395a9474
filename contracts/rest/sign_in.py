"""Signing in, and tokens."""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.rest.shared import Name, Role, Scope, Secret


@attrs.frozen(kw_only=True)
class ExchangeCode:
    """The one-time code of a sign-in link."""

    code: Secret


@attrs.frozen(kw_only=True)
class SetPassword:
    """`current`: the password so far, where there is one. Blanks do not count as characters, and five must differ."""

    password: Annotated[str, msgspec.Meta(min_length=12, max_length=512)]
    current: Secret | None = None


@attrs.frozen(kw_only=True)
class PasswordSignIn:
    """`device`: what an earlier sign-in from this device was given. Guesses of others then do not keep it waiting."""

    email: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    password: Secret
    device: Secret | None = None


@attrs.frozen(kw_only=True)
class UserView:
    user_id: str
    name: str


@attrs.frozen(kw_only=True)
class SignedIn:
    """An access token, for the Authorization header and the handshake. `device`: to be kept beyond it, and shown when
    one signs in with a password; it is no sign-in by itself.
    """

    token: str
    expires_at: float
    user: UserView
    device: str | None = None


@attrs.frozen(kw_only=True)
class SignInProvider:
    """`label`: what people call it. `start`: where a browser goes, with `?then=#/place/on/the/page`."""

    label: str
    start: str


@attrs.frozen(kw_only=True)
class SignInMethods:
    """Ways to sign in beside a link. `provider`: an OpenID Connect provider; null: there is none."""

    password: bool
    provider: SignInProvider | None


@attrs.frozen(kw_only=True)
class SignedOut:
    """`providerUrl`: where a browser goes to end its session at the provider too; null: nowhere."""

    provider_url: str | None


@attrs.frozen(kw_only=True)
class SignInLink:
    """`code` signs in once; `path` is where the page takes it."""

    code: str
    path: str
    expires_at: float


@attrs.frozen(kw_only=True)
class MyVillage:
    """`role` is null for a public village of others. `leaveOutTexts`: what is said in its sessions is not kept."""

    village_id: str
    name: str
    public: bool
    role: Role | None
    leave_out_texts: bool = False


@attrs.frozen(kw_only=True)
class Me:
    user_id: str
    name: str
    admin: bool
    chaos: bool
    """Whether they may break the service, over /api/chaos."""
    may_create_villages: bool
    """Whether they may make villages, with this token."""
    scopes: list[str]
    villages: list[MyVillage]


@attrs.frozen(kw_only=True)
class NewToken:
    """`lifetimeDays`: days until it ends, at most ten years."""

    name: Name
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1)]
    lifetime_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90


@attrs.frozen(kw_only=True)
class GrantedToken:
    """The secret is shown here once and kept nowhere."""

    token_id: str
    token: str
    expires_at: float | None


@attrs.frozen(kw_only=True)
class TokenView:
    """`usedAt` is right to the minute."""

    token_id: str
    name: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    used_at: float | None
    revoked_at: float | None


@attrs.frozen(kw_only=True)
class TokenList:
    items: list[TokenView]
    next: str | None


@attrs.frozen(kw_only=True)
class PastSignIn:
    """One way in that a person used. `valid`: it still opens the service. `current`: the request came with it.

    `way`: link (one-time link), password, oidc (the provider), machine (a command on the service's own machine),
    renewed (the answer to a new password or to ending all others), token (an API token, `tokenName`), issuer (another
    issuer's token). `address` and `userAgent`: as the request said; null: not known. `endedAt`: it was ended before
    `expiresAt`.
    """

    sign_in_id: str
    way: Literal["link", "password", "oidc", "machine", "renewed", "token", "issuer"]
    token_name: str | None
    address: str | None
    user_agent: str | None
    at: float
    expires_at: float | None
    ended_at: float | None
    valid: bool
    current: bool


@attrs.frozen(kw_only=True)
class PastSignInList:
    items: list[PastSignIn]
    next: str | None
