"""Where other issuers' keys come from: files, and a URL that may be slow, gone, or wrong."""

import json
from pathlib import Path

import pytest
import trio
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from townwatch.access.keys import FetchedKeys, FixedKeys
from townwatch.access.subject import InvalidCredentials

RSA = RSAKey.generate_key(2048, {"kid": "one"})
EC = ECKey.generate_key("P-256", {"kid": "two"})
URL = "https://id.example.org/jwks"


def document(*keys: RSAKey | ECKey | OKPKey) -> bytes:
    return json.dumps(KeySet(list(keys)).as_dict(private=False)).encode()


async def test_a_file_of_either_kind(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(document(RSA, EC))
    (tmp_path / "key.pem").write_bytes(EC.as_pem(private=False))
    many, one = FixedKeys.from_file(tmp_path / "jwks.json"), FixedKeys.from_file(tmp_path / "key.pem")
    assert (await many.key_for("two", "ES256")).kid == "two"
    assert (await one.key_for(None, "ES256")).as_dict(private=False)["x"] == EC.as_dict(private=False)["x"]
    for key_id, algorithm in (("one", "ES256"), ("three", "RS256")):
        with pytest.raises(InvalidCredentials):
            await many.key_for(key_id, algorithm)


@pytest.mark.parametrize(
    "content",
    [
        b"no key at all",
        b"{}",
        b'{"keys": []}',
        json.dumps(KeySet([OctKey.generate_key(256)]).as_dict(private=True)).encode(),
        json.dumps(KeySet([OKPKey.generate_key("X25519")]).as_dict(private=False)).encode(),
        json.dumps(KeySet([RSAKey.generate_key(1024)]).as_dict(private=False)).encode(),
    ],
    ids=["text", "empty", "no keys", "symmetric", "not for signatures", "too short"],
)
def test_a_file_without_a_key_that_verifies_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ValueError, match="keys: "):
        FixedKeys.from_file(tmp_path / "keys")


class Issuer:
    """Answers with `body`, or fails with it."""

    def __init__(self, body: bytes | Exception) -> None:
        self.body = body
        self.asked = 0

    async def fetch(self, url: str) -> bytes:
        assert url == URL
        self.asked += 1
        if isinstance(self.body, Exception):
            raise self.body
        return self.body


async def test_a_hundred_at_once_are_one_fetch(mock_clock: trio.testing.MockClock) -> None:
    issuer = Issuer(document(RSA))
    keys = FetchedKeys(URL, issuer.fetch)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(keys.key_for, "one", "RS256")
    assert issuer.asked == 1


async def test_a_new_key_is_found_and_guessing_ids_does_not_make_us_ask_again_and_again(
    mock_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer(document(RSA))
    keys = FetchedKeys(URL, issuer.fetch)
    await keys.key_for("one", "RS256")
    issuer.body = document(RSA, EC)
    mock_clock.jump(31)
    await keys.key_for("two", "ES256")
    for guess in range(50):
        with pytest.raises(InvalidCredentials):
            await keys.key_for(f"guess{guess}", "RS256")
    assert issuer.asked == 2


async def test_while_the_issuer_is_away_its_old_keys_are_believed(mock_clock: trio.testing.MockClock) -> None:
    issuer = Issuer(document(RSA))
    keys = FetchedKeys(URL, issuer.fetch)
    await keys.key_for("one", "RS256")
    for trouble in (OSError("connection refused"), b"<html>", b"\xff\xfe", b"[]"):
        issuer.body = trouble
        mock_clock.jump(700)
        assert (await keys.key_for("one", "RS256")).kid == "one"
    issuer.body = document(EC)  # and a key that was withdrawn is believed no more
    mock_clock.jump(700)
    with pytest.raises(InvalidCredentials):
        await keys.key_for("one", "RS256")


async def test_an_issuer_that_was_never_reached_is_believed_nothing(mock_clock: trio.testing.MockClock) -> None:
    keys = FetchedKeys(URL, Issuer(OSError("no route")).fetch)
    with pytest.raises(InvalidCredentials):
        await keys.key_for("one", "RS256")


@pytest.mark.parametrize("url", ["http://id.example.org/jwks", "file:///etc/passwd", "ftp://x/y", "jwks.json"])
def test_keys_come_by_https_only(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        FetchedKeys(url)
