"""OpenID Connect without I/O: the provider's document, the address to send people to, the identity token.

Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (the issuer in the answer), RFC 9700.
"""

import hashlib
import hmac
import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote_plus, urlencode

import attrs
from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from townwatch.access.fetch import demand_safe
from townwatch.access.jwt import ASYMMETRIC, LEEWAY_S, Key, Keys, peek
from townwatch.access.subject import InvalidCredentials

ATTEMPT_SECONDS = 600
"""How long a sign-in at the provider may take."""
MAX_SEALED_CHARS = 4000
_SMUGGLED = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"})


class BadProvider(Exception):
    """The provider cannot be used, or said what it must not say."""


class ExpiredAttempt(Exception):
    """The answer belongs to no attempt of this browser that is under way: begin again."""


@attrs.frozen(kw_only=True)
class OidcClient:
    """Our client registration at the provider. `secret` None: a public client, PKCE alone. `algorithms`: of identity
    tokens.
    """

    issuer: str
    client_id: str
    secret: str | None = attrs.field(default=None, repr=False)
    scopes: Sequence[str] = ("openid", "profile", "email")
    algorithms: frozenset[str] = frozenset({"RS256", "ES256", "EdDSA"})


@attrs.frozen(kw_only=True)
class Provider:
    """The fields of the discovery document that we use."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    takes_basic: bool
    says_issuer: bool


def provider_of(found: Mapping[str, Any], issuer: str) -> Provider:
    """Return the provider that the discovery document describes. Raises `BadProvider`."""
    if found.get("issuer") != issuer:
        raise BadProvider(f"the document of {issuer} is one of {str(found.get('issuer'))[:200]!r}")
    methods = found.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise BadProvider("the provider has no PKCE with S256")
    how = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Provider(
        issuer=issuer,
        authorization_endpoint=_address(found, "authorization_endpoint"),
        token_endpoint=_address(found, "token_endpoint"),
        jwks_uri=_address(found, "jwks_uri"),
        userinfo_endpoint=_address(found, "userinfo_endpoint") if found.get("userinfo_endpoint") else None,
        end_session_endpoint=_address(found, "end_session_endpoint") if found.get("end_session_endpoint") else None,
        takes_basic=not isinstance(how, list) or "client_secret_basic" in how,
        says_issuer=found.get("authorization_response_iss_parameter_supported") is True,
    )


def _address(found: Mapping[str, Any], name: str) -> str:
    try:
        return demand_safe(str(found.get(name) or ""))
    except ValueError as error:
        raise BadProvider(f"{name}: {error}") from None


# --- the attempt --------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Attempt:
    """A sign-in under way, kept by the browser in a sealed cookie. `then`: where on the page it goes on."""

    state: str
    nonce: str = attrs.field(repr=False)
    verifier: str = attrs.field(repr=False)
    redirect_uri: str
    then: str
    expires_s: int


def new_attempt(redirect_uri: str, then: str, now_s: float) -> Attempt:
    """Make a new attempt; everything in it that must not be guessed has 256 bits."""
    return Attempt(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri,
        then=then,
        expires_s=int(now_s) + ATTEMPT_SECONDS,
    )


def authorization_url(provider: Provider, client: OidcClient, attempt: Attempt) -> str:
    """Return the address at the provider that the browser is redirected to."""
    challenge = urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": attempt.redirect_uri,
        "scope": " ".join(dict.fromkeys(["openid", *client.scopes])),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    joint = "&" if "?" in provider.authorization_endpoint else "?"
    return f"{provider.authorization_endpoint}{joint}{urlencode(query)}"


class CookieCipher:
    """Makes attempts unreadable and unforgeable for the browser that keeps them."""

    def __init__(self, secret: bytes) -> None:
        self._key = OctKey.import_key(hmac.new(secret, b"townwatch sign-in attempt", hashlib.sha256).digest())

    def seal(self, attempt: Attempt) -> str:
        """Return the attempt as text for a cookie."""
        plain = json.dumps(attrs.asdict(attempt)).encode()
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, plain, self._key)

    def open(self, sealed: str | None, now_s: float) -> Attempt:
        """Raises `ExpiredAttempt`."""
        if not sealed or len(sealed) > MAX_SEALED_CHARS:
            raise ExpiredAttempt("this browser has no sign-in under way")
        try:
            plain = jwe.decrypt_compact(sealed, self._key, algorithms=["dir", "A256GCM"]).plaintext
            attempt = Attempt(**json.loads(plain or b""))
        except (JoseError, ValueError, TypeError):
            raise ExpiredAttempt("the cookie is not ours") from None
        if attempt.expires_s <= now_s:
            raise ExpiredAttempt("the sign-in took too long")
        return attempt


def demand_answer_fits(attempt: Attempt, provider: Provider, answer: Mapping[str, str]) -> None:
    """The redirect back belongs to this attempt and to this provider. Raises `ExpiredAttempt` or `BadProvider`."""
    if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
        raise ExpiredAttempt("the state is that of another sign-in")
    issuer = answer.get("iss")
    if issuer != provider.issuer and (issuer is not None or provider.says_issuer):
        raise BadProvider("the answer is another provider's")


def token_request(
    provider: Provider, client: OidcClient, attempt: Attempt, code: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return (form, headers) of the request that redeems a code."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": attempt.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    if client.secret is None:
        return {**form, "client_id": client.client_id}, {}
    if not provider.takes_basic:
        return {**form, "client_id": client.client_id, "client_secret": client.secret}, {}
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}".encode()
    return form, {"Authorization": f"Basic {b64encode(pair).decode()}"}


# --- the identity token -------------------------------------------------------------------------------------------


async def check_identity(
    token: str, client: OidcClient, keys: Keys, nonce: str, now_s: Callable[[], float]
) -> dict[str, Any]:
    """The claims of an identity token after every check of Core 3.1.3.7. Raises
    `townwatch.access.subject.InvalidCredentials`.
    """
    header = peek(token)[0]
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in client.algorithms or algorithm not in ASYMMETRIC:
        raise InvalidCredentials("identity token: the algorithm is not one that is allowed")
    if header.keys() & _SMUGGLED or str(header.get("typ", "JWT")).upper() != "JWT":
        raise InvalidCredentials("identity token: the header says it is something else")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > 200):
        raise InvalidCredentials("identity token: kid is no short text")
    key = await keys.key_for(key_id, algorithm)
    if not isinstance(key, ASYMMETRIC[algorithm]):
        raise InvalidCredentials("identity token: the key is not of the algorithm's kind")
    claims = _signed(token, key, algorithm, client, now_s)
    audience = claims["aud"]
    several = isinstance(audience, list) and len(cast("list[Any]", audience)) > 1
    if (several and "azp" not in claims) or claims.get("azp", client.client_id) != client.client_id:
        raise InvalidCredentials("identity token: was made for another client")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise InvalidCredentials("identity token: the nonce is that of another sign-in")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise InvalidCredentials("identity token: sub is empty or too long")
    return claims


def _signed(token: str, key: Key, algorithm: str, client: OidcClient, now_s: Callable[[], float]) -> dict[str, Any]:
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        demand = jwt.JWTClaimsRegistry(
            now=cast(Any, now_s),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": client.issuer},
            aud={"essential": True, "value": client.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        demand.validate(claims)
    except (JoseError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidCredentials(f"identity token: {type(error).__name__}: {error}") from None
    return claims
