"""The list of attacks on access tokens: each is refused, and the honest token beside it is taken."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from tests.unit.access.conftest import SECRET, Clock
from townwatch.access.authenticator import Authenticator
from townwatch.access.jwt import IssuerTokens, OwnTokens
from townwatch.access.keys import FixedKeys
from townwatch.access.subject import ALL_SCOPES, ANONYMOUS, InvalidCredentials
from townwatch.store import users
from townwatch.store.database import Database

NOW = 1_800_000_000
ISSUER = "https://id.example.org"
RSA = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"}, private=True)
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
OURS = OctKey.import_key(SECRET)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    base = {"iss": "townwatch", "aud": "townwatch", "sub": "ada", "iat": NOW, "nbf": NOW, "exp": NOW + 60}
    return {k: v for k, v in (base | changes).items() if v is not ...}


def theirs(**changes: Any) -> dict[str, Any]:
    return claims(iss=ISSUER, sub="ada@id", **changes)


def raw(header: dict[str, Any], body: Any, key: bytes = SECRET, digest: Any = hashlib.sha256) -> str:
    """Signed by hand, whatever a library would refuse to sign."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = f"{b64(json.dumps(header).encode())}.{b64(text)}"
    return f"{signed}.{b64(hmac.new(key, signed.encode(), digest).digest())}"


def sign(header: dict[str, Any], body: dict[str, Any], key: Any) -> str:
    return jwt.encode({"typ": "at+jwt"} | header, body, key, algorithms=[header["alg"]])


HS = {"alg": "HS256", "typ": "at+jwt"}
GOOD = raw(HS, claims())
PUBLIC_PEM = RSA.as_pem(private=False)

