"""Secrets that have to be read again (what webhooks are signed with): encrypted with a key made of the service's own.

Reading the tables alone, in a backup of the database or by a query, does not reveal them.
"""

import hashlib
import hmac
import os
from base64 import b64decode, b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PURPOSE = b"townwatch: sealed secrets"
_NONCE = 12


class SealBroken(Exception):
    """This text was not sealed with our key, or for another thing. The message says what to do."""


class Sealer:
    """AES-256-GCM. `thing` is what the secret belongs to: moved to another row, it cannot be opened."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: the service's own (`bootstrap.token_secret`)."""
        self._cipher = AESGCM(hmac.new(secret, PURPOSE, hashlib.sha256).digest())

    def seal(self, secret: str, thing: str) -> str:
        """Return the secret as text for a column."""
        nonce = os.urandom(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, secret.encode(), thing.encode())).decode()

    def open(self, sealed: str, thing: str) -> str:
        """Return the secret. Raises `SealBroken`."""
        try:
            raw = b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], thing.encode()).decode()
        except (InvalidTag, ValueError):
            raise SealBroken("the secret cannot be read (token.secret was replaced): make a new one") from None
