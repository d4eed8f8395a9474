"""Standard Webhooks (https://www.standardwebhooks.com): how a message is signed, so that a receiver knows who sent it.

Signed is "ID.TIMESTAMP.BODY" with HMAC-SHA256; the header holds one signature for each secret that is good.
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Make a secret, as receivers' libraries take it."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """Return one signature of a message."""
    key = b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{seconds}.".encode() + body
    return "v1," + b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers(secrets_: Sequence[str], message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message. `seconds`: when it is sent, since 1970."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signature(one, message_id, seconds, body) for one in secrets_),
    }
