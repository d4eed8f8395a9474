"""The first words between a replica that hands a connection on and the leader. Bytes in, values out; no socket.

    follower   TW-RELAY open  001 <nonce>                          hello: the newest version it speaks
    leader     TW-RELAY yes   001 <nonce> <proof>                  the version for this connection
    follower   <proof> <length> {"peer": …, "scheme": …, …}        the claim: who the client is
    follower   the client's bytes, as they came

Each side proves with a nonce of the other's that it knows the secret which the replicas share in their database: a
follower that another program's port would hear says nothing of its client there, and what was recorded once proves
nothing the next time. Clocks and the database play no part. A side that is not convinced closes the connection.

The first two messages have the same length in every version; the claim is JSON, whose unknown names are passed over.
"""

import hmac
import json
import secrets
from ipaddress import ip_address
from typing import Any, Literal, cast, get_args

import attrs

VERSION = 1
"""The newest version; the older of both sides' counts."""
MAGIC = b"TW-RELAY "
PROBE = MAGIC + b"probe"
"""How the connection begins by which a follower sees whether the leader answers."""
NONCE_BYTES, PROOF_BYTES = 32, 64
"""Hexadecimal digits."""
HELLO_BYTES = len(MAGIC) + 6 + 4 + NONCE_BYTES + 2
ANSWER_BYTES = HELLO_BYTES + 1 + PROOF_BYTES
CLAIM_HEAD_BYTES = PROOF_BYTES + 1 + 8 + 1
MOST_CLAIM_BYTES = 8192
Purpose = Literal["open", "probe", "trunk"]
"""A client's connection; whether the leader answers; a connection that carries many clients."""


class RelayRefused(Exception):
    """The other side said something that it must not say. The message tells what."""


@attrs.frozen(kw_only=True)
class RelayClaim:
    """The client of a connection, as the follower that it came to knows it."""

    peer: str
    """The IP address of the other end of the client's connection; "" where it has none."""
    scheme: Literal["http", "https"] = "http"
    certificate: tuple[str, ...] = ()
    """Names in the certificate that the client showed to the follower, which checked it."""
    hosts: tuple[str, ...] = ()
    """Names that the follower answers for: a client may have asked for them."""
    replica: str = ""
    """The follower's name."""

    def encode(self) -> str:
        """Return it as `read_claim` reads it; without a line break."""
        return json.dumps(attrs.asdict(self), separators=(",", ":"))


