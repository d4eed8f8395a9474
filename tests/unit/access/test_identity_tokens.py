"""The list of attacks on identity tokens and on the way there: each is refused, the honest one beside it is taken."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from townwatch.access.fetch import FetchedResponse, Fetcher, NotFetched
from townwatch.access.keys import FixedKeys
from townwatch.access.oidc import Oidc
from townwatch.access.oidc_wire import (
    BadProvider,
    CookieCipher,
    ExpiredAttempt,
    OidcClient,
    authorization_url,
    check_identity,
    new_attempt,
    provider_of,
    token_request,
)
from townwatch.access.subject import InvalidCredentials

NOW = 1_800_000_000
ISSUER, CLIENT, NONCE = "https://id.example.org", "townwatch", "n" * 43
RSA = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"}, private=True)
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
KEYS = FixedKeys(KeySet([type(key).import_key(key.as_dict(private=False)) for key in (RSA, EC, ED)]))
US = OidcClient(issuer=ISSUER, client_id=CLIENT, secret="s")


def claims(**changes: Any) -> dict[str, Any]:
    base = {"iss": ISSUER, "aud": CLIENT, "sub": "ada", "iat": NOW, "exp": NOW + 60, "nonce": NONCE}
    return {name: value for name, value in (base | changes).items() if value is not ...}


def sign(body: dict[str, Any], key: Any = RSA, **header: Any) -> str:
    header = {"alg": "RS256", "kid": "rsa"} | header
    return jwt.encode(
        {name: value for name, value in header.items() if value is not ...}, body, key, algorithms=[header["alg"]]
    )


def by_hand(header: dict[str, Any], body: Any, secret: bytes) -> str:
    """Signed with HMAC, whatever a library would refuse."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, body)]
    text = b".".join(parts)
    made = base64.urlsafe_b64encode(hmac.new(secret, text, hashlib.sha256).digest()).rstrip(b"=")
    return (text + b"." + made).decode()


PEM = RSA.as_pem(private=False)
ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: by_hand({"alg": "none"}, claims(), b"").rpartition(".")[0] + ".",
    "alg none with a signature": lambda: by_hand({"alg": "none"}, claims(), b"x"),
    "alg nOnE": lambda: by_hand({"alg": "nOnE"}, claims(), b"x"),
    "alg missing": lambda: by_hand({}, claims(), b"x"),
    "alg a list": lambda: by_hand({"alg": ["RS256"]}, claims(), b"x"),
    "the public key as a secret": lambda: by_hand({"alg": "HS256", "kid": "rsa"}, claims(), PEM),
    "the client's secret as a key": lambda: by_hand({"alg": "HS256"}, claims(), b"s"),
    "an algorithm that is not allowed": lambda: sign(claims(), alg="PS256"),
    "a stranger's key by the same name": lambda: sign(claims(), STRANGER),
    "the RSA key by the EC key's name": lambda: sign(claims(), kid="ec"),
    "kid a path": lambda: sign(claims(), STRANGER, kid="../../dev/null"),
    "kid endless": lambda: sign(claims(), kid="k" * 300),
    "kid a number": lambda: by_hand({"alg": "RS256", "kid": 1}, claims(), b"x"),
    "a key in the header": lambda: sign(claims(), STRANGER, jwk=STRANGER.as_dict(private=False)),
    "an access token": lambda: sign(claims(), typ="at+jwt"),
    "a logout token": lambda: sign(claims(), typ="logout+jwt"),
    "another issuer": lambda: sign(claims(iss="https://evil.example")),
    "the issuer with a slash": lambda: sign(claims(iss=ISSUER + "/")),
    "no issuer": lambda: sign(claims(iss=...)),
    "another audience": lambda: sign(claims(aud="shop")),
    "no audience": lambda: sign(claims(aud=...)),
    "several audiences, for nobody": lambda: sign(claims(aud=[CLIENT, "shop"])),
    "several audiences, for another": lambda: sign(claims(aud=[CLIENT, "shop"], azp="shop")),
    "one audience, for another": lambda: sign(claims(azp="shop")),
    "expired": lambda: sign(claims(exp=NOW - 31)),
    "no expiry": lambda: sign(claims(exp=...)),
    "not yet": lambda: sign(claims(nbf=NOW + 60)),
    "issued tomorrow": lambda: sign(claims(iat=NOW + 86_400)),
    "no time of issue": lambda: sign(claims(iat=...)),
    "another nonce": lambda: sign(claims(nonce="m" * 43)),
    "no nonce": lambda: sign(claims(nonce=...)),
    "a nonce that is a list": lambda: sign(claims(nonce=[NONCE])),
    "no subject": lambda: sign(claims(sub=...)),
    "an empty subject": lambda: sign(claims(sub="")),
    "a subject that is a number": lambda: sign(claims(sub=5)),
    "an endless subject": lambda: sign(claims(sub="s" * 256)),
    "no token": lambda: "a.b",
    "another body under the signature": lambda: ".".join(
        [sign(claims()).split(".")[0], sign(claims(sub="eve")).split(".")[1], sign(claims()).split(".")[2]]
    ),
}


