"""Access tokens: our own (HS256, RFC 9068 in shape), and those of configured issuers (RS256, ES256, EdDSA).

Every check is ours to demand: the algorithm is fixed by the key that is configured, never taken from the token; issuer,
audience, expiry and type must be there and right.
"""

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

from access.subject import InvalidToken

OUR_ISSUER = "townwatch"
OUR_AUDIENCE = "townwatch"
OUR_TYPE = "at+jwt"
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
    """What a token that was checked says."""

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


class Keys(Protocol):
    """Where an issuer's public keys come from. Never blocks; raises InvalidToken where there is no such key."""

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
        now = int(self._now_s())
        claims: dict[str, Any] = {
            "iss": OUR_ISSUER,
            "aud": OUR_AUDIENCE,
            "sub": user_id,
            "iat": round(self._now_s(), 3),  # finer than seconds, so that signing out everywhere can be exact
            "nbf": now,
            "exp": now + lifetime_s,
            "jti": secrets.token_urlsafe(12),
        }
        if scopes is not None:
            claims["scope"] = " ".join(sorted(scopes))
        token = jwt.encode({"alg": "HS256", "typ": OUR_TYPE}, claims, self._key, algorithms=["HS256"])
        return Issued(token, (now + lifetime_s) * 1000)

    def verify(self, token: str) -> Claims:
        """What it says. Raises `InvalidToken`."""
        header = peek(token)[0]
        _demand_header(header, "HS256", {OUR_TYPE})
        return _verify(token, self._key, "HS256", OUR_ISSUER, OUR_AUDIENCE, self._now_s, leeway_s=0)


class IssuerTokens:
    """Access tokens of another issuer, by its public keys. Symmetric algorithms are refused altogether."""

    def __init__(
        self, issuer: str, audience: str, algorithms: frozenset[str], keys: Keys, now_s: Callable[[], float] = time.time
    ) -> None:
        unknown = algorithms - ASYMMETRIC.keys()
        if unknown or not algorithms:
            raise ValueError(f"algorithms of {issuer}: must be some of {', '.join(ASYMMETRIC)}")
        self.issuer = issuer
        self._audience = audience
        self._algorithms = algorithms
        self._keys = keys
        self._now_s = now_s

    async def verify(self, token: str) -> Claims:
        """What it says. Raises `InvalidToken`."""
        header = peek(token)[0]
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken("algorithm is not one of this issuer's")
        _demand_header(header, algorithm, {OUR_TYPE, "jwt"})
        key_id = header.get("kid")
        if key_id is not None and (not isinstance(key_id, str) or len(key_id) > 200):
            raise InvalidToken("kid is no short text")
        key = await self._keys.key_for(key_id, algorithm)
        if not isinstance(key, ASYMMETRIC[algorithm]):
            raise InvalidToken("the key is not of the algorithm's kind")
        return _verify(token, key, algorithm, self.issuer, self._audience, self._now_s, leeway_s=LEEWAY_S)


def peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unchecked: only to find out whose key to check with. Raises `InvalidToken`."""
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidToken("too long")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise InvalidToken("is no signed token")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        raise InvalidToken("is no signed token") from None
    if not isinstance(found, dict):
        raise InvalidToken("is no signed token")
    return found  # pyright: ignore[reportUnknownVariableType]


def _demand_header(header: Mapping[str, Any], algorithm: str, types: set[str]) -> None:
    if header.get("alg") != algorithm:
        raise InvalidToken("wrong algorithm")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise InvalidToken("wrong type of token")
    if smuggled := header.keys() & {"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"}:
        raise InvalidToken(f"header carries {', '.join(sorted(smuggled))}")


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
        raise InvalidToken(f"{type(error).__name__}: {error}") from None
    return _claims(claims)


def _claims(claims: Mapping[str, Any]) -> Claims:
    subject, token_id, scope = claims["sub"], claims.get("jti"), claims.get("scope")
    if not subject or len(subject) > 255:
        raise InvalidToken("sub is empty or too long")
    times = [claims["exp"], claims["iat"]]
    if any(isinstance(t, bool) or not 0 <= t < 1e11 for t in times):
        raise InvalidToken("times are out of range")
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
