"""Access tokens of another issuer: configured, checked, and believed for people who are known."""

import json
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from tests.support.service import open_town
from townwatch.app.identity import known_issuers
from townwatch.config.reading import load
from townwatch.config.settings import ConfigError, IdentitySettings, IssuerSettings, Settings
from townwatch.store import members, users

ISSUER = "https://ci.example"
KEYS: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


def token(algorithm: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "townwatch", "sub": "bot", "iat": now, "exp": now + 60, **changes}
    key = KEYS[algorithm]
    header = {"alg": algorithm, "kid": key.kid, "typ": "at+jwt"}
    return jwt.encode(header, claims, key, algorithms=[algorithm])


def with_issuer(found: Settings, **options: Any) -> Settings:
    return attrs.evolve(found, identity=IdentitySettings(issuers=[IssuerSettings(issuer=ISSUER, **options)]))


async def test_a_configured_issuer_is_believed_for_who_is_known(tmp_path: Path) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(KeySet(list(KEYS.values())).as_dict(private=False)))
    async with (
        open_town(tmp_path / "town", lambda found: with_issuer(found, key_file=str(jwks))) as town,
        httpx.AsyncClient(base_url=town.url) as http,
    ):

        async def me(shown: str) -> httpx.Response:
            return await http.get("/api/me", headers={"authorization": f"Bearer {shown}"})

        assert (await me(token("RS256"))).status_code == 401  # nobody here has that identity yet
        database = town.service.database
        await database.call(users.create, "The bot", 1, user_id="bot")
        await database.call(users.link_identity, "bot", ISSUER, "bot", 1)
        await database.call(members.put, "demo", "bot", "operator", 1)
        for algorithm in KEYS:
            found = (await me(token(algorithm))).json()
            assert (found["userId"], [one["role"] for one in found["villages"]]) == ("bot", ["operator"])
        for named, scopes in (
            (None, ["read"]),
            ("openid profile", ["read"]),
            ("", ["read"]),
            ("read drive x", ["drive", "read"]),
        ):
            said = token("ES256") if named is None else token("ES256", scope=named)
            assert (await me(said)).json()["scopes"] == scopes
        for wrong in ({"aud": "shop"}, {"exp": 1}, {"iss": "https://evil.example"}, {"sub": "user_owner"}):
            assert (await me(token("RS256", **wrong))).status_code == 401
        assert (await me(town.token)).json()["userId"] == "user_owner"  # our own are as good as before


async def test_only_the_configured_algorithms(tmp_path: Path) -> None:
    pem = tmp_path / "key.pem"
    pem.write_bytes(KEYS["ES256"].as_pem(private=False))
    [issuer] = known_issuers(with_issuer(load(None, {}), key_file=str(pem), algorithms=["ES256"]))
    assert (await issuer.verify(token("ES256"))).subject == "bot"
    with pytest.raises(Exception, match="algorithm is not one of this issuer's"):
        await issuer.verify(token("RS256"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "jwks_url, key_file or secret"),
        ({"jwks_url": "https://ci.example/jwks", "key_file": "x"}, "jwks_url, key_file or secret"),
        ({"jwks_url": "http://ci.example/jwks"}, "https"),
        ({"key_file": "/nowhere/key.pem"}, "/nowhere/key.pem"),
        ({"jwks_url": "https://ci.example/jwks", "algorithms": ["HS256"]}, "must be some of RS256, ES256, EdDSA"),
        ({"jwks_url": "https://ci.example/jwks", "algorithms": ["none"]}, "must be some of RS256, ES256, EdDSA"),
        ({"jwks_url": "https://ci.example/jwks", "scopes": ["everything"]}, "everything: use some of admin, decide"),
        ({"jwks_url": "https://ci.example/jwks", "algorithms": []}, "must be some of RS256, ES256, EdDSA"),
    ],
    ids=str,
)
def test_an_issuer_that_cannot_be_believed_stops_the_start(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        known_issuers(with_issuer(load(None, {}), **options))


async def test_an_issuer_with_a_shared_secret_is_believed_for_its_audience_only(tmp_path: Path) -> None:
    secret = "a secret that is long enough, 32+"
    key = OctKey.import_key(secret)

    def signed(key: OctKey = key, typ: str = "JWT", **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "village", "sub": "bot", "iat": now, "exp": now + 60, **changes}
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "HS256", "typ": typ}, present, key, algorithms=["HS256"])

    options = {"secret": secret, "audience": "village"}
    async with (
        open_town(tmp_path / "town", lambda found: with_issuer(found, **options)) as town,
        httpx.AsyncClient(base_url=town.url) as http,
    ):
        database = town.service.database
        await database.call(users.create, "The bot", 1, user_id="bot")
        await database.call(users.link_identity, "bot", ISSUER, "bot", 1)

        async def status(shown: str) -> int:
            return (await http.get("/api/me", headers={"authorization": f"Bearer {shown}"})).status_code

        assert await status(signed()) == 200
        other = OctKey.import_key("another secret that is long enough")
        for wrong in (
            signed(key=other),
            signed(aud="townwatch"),
            signed(aud=None),
            signed(iss=None),
            signed(exp=None),
            signed(sub="user_owner"),
            signed(typ="device+jwt"),
            signed(iss="townwatch", aud="townwatch", sub="user_owner", typ="at+jwt"),
            token("ES256", aud="village"),
        ):
            assert await status(wrong) == 401


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"secret": "short"}, "at least 32 bytes"),
        ({"secret": "s" * 32, "audience": ""}, "name the issuer and the audience"),
        ({"secret": "s" * 32, "jwks_url": "https://ci.example/jwks"}, "one of them"),
    ],
)
def test_a_shared_secret_that_protects_nothing_stops_the_start(options: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        known_issuers(with_issuer(load(None, {}), **options))