@pytest.mark.parametrize(
    "token",
    [
        sign(claims()),
        sign(claims(), kid=...),
        sign(claims(), typ="JWT"),
        sign(claims(aud=[CLIENT])),
        sign(claims(aud=[CLIENT, "shop"], azp=CLIENT)),
        sign(claims(exp=NOW - 29)),  # their clock may be half a minute off
        sign(claims(), EC, alg="ES256", kid="ec"),
        sign(claims(), ED, alg="EdDSA", kid="ed"),
    ],
)
async def test_the_honest_ones_are_taken(token: str) -> None:
    assert (await check_identity(token, US, KEYS, NONCE, lambda: NOW))["sub"] == "ada"


@pytest.mark.parametrize("name", ATTACKS)
async def test_every_attack_is_refused(name: str) -> None:
    with pytest.raises(InvalidCredentials):
        await check_identity(ATTACKS[name](), US, KEYS, NONCE, lambda: NOW)


# --- the document, and the attempt ---------------------------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth?tenant=1",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "code_challenge_methods_supported": ["S256"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://id.example.org/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": None},
        {"jwks_uri": 5},
        {"userinfo_endpoint": "ftp://id.example.org"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
    ids=str,
)
def test_a_document_that_would_lead_astray_is_refused(change: dict[str, Any]) -> None:
    assert provider_of(DOCUMENT, ISSUER).token_endpoint == f"{ISSUER}/token"
    with pytest.raises(BadProvider):
        provider_of({**DOCUMENT, **change}, ISSUER)


def test_an_attempt_is_sealed_and_ends() -> None:
    sealer, attempt = CookieCipher(bytes(32)), new_attempt("https://here/callback", "#/x", NOW)
    sealed = sealer.seal(attempt)
    assert attempt.verifier not in sealed
    assert sealer.open(sealed, NOW) == attempt
    forged = sealed[:20] + ("A" if sealed[20] != "A" else "B") + sealed[21:]
    for wrong in (None, "", "x", forged, sealed + "." * 5000, CookieCipher(bytes([1]) * 32).seal(attempt)):
        with pytest.raises(ExpiredAttempt):
            sealer.open(wrong, NOW)
    with pytest.raises(ExpiredAttempt):
        sealer.open(sealed, NOW + 600)


def test_the_verifier_goes_to_the_provider_and_never_through_the_browser() -> None:
    provider, attempt = provider_of(DOCUMENT, ISSUER), new_attempt("https://here/callback", "", NOW)
    url = authorization_url(provider, US, attempt)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
    assert f"code_challenge={challenge}" in url
    assert url.startswith(f"{ISSUER}/auth?tenant=1&")
    assert attempt.verifier not in url
    form, headers = token_request(provider, US, attempt, "c")
    assert form["code_verifier"] == attempt.verifier
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"townwatch:s"
    posted, none = token_request(attrs.evolve(provider, takes_basic=False), US, attempt, "c")
    assert (posted["client_secret"], none) == ("s", {})
    public, none = token_request(provider, attrs.evolve(US, secret=None), attempt, "c")
    assert "client_secret" not in public and public["client_id"] == CLIENT and none == {}


# --- what a provider may answer ------------------------------------------------------------------------------------


def provider(answers: dict[str, Any]) -> Oidc:
    """One that answers so: a status, a body or an exception by the end of the address."""

    async def fetch(url: str, form: Any, headers: Any) -> FetchedResponse:
        found = answers[url.rpartition("/")[2]]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, FetchedResponse) else FetchedResponse(200, json.dumps(found).encode())

    return Oidc(US, bytes(32), fetch=Fetcher(fetch), now_s=lambda: NOW)


@pytest.mark.parametrize(
    "token_answer",
    [
        OSError("connection refused"),
        ValueError("longer than 1048576 bytes"),
        FetchedResponse(500, b"oh"),
        FetchedResponse(200, b"<html>"),
        FetchedResponse(200, b"[]"),
        FetchedResponse(200, b"[" * 100_000),
        FetchedResponse(400, b'{"error": "invalid_grant"}'),
        {"access_token": "x"},
        {"id_token": 5},
    ],
    ids=str,
)
async def test_an_odd_answer_for_the_code_signs_nobody_in(token_answer: Any) -> None:
    oidc = provider({"openid-configuration": DOCUMENT, "token": token_answer})
    begun = await oidc.begin("https://here/callback")
    state = CookieCipher(bytes(32)).open(begun.cookie, NOW).state
    with pytest.raises(BadProvider) as refused:
        await oidc.finish(begun.cookie, {"state": state, "code": "secretcode"})
    assert "secretcode" not in str(refused.value)


async def test_a_server_that_never_answers_is_given_up(autojump_clock: Any) -> None:
    async def fetch(url: str, form: Any, headers: Any) -> FetchedResponse:
        await trio.sleep_forever()

    with pytest.raises(NotFetched, match="no answer within"):
        await Fetcher(fetch)("https://id.example.org")
