"""Access tokens: our own (HS256, RFC 9068 in shape), and those of configured issuers (RS256, ES256, EdDSA; HS256 where
a secret is shared).

Every check is ours to demand: the algorithm is fixed by the key that is configured, never taken from the token; issuer,
audience, expiry and type must be there and right.
"""

import hashlib
import json
import secrets
import time
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import attrs
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from townwatch.access.subject import InvalidCredentials

OUR_ISSUER = "townwatch"
OUR_AUDIENCE = "townwatch"
OUR_TYPE = "at+jwt"
DEVICE_AUDIENCE = "townwatch-device"
DEVICE_TYPE = "device+jwt"
DEVICE_LIFETIME_S = 366 * 86_400
LIFETIME_S = 12 * 3600
LEEWAY_S = 30
"""How far another issuer's clock may be off. Ours against ours: 0."""
MAX_TOKEN_CHARS = 8192

# RFC 9864 renamed EdDSA to Ed25519; issuers will say EdDSA for years, and it is the same signature.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)

Key = RSAKey | ECKey | OKPKey | OctKey
ASYMMETRIC: dict[str, type[Key]] = {"RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey, "Ed25519": OKPKey}


@attrs.frozen(kw_only=True)
class Claims:
    """The claims of a token whose signature and times were checked."""

    issuer: str
    subject: str
    token_id: str | None
    issued_ms: int
    expires_ms: int
    scopes: frozenset[str] | None
    extra: Mapping[str, Any]


@attrs.frozen
class Issued:
    """A new access token and when it ends."""

    token: str
    expires_ms: int
    token_id: str
    issued_ms: int


class Keys(Protocol):
    """Source of an issuer's public keys. Never blocks; raises InvalidToken for an unknown key."""

    async def key_for(self, key_id: str | None, algorithm: str) -> Key: ...


class OwnTokens:
    """Our own access tokens. `secret`: at least 32 bytes."""

    def __init__(self, secret: bytes, now_s: Callable[[], float] = time.time) -> None:
        if len(secret) < 32:
            raise ValueError("the secret for access tokens needs at least 32 bytes")
        self._key = OctKey.import_key(secret)
        self._now_s = now_s

    def issue(self, user_id: str, scopes: frozenset[str] | None = None, lifetime_s: int = LIFETIME_S) -> Issued:
        """A token for a person; `scopes` None: all that they may do."""
        issued = round(self._now_s(), 3)  # finer than seconds, so that signing out everywhere can be exact
        now, token_id = int(issued), secrets.token_urlsafe(12)
        claims: dict[str, Any] = {
            "iss": OUR_ISSUER,
            "aud": OUR_AUDIENCE,
            "sub": user_id,
            "iat": issued,
            "nbf": now,
            "exp": now + lifetime_s,
            "jti": token_id,
        }
        if scopes is not None:
            claims["scope"] = " ".join(sorted(scopes))
        token = jwt.encode({"alg": "HS256", "typ": OUR_TYPE}, claims, self._key, algorithms=["HS256"])
        return Issued(token, (now + lifetime_s) * 1000, token_id, round(issued * 1000))

    def issue_device(self, account: str) -> str:
        """Return a token by which a device that signed in to an account is known again. It is no sign-in by itself."""
        now = int(self._now_s())
        claims: dict[str, Any] = {
            "iss": OUR_ISSUER,
            "aud": DEVICE_AUDIENCE,
            "sub": hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest(),
            "iat": now,
            "exp": now + DEVICE_LIFETIME_S,
            "jti": secrets.token_urlsafe(12),
        }
        return jwt.encode({"alg": "HS256", "typ": DEVICE_TYPE}, claims, self._key, algorithms=["HS256"])

    def device_of(self, token: str, account: str) -> str | None:
        """Return the id of the device that shows this token; None where it is none of the account's."""
        try:
            _demand_header(peek(token)[0], "HS256", {DEVICE_TYPE})
            claims = _verify(token, self._key, "HS256", OUR_ISSUER, DEVICE_AUDIENCE, self._now_s, leeway_s=0)
        except InvalidCredentials:
            return None
        wanted = hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()
        return claims.token_id if claims.subject == wanted else None

    def verify(self, token: str) -> Claims:
        """Check `token` and return its claims. Raises `InvalidCredentials`."""
        header = peek(token)[0]
        _demand_header(header, "HS256", {OUR_TYPE})
        return _verify(token, self._key, "HS256", OUR_ISSUER, OUR_AUDIENCE, self._now_s, leeway_s=0)


class IssuerTokens:
    """Access tokens of another issuer, by its public keys. Symmetric algorithms are refused altogether.

    `unnamed_scopes`: what a token may be used for that names none of our scopes.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        algorithms: frozenset[str],
        keys: Keys,
        unnamed_scopes: frozenset[str],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        unknown = algorithms - ASYMMETRIC.keys()
        if unknown or not algorithms:
            raise ValueError(f"algorithms of {issuer}: must be some of {', '.join(ASYMMETRIC)}")
        self.issuer = issuer
        self.unnamed_scopes = unnamed_scopes
        self._audience = audience
        self._algorithms = algorithms
        self._keys = keys
        self._now_s = now_s

    async def verify(self, token: str) -> Claims:
        """Check `token` and return its claims. Raises `InvalidCredentials`."""
        header = peek(token)[0]
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidCredentials("algorithm is not one of this issuer's")
        _demand_header(header, algorithm, {OUR_TYPE, "jwt"})
        key_id = header.get("kid")
        if key_id is not None and (not isinstance(key_id, str) or len(key_id) > 200):
            raise InvalidCredentials("kid is no short text")
        key = await self._keys.key_for(key_id, algorithm)
        if not isinstance(key, ASYMMETRIC[algorithm]):
            raise InvalidCredentials("the key is not of the algorithm's kind")
        return _verify(token, key, algorithm, self.issuer, self._audience, self._now_s, leeway_s=LEEWAY_S)


class SharedSecretTokens(IssuerTokens):
    """Access tokens of another issuer, signed with a secret that this service shares with it (HS256).

    Weaker than public keys: each program that can check such a token can also make one. The names of issuer and
    audience are demanded all the same, so that a token that was made for another service opens nothing here.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        secret: bytes,
        unnamed_scopes: frozenset[str],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for a short secret, and for names that are empty or our own."""
        if len(secret) < 32:
            raise ValueError(f"secret of {issuer}: needs at least 32 bytes, this one has {len(secret)}")
        if not issuer or not audience or issuer == OUR_ISSUER:
            raise ValueError(f"issuer {issuer!r}: name the issuer and the audience, and none that is {OUR_ISSUER!r}")
        self.issuer = issuer
        self.unnamed_scopes = unnamed_scopes
        self._audience = audience
        self._secret = OctKey.import_key(secret)
        self._now_s = now_s

    async def verify(self, token: str) -> Claims:
        """Check `token` and return its claims. Raises `InvalidCredentials`."""
        _demand_header(peek(token)[0], "HS256", {OUR_TYPE, "jwt"})
        return _verify(token, self._secret, "HS256", self.issuer, self._audience, self._now_s, leeway_s=LEEWAY_S)


def peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, unchecked: only to find out whose key to check with. Raises `InvalidCredentials`."""
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidCredentials("too long")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise InvalidCredentials("is no signed token")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        raise InvalidCredentials("is no signed token") from None
    if not isinstance(found, dict):
        raise InvalidCredentials("is no signed token")
    return found  # pyright: ignore[reportUnknownVariableType]


def _demand_header(header: Mapping[str, Any], algorithm: str, types: set[str]) -> None:
    if header.get("alg") != algorithm:
        raise InvalidCredentials("wrong algorithm")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise InvalidCredentials("wrong type of token")
    if smuggled := header.keys() & {"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"}:
        raise InvalidCredentials(f"header carries {', '.join(sorted(smuggled))}")


def _verify(
    token: str, key: Key, algorithm: str, issuer: str, audience: str, now_s: Callable[[], float], leeway_s: int
) -> Claims:
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        demand = jwt.JWTClaimsRegistry(
            now=cast(Any, now_s),  # it compares only, fractions are fine
            leeway=leeway_s,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        demand.validate(claims)
    except (JoseError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidCredentials(f"{type(error).__name__}: {error}") from None
    return _claims(claims)


def _claims(claims: Mapping[str, Any]) -> Claims:
    subject, token_id, scope = claims["sub"], claims.get("jti"), claims.get("scope")
    if not subject or len(subject) > 255:
        raise InvalidCredentials("sub is empty or too long")
    times = [claims["exp"], claims["iat"]]
    if any(isinstance(t, bool) or not 0 <= t < 1e11 for t in times):
        raise InvalidCredentials("times are out of range")
    return Claims(
        issuer=claims["iss"],
        subject=subject,
        token_id=token_id if isinstance(token_id, str) else None,
        issued_ms=round(times[1] * 1000),
        expires_ms=int(times[0] * 1000),
        scopes=frozenset(scope.split()) if isinstance(scope, str) else None,
        extra=claims,
    )


def key_set(text: str) -> KeySet:
    """A JWKS document's signing keys. Raises ValueError; private and symmetric keys in it are an error."""
    try:
        return KeySet.import_key_set(json.loads(text))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no usable JWKS: {error}") from None