ATTACKS: dict[str, str | Callable[[], str]] = {
    # the algorithm
    "alg none": f"{b64(json.dumps({'alg': 'none', 'typ': 'at+jwt'}).encode())}.{GOOD.split('.')[1]}.",
    "alg none with a signature": raw({"alg": "none", "typ": "at+jwt"}, claims()),
    "alg NONE": raw({"alg": "NONE", "typ": "at+jwt"}, claims()),
    "alg nOnE": raw({"alg": "nOnE", "typ": "at+jwt"}, claims()),
    "alg missing": raw({"typ": "at+jwt"}, claims()),
    "alg null": raw({"alg": None, "typ": "at+jwt"}, claims()),
    "alg a list": raw({"alg": ["HS256"], "typ": "at+jwt"}, claims()),
    "alg hs256 in small": raw({"alg": "hs256", "typ": "at+jwt"}, claims()),
    "alg HS512 of our secret": raw({"alg": "HS512", "typ": "at+jwt"}, claims(), digest=hashlib.sha512),
    "alg HS384 of our secret": raw({"alg": "HS384", "typ": "at+jwt"}, claims(), digest=hashlib.sha384),
    "alg RS256 for our issuer": lambda: sign({"alg": "RS256"}, claims(), RSA),
    # the key
    "another secret": raw(HS, claims(), key=b"x" * 32),
    "an empty secret": raw(HS, claims(), key=b""),
    "their public key as our secret": raw(HS, claims(), key=PUBLIC_PEM),
    "their public key as an HS256 secret": raw(HS, theirs(), key=PUBLIC_PEM),
    "their public key, with its kid": raw(HS | {"kid": "rsa"}, theirs(), key=PUBLIC_PEM),
    "our secret for their issuer": raw(HS, theirs()),
    "a stranger's key with their kid": lambda: sign({"alg": "RS256", "kid": "rsa"}, theirs(), STRANGER),
    "their RSA key by the name of the EC key": lambda: sign({"alg": "RS256", "kid": "ec"}, theirs(), RSA),
    "an algorithm that is not configured": lambda: sign({"alg": "PS256", "kid": "rsa"}, theirs(), RSA),
    "an unknown kid": lambda: sign({"alg": "RS256", "kid": "nobody"}, theirs(), RSA),
    "kid a path": raw(HS | {"kid": "../../dev/null"}, claims(), key=b""),
    "kid a path, their issuer": lambda: sign({"alg": "RS256", "kid": "/etc/passwd"}, theirs(), STRANGER),
    "kid of SQL": lambda: sign({"alg": "RS256", "kid": "' OR 1=1 --"}, theirs(), STRANGER),
    "kid endless": lambda: sign({"alg": "RS256", "kid": "k" * 300}, theirs(), RSA),
    "kid a number": raw({"alg": "RS256", "typ": "at+jwt", "kid": 5}, theirs()),
    "key in the header": raw(HS | {"jwk": {"kty": "oct", "k": b64(b"x" * 32)}}, claims(), key=b"x" * 32),
    "key in the header, ours beside": raw(HS | {"jwk": {"kty": "oct", "k": b64(SECRET)}}, claims()),
    "jku": raw(HS | {"jku": "http://127.0.0.1/jwks"}, claims()),
    "x5u": raw(HS | {"x5u": "http://127.0.0.1/cert"}, claims()),
    "x5c": raw(HS | {"x5c": ["AAAA"]}, claims()),
    "crit": raw(HS | {"crit": ["exp"]}, claims()),
    "crit unknown": raw(HS | {"crit": ["x"], "x": 1}, claims()),
    "b64 false": raw(HS | {"b64": False, "crit": ["b64"]}, claims()),
    "zip": raw(HS | {"zip": "DEF"}, claims()),
    # the signature
    "no signature": GOOD.rsplit(".", 1)[0] + ".",
    "no third part": GOOD.rsplit(".", 1)[0],
    "four parts": GOOD + ".x",
    "five parts, a JWE": ".".join(["e30"] * 5),
    "a bit of the signature": GOOD[:-6] + ("A" if GOOD[-6] != "A" else "B") + GOOD[-5:],
    "half a signature": GOOD[:-20],
    "another body under the signature": ".".join(
        (GOOD.split(".")[0], b64(json.dumps(claims(sub="bob")).encode()), GOOD.split(".")[2])
    ),
    "an all zero ECDSA signature": b64(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "ec"}).encode())
    + f".{b64(json.dumps(theirs()).encode())}.{b64(bytes(64))}",
    # the type
    "typ JWT": raw({"alg": "HS256", "typ": "JWT"}, claims()),
    "typ missing": raw({"alg": "HS256"}, claims()),
    "typ of an identity token": raw({"alg": "HS256", "typ": "id_token"}, claims()),
    "typ of a logout token": lambda: sign({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}, theirs(), RSA),
    "typ a number": raw({"alg": "HS256", "typ": 1}, claims()),
    # the claims
    "expired": raw(HS, claims(exp=NOW - 1)),
    "expires now": raw(HS, claims(exp=NOW)),
    "exp missing": raw(HS, claims(exp=...)),
    "exp null": raw(HS, claims(exp=None)),
    "exp a text": raw(HS, claims(exp=str(NOW + 60))),
    "exp true": raw(HS, claims(exp=True)),
    "exp infinite": raw(HS, json.dumps(claims()).replace(str(NOW + 60), "Infinity").encode()),
    "exp NaN": raw(HS, json.dumps(claims()).replace(str(NOW + 60), "NaN").encode()),
    "exp huge": raw(HS, claims(exp=10**30)),
    "exp negative": raw(HS, claims(exp=-1)),
    "not yet": raw(HS, claims(nbf=NOW + 5)),
    "nbf a text": raw(HS, claims(nbf="0")),
    "issued tomorrow": raw(HS, claims(iat=NOW + 86_400)),
    "iat missing": raw(HS, claims(iat=...)),
    "audience of another service": raw(HS, claims(aud="other")),
    "audience of runners": raw(HS, claims(aud="runner")),
    "audience missing": raw(HS, claims(aud=...)),
    "audience empty": raw(HS, claims(aud=[])),
    "audience an object": raw(HS, claims(aud={"townwatch": 1})),
    "issuer unknown": raw(HS, claims(iss="https://evil.example")),
    "issuer missing": raw(HS, claims(iss=...)),
    "issuer a list": raw(HS, claims(iss=["townwatch"])),
    "issuer with a slash": lambda: sign({"alg": "RS256", "kid": "rsa"}, theirs() | {"iss": ISSUER + "/"}, RSA),
    "subject missing": raw(HS, claims(sub=...)),
    "subject empty": raw(HS, claims(sub="")),
    "subject a number": raw(HS, claims(sub=1)),
    "subject unknown": raw(HS, claims(sub="nobody")),
    "subject of theirs in ours": raw(HS, claims(sub="ada@id")),
    "subject of ours in theirs": lambda: sign({"alg": "RS256", "kid": "rsa"}, theirs() | {"sub": "ada"}, RSA),
    "their token expired": lambda: sign({"alg": "RS256", "kid": "rsa"}, theirs(exp=NOW - 31), RSA),
    "their token for another service": lambda: sign({"alg": "RS256", "kid": "rsa"}, theirs(aud="shop"), RSA),
    # the form
    "empty": "",
    "a space": " ",
    "dots": "..",
    "no JSON": "a.b.c",
    "header a list": f"{b64(b'[]')}.{b64(b'{}')}.x",
    "body a list": raw(HS, b"[]"),
    "body no JSON": raw(HS, b"hello"),
    "body endlessly deep": raw(HS, b"[" * 5000),
    "too long": raw(HS, claims(pad="x" * 9000)),
    "line break": GOOD + "\n",
    "null byte": GOOD + "\x00",
    "no ASCII": GOOD + "ä",
    "lone surrogate": GOOD + "\ud800",
    "Bearer twice": "Bearer " + GOOD,
    "an API token nobody has": "tw_" + "x" * 43,
    "a runner token nobody has": "twr_" + "x" * 43,
    "only the prefix": "tw_",
}


