"""OpenID Connect sign-in: authorization code with PKCE. The protocol itself is `oidc_wire`.

begun = await oidc.begin(redirect_uri, then)       # send the browser to begun.url, with begun.cookie
person, then = await oidc.finish(cookie, answer)   # when it comes back
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlencode

import attrs
import structlog
import trio

from townwatch.access.address import is_email_address
from townwatch.access.fetch import Fetcher, NotFetched, demand_safe
from townwatch.access.keys import FetchedKeys
from townwatch.access.oidc_wire import (
    BadProvider,
    CookieCipher,
    OidcClient,
    Provider,
    authorization_url,
    check_identity,
    demand_answer_fits,
    new_attempt,
    provider_of,
    token_request,
)

DISCOVERY = "/.well-known/openid-configuration"
RETRY_SECONDS = 3.0
"""How soon a provider that gave no document is asked again, however many people want to sign in."""
FRESH_SECONDS = 3600.0
"""How long a discovery document is believed."""
_WANTED = ("name", "email", "email_verified")
_log = structlog.get_logger("access")


class Declined(Exception):
    """The provider, or the person there, said no."""


@attrs.frozen(kw_only=True)
class Begun:
    """`url`: where to send the browser. `cookie`: what it must bring back."""

    url: str
    cookie: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Person:
    """A person, as the provider knows them. `groups` None: it says nothing of groups."""

    issuer: str
    subject: str
    name: str
    email: str | None
    email_verified: bool
    groups: frozenset[str] | None


class Oidc:
    """One provider. Its document and its keys are fetched when they are needed, not at the start."""

    def __init__(
        self,
        client: OidcClient,
        secret: bytes,
        *,
        label: str = "single sign-on",
        groups_claim: str = "groups",
        fetch: Fetcher | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`secret`: what attempts are sealed with. Raises ValueError for an issuer that is not https."""
        self.client = client
        self.label = label
        self._base = demand_safe(client.issuer).removesuffix("/")
        self._sealer = CookieCipher(secret)
        self._groups_claim = groups_claim
        self._fetch = fetch or Fetcher()
        self._now_s = now_s
        self._known: tuple[Provider, FetchedKeys] | None = None
        self._fetched = 0.0
        self._failed: tuple[float, str] | None = None
        self._one = trio.Lock()

    async def begin(self, redirect_uri: str, then: str = "") -> Begun:
        """A new attempt. Raises `BadProvider`."""
        provider, _keys = await self._provider()
        attempt = new_attempt(redirect_uri, then, self._now_s())
        return Begun(url=authorization_url(provider, self.client, attempt), cookie=self._sealer.seal(attempt))

    async def finish(self, cookie: str | None, answer: Mapping[str, str]) -> tuple[Person, str]:
        """Complete a sign-in: return the person and the page's address to go on at. `answer`: the redirect's
        parameters.

        Raises `ExpiredAttempt`, `BadProvider`, `Declined` (all of `oidc_wire`) and
        `townwatch.access.subject.InvalidCredentials`.
        """
        attempt = self._sealer.open(cookie, self._now_s())
        provider, keys = await self._provider()
        demand_answer_fits(attempt, provider, answer)
        if "error" in answer:
            raise Declined(answer["error"][:100])
        form, headers = token_request(provider, self.client, attempt, answer.get("code", "")[:4000])
        tokens = await self._ask(provider.token_endpoint, form, headers)
        identity = tokens.get("id_token")
        if not isinstance(identity, str):
            raise BadProvider("the answer for the code has no identity token")
        claims = await check_identity(identity, self.client, keys, attempt.nonce, self._now_s)
        claims = await self._complete(provider, claims, tokens.get("access_token"))
        return _person(self.client.issuer, claims, self._groups_claim), attempt.then

    async def sign_out_url(self, back: str = "") -> str | None:
        """Return the address that ends a browser's session at the provider too; None if the provider offers none.
        `back`: the address that the provider sends the browser to afterwards; it must know that address."""
        provider, _keys = await self._provider()
        if provider.end_session_endpoint is None:
            return None
        query = urlencode({"client_id": self.client.client_id, **({"post_logout_redirect_uri": back} if back else {})})
        return f"{provider.end_session_endpoint}{'&' if '?' in provider.end_session_endpoint else '?'}{query}"

    async def _provider(self) -> tuple[Provider, FetchedKeys]:
        async with self._one:
            now = trio.current_time()
            if self._known is not None and now - self._fetched < FRESH_SECONDS:
                return self._known
            if self._failed is not None and now - self._failed[0] < RETRY_SECONDS:
                raise BadProvider(self._failed[1])
            try:
                provider = provider_of(await self._ask(self._base + DISCOVERY), self.client.issuer)
            except BadProvider as error:
                if self._known is None:
                    self._failed = (now, str(error))
                    raise
                _log.warning("provider_not_asked", issuer=self.client.issuer, reason=str(error))
                return self._known
            if self._known is None or self._known[0].jwks_uri != provider.jwks_uri:
                self._known = (provider, FetchedKeys(provider.jwks_uri))
            self._known, self._fetched = (provider, self._known[1]), now
            return self._known

    async def _ask(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """A JSON object. Raises `BadProvider`, which names no secret."""
        where = url.partition("?")[0]
        try:
            answer = await self._fetch(url, form, headers)
            found = answer.json()
        except NotFetched as error:
            raise BadProvider(f"{where}: {error}") from None
        if answer.status != 200:
            raise BadProvider(f"{where}: HTTP {answer.status} {str(found.get('error', ''))[:100]}")
        return found

    async def _complete(self, provider: Provider, claims: dict[str, Any], token: Any) -> dict[str, Any]:
        """Return the claims, completed from the provider's userinfo. Raises `BadProvider` if it is another person's."""
        missing = any(name not in claims for name in (*_WANTED, self._groups_claim))
        if not missing or provider.userinfo_endpoint is None or not isinstance(token, str):
            return claims
        told = await self._ask(provider.userinfo_endpoint, None, {"Authorization": f"Bearer {token}"})
        if told.get("sub") != claims["sub"]:
            raise BadProvider("userinfo is of another person than the identity token")
        return {**told, **claims}


def _person(issuer: str, claims: Mapping[str, Any], groups_claim: str) -> Person:
    email = claims.get("email")
    names = (claims.get(name) for name in ("name", "preferred_username", "email", "sub"))
    name = next(text for text in names if isinstance(text, str) and text.strip())
    groups = claims.get(groups_claim)
    listed = cast("list[Any]", groups) if isinstance(groups, list) else [groups] if isinstance(groups, str) else None
    return Person(
        issuer=issuer,
        subject=claims["sub"],
        name="".join(character for character in name if character.isprintable()).strip()[:200] or "unnamed",
        email=email if isinstance(email, str) and is_email_address(email) else None,
        email_verified=claims.get("email_verified") is True,
        groups=None if listed is None else frozenset(str(group) for group in listed),
    )
