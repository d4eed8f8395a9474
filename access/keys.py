"""Public keys of other issuers: from the configuration (PEM or JWKS file) or from a JWKS URL, fetched off the loop."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import trio
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from townwatch.access.fetch import demand_safe, fetch
from townwatch.access.jwt import ASYMMETRIC, Key, key_set
from townwatch.access.subject import InvalidCredentials

FETCH_SECONDS = 5
FRESH_SECONDS = 600
"""How long a fetched set is believed."""
RETRY_SECONDS = 30
"""How often, at most, an unknown key id or a failed fetch makes us ask again: strangers choose the ids."""

_log = structlog.get_logger("access")


class FixedKeys:
    """Keys that are configured and do not change."""

    def __init__(self, keys: KeySet, *, nameless: bool = False) -> None:
        """`nameless`: the keys have no ids of their own, so whatever name a token gives its key fits."""
        self._keys = _public(keys)
        self._nameless = nameless

    @classmethod
    def from_file(cls, path: Path) -> "FixedKeys":
        """A JWKS document, or one public key as PEM. Blocks. Raises ValueError, naming the file."""
        text = path.read_text(encoding="utf-8")
        try:
            if text.lstrip().startswith("{"):
                return cls(key_set(text))
            return cls(KeySet([_from_pem(text)]), nameless=True)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    async def key_for(self, key_id: str | None, algorithm: str) -> Key:
        return _choose(self._keys, None if self._nameless else key_id, algorithm)


class FetchedKeys:
    """Keys behind a URL. Kept while fresh; while the issuer cannot be reached the old ones are believed on."""

    def __init__(self, url: str, fetch: Callable[[str], Awaitable[bytes]] | None = None) -> None:
        """Raises ValueError for a URL that is not https (http is for loopback, in tests)."""
        self._url = demand_safe(url)
        self._fetch = fetch or fetch_jwks
        self._keys: KeySet | None = None
        self._fetched = self._tried = float("-inf")
        self._one = trio.Lock()

    async def key_for(self, key_id: str | None, algorithm: str) -> Key:
        async with self._one:  # a hundred sign-ins at once are one fetch
            if self._keys is None or trio.current_time() - self._fetched > FRESH_SECONDS:
                await self._refresh()
            try:
                return _choose(self._keys, key_id, algorithm)
            except InvalidCredentials:
                await self._refresh()
                return _choose(self._keys, key_id, algorithm)

    async def _refresh(self) -> None:
        now = trio.current_time()
        if now - self._tried < RETRY_SECONDS:
            return
        self._tried = now
        try:
            with trio.fail_after(FETCH_SECONDS):
                text = await self._fetch(self._url)
            self._keys = _public(key_set(text.decode()))
            self._fetched = now
        except (OSError, ValueError, trio.TooSlowError) as error:
            _log.warning("keys_not_fetched", url=self._url, reason=str(error) or type(error).__name__)


async def fetch_jwks(url: str) -> bytes:
    """Return the document at a URL. Raises OSError or ValueError."""
    answer = await fetch(url, None, {})
    if answer.status != 200:
        raise ConnectionError(f"HTTP {answer.status}")
    return answer.body


def _public(keys: KeySet) -> KeySet:
    """Keep only keys that verify: a symmetric key in a public document would let its readers sign."""
    usable: list[Key] = [k for k in keys.keys if isinstance(k, (RSAKey, ECKey, OKPKey)) and _verifies(k)]
    if not usable:
        raise ValueError("there is no RSA, EC or OKP key for signatures in it")
    return KeySet(usable)


def _verifies(key: RSAKey | ECKey | OKPKey) -> bool:
    if isinstance(key, OKPKey) and key.curve_name not in ("Ed25519", "Ed448"):
        return False
    if isinstance(key, RSAKey) and key.raw_value.key_size < 2048:
        return False
    return key.get("use", "sig") == "sig"


def _choose(keys: KeySet | None, key_id: str | None, algorithm: str) -> Key:
    wanted = ASYMMETRIC[algorithm]
    fitting = [k for k in keys.keys if isinstance(k, wanted) and k.get("alg", algorithm) == algorithm] if keys else []
    if key_id is not None:
        fitting = [k for k in fitting if k.kid == key_id]
    if len(fitting) != 1:
        raise InvalidCredentials("no key, or more than one, for this token")
    return fitting[0]


def _from_pem(text: str) -> RSAKey | ECKey | OKPKey:
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return kind.import_key(text)
        except (JoseError, ValueError, TypeError, AssertionError):
            continue
    raise ValueError("is neither a JWKS document nor a public key in PEM")