@attrs.frozen
class RelayHello:
    """First message of a follower."""

    purpose: Purpose
    version: int
    nonce: str

    @classmethod
    def new(cls, purpose: Purpose) -> "RelayHello":
        return cls(purpose, VERSION, secrets.token_hex(NONCE_BYTES // 2))

    def encode(self) -> bytes:
        return MAGIC + f"{self.purpose:<5} {self.version:03} {self.nonce}\r\n".encode()


@attrs.frozen
class RelayWelcome:
    """Answer of a leader. `version`: the one that both speak."""

    version: int
    nonce: str
    proof: str

    def encode(self) -> bytes:
        return MAGIC + f"{'yes':<5} {self.version:03} {self.nonce} {self.proof}\r\n".encode()


class RelaySecret:
    """Proofs of the secret that the replicas share."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"townwatch relay", "sha256")

    def welcome(self, hello: RelayHello, life: str) -> RelayWelcome:
        """Answer a hello. `life`: of the leader's process, which a follower expects."""
        version, nonce = min(hello.version, VERSION), secrets.token_hex(NONCE_BYTES // 2)
        return RelayWelcome(version, nonce, self._proof("leader", version, hello.nonce, nonce, life))

    def check_welcome(self, hello: RelayHello, welcome: RelayWelcome, life: str) -> None:
        """Raise `RelayRefused` unless the process with this life answered this hello."""
        wanted = self._proof("leader", welcome.version, hello.nonce, welcome.nonce, life)
        if not hmac.compare_digest(wanted, welcome.proof):
            raise RelayRefused("another process answers there, or one with another secret")
        if not 1 <= welcome.version <= hello.version:
            raise RelayRefused(f"it speaks version {welcome.version}, this process up to {hello.version}")

    def claim(self, hello: RelayHello, welcome: RelayWelcome, claim: RelayClaim) -> bytes:
        """Return the message that makes a claim."""
        body = claim.encode()
        proof = self._proof("follower", welcome.version, hello.nonce, welcome.nonce, body)
        return f"{proof} {len(body):08} {body}".encode()

    def check_claim(self, hello: RelayHello, welcome: RelayWelcome, proof: str, body: str) -> RelayClaim:
        """Return the claim. Raises `RelayRefused`."""
        wanted = self._proof("follower", welcome.version, hello.nonce, welcome.nonce, body)
        if not hmac.compare_digest(wanted, proof):
            raise RelayRefused("its claim is not proven")
        return read_claim(body)

    def _proof(self, *parts: object) -> str:
        """Bind all parts; none but the last can have a line break."""
        return hmac.new(self._key, "\n".join(map(str, parts)).encode(), "sha256").hexdigest()


def read_hello(data: bytes) -> RelayHello:
    """Parse a hello. Raises `RelayRefused`."""
    purpose, version, (nonce,) = _words(data, HELLO_BYTES, 1)
    if purpose not in get_args(Purpose):
        raise RelayRefused("it begins with something else than a hello")
    return RelayHello(cast("Purpose", purpose), version, nonce)


def read_welcome(data: bytes) -> RelayWelcome:
    """Parse an answer. Raises `RelayRefused`."""
    kind, version, (nonce, proof) = _words(data, ANSWER_BYTES, 2)
    if kind != "yes":
        raise RelayRefused("it answers with something else than yes")
    return RelayWelcome(version, nonce, proof)


def read_claim_head(data: bytes) -> tuple[str, int]:
    """Parse (proof, length of the claim). Raises `RelayRefused`."""
    words = data.decode("ascii", "replace").split(" ")
    if len(words) != 3 or len(words[0]) != PROOF_BYTES or not _is_number(words[1]):
        raise RelayRefused("its claim cannot be read")
    length = int(words[1])
    if length > MOST_CLAIM_BYTES:
        raise RelayRefused(f"its claim is longer than {MOST_CLAIM_BYTES} bytes")
    return words[0], length


def read_claim(body: str | bytes) -> RelayClaim:
    """Parse a claim. Raises `RelayRefused`."""
    try:
        return _claim(json.loads(body))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RelayRefused("its claim cannot be read") from None


def _words(data: bytes, size: int, more: int) -> tuple[str, int, list[str]]:
    """(kind, version, other words) of one of the two messages whose lengths are fixed."""
    text = data.decode("ascii", "replace")
    words = text.removeprefix(MAGIC.decode()).split()
    if len(data) != size or not text.startswith(MAGIC.decode()) or not text.endswith("\r\n") or len(words) != 2 + more:
        raise RelayRefused("it does not speak the replicas' language")
    if not _is_number(words[1]) or int(words[1]) < 1:
        raise RelayRefused("it names no version")
    return words[0], int(words[1]), words[2:]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _claim(said: Any) -> RelayClaim:
    """Read a claim strictly: what is missing or of another type raises."""
    peer, scheme = said["peer"], said["scheme"]
    if peer:
        ip_address(peer)
    if scheme not in ("http", "https"):
        raise ValueError(scheme)
    lists = {name: tuple(said[name]) for name in ("certificate", "hosts")}
    if not all(isinstance(one, str) for one in (peer, said["replica"], *lists["certificate"], *lists["hosts"])):
        raise TypeError
    return RelayClaim(peer=peer, scheme=scheme, replica=said["replica"][:200], **lists)