@pytest.fixture
def authenticator(database: Database, clock: Clock) -> Authenticator:
    database.run(users.create, "Ada", 1, user_id="ada")
    database.run(users.link_identity, "ada", ISSUER, "ada@id", 1)
    public = KeySet([type(k).import_key(k.as_dict(private=False)) for k in (RSA, EC, ED)])
    issuer = IssuerTokens(
        ISSUER, "townwatch", frozenset({"RS256", "ES256", "EdDSA"}), FixedKeys(public), frozenset({"read"}), clock.now_s
    )
    return Authenticator(database, OwnTokens(SECRET, clock.now_s), [issuer], clock.now_ms)


async def test_the_honest_ones_are_taken(authenticator: Authenticator) -> None:
    honest = [
        GOOD,
        raw(HS, claims(aud=["other", "townwatch"])),
        sign({"alg": "RS256", "kid": "rsa"}, theirs(), RSA),
        sign({"alg": "RS256"}, theirs(), RSA),
        sign({"alg": "ES256", "kid": "ec"}, theirs(), EC),
        sign({"alg": "EdDSA", "kid": "ed"}, theirs(), ED),
        sign({"alg": "EdDSA", "kid": "ed", "typ": "JWT"}, theirs(), ED),
        sign({"alg": "RS256", "kid": "rsa"}, theirs(exp=NOW - 29), RSA),  # their clock may be half a minute off
    ]
    for token in honest:
        subject = await authenticator.authenticate(token)
        scopes = ALL_SCOPES if subject.signed_in_here else {"read"}  # theirs name none
        assert (subject.kind, subject.user_id, subject.scopes) == ("user", "ada", scopes)
    assert await authenticator.authenticate(None) is ANONYMOUS


async def test_every_attack_is_refused(authenticator: Authenticator) -> None:
    assert len(ATTACKS) >= 80
    taken: list[str] = []
    for name, token in ATTACKS.items():
        try:
            await authenticator.authenticate(token if isinstance(token, str) else token())
            taken.append(name)
        except InvalidCredentials:
            pass
    assert taken == []


async def test_refusals_never_say_what_the_token_was(authenticator: Authenticator) -> None:
    for token in (GOOD[:-20], "tw_secretsecret", "twr_secretsecret"):
        with pytest.raises(InvalidCredentials) as refused:
            await authenticator.authenticate(token)
        assert "secretsecret" not in str(refused.value)
        assert GOOD[:30] not in str(refused.value)
