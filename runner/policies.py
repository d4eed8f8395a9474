"""Rules of the villages that this runner serves: the last ones that were sent, on disk for when the service is away.

The service signs them. The key that signed the first ones is kept, and no others are taken from then on: neither from
the disk, which others of this user can write to, nor over the network. What the check is worth: docs/threats.md.
"""

from collections.abc import Mapping
from pathlib import Path

import attrs
import structlog
import trio

from townwatch.contracts.codec import ContractError, Decoder, encode
from townwatch.contracts.files import replace_durably
from townwatch.contracts.link import Policies
from townwatch.contracts.policy import SIGNED_AS, PolicyDocument, PolicyRule, VillagePolicy, machine_of
from townwatch.runner.session.rules import REFUSED

log = structlog.get_logger("policy")

FILE = "policies.json"
KEY_FILE = "policies.key"
"""The service's public key, base64url."""
SEEN_FILE = "policies.seen"
"""A `PoliciesSeen`: what is kept cannot be older."""
_policies: Decoder[Policies] = Decoder(Policies, max_bytes=4 << 20)
_document: Decoder[PolicyDocument] = Decoder(PolicyDocument, max_bytes=4 << 20)


@attrs.frozen(kw_only=True)
class PoliciesSeen:
    """The document that was taken last: when it was issued, and the version of each village's rules."""

    issued_at: int
    versions: dict[str, int]


_seen: Decoder[PoliciesSeen] = Decoder(PoliciesSeen)


class RulesRefused(Exception):
    """Rules are not the service's, or not its latest."""


class PolicyShelf:
    """Village → its policy. Written by `replace` alone. Where the file cannot be read or trusted everything asks, until
    the service says anew: what it denied is not known, and no session may bring an allow of its own.
    """

    def __init__(self, directory: Path, runner_id: str | None = None) -> None:
        """`runner_id`: whose rules they have to be; None: that is not looked at."""
        self._directory = directory
        self._path = directory / FILE
        self._machine = None if runner_id is None else machine_of(runner_id)
        self._of: Mapping[str, VillagePolicy] = {}
        self._unknown: list[PolicyRule] = []
        self._key: str | None = None
        self._seen: PoliciesSeen | None = None
        try:
            self._read()
        except (OSError, ContractError, ValueError, RulesRefused) as error:
            self._refuse(f"{self._path}: {error}")

    def of(self, village: str) -> VillagePolicy:
        """Return a village's policy; one without rules where it has none."""
        return self._of.get(village) or VillagePolicy(village_id=village, rules=self._unknown)

    async def replace(self, found: Policies) -> None:
        """Take what the service says, and keep it. It holds even where it cannot be written; what is not the service's
        is not taken, and then everything asks. Of a service of an earlier release, which does not sign, it holds as
        long as this process: only what is signed is kept.
        """
        if found.signed is None and self._key is not None:
            self._of, self._unknown = {one.village_id: one for one in found.policies}, []
            log.warning("policies_not_signed", reason="the service is of an earlier release: not kept on this disk")
            return
        key = self._key or (found.signed.key if found.signed is not None else None)
        try:
            taken = await trio.to_thread.run_sync(self._checked, found, key)
        except (RulesRefused, ContractError) as error:
            self._refuse(f"what came over the network: {error}")
            return
        self._key = key
        self._hold(taken)
        log.info("policies_taken", versions={one.village_id: one.version for one in taken.policies})
        try:
            await trio.to_thread.run_sync(self._keep, encode(found))
        except OSError as error:
            log.error("policies_not_kept", path=str(self._path), reason=str(error))

    def _hold(self, taken: PolicyDocument) -> None:
        self._of, self._unknown = {one.village_id: one for one in taken.policies}, []
        if self._key is not None:
            versions = {one.village_id: one.version for one in taken.policies}
            self._seen = PoliciesSeen(issued_at=taken.issued_at, versions=versions)

    def _refuse(self, why: str) -> None:
        """Let everything ask."""
        advice = (
            f"if the service's secret was replaced, remove {self._directory / KEY_FILE} and start this runner again"
        )
        note = f"the village's rules on this machine are not trusted: {why}"
        self._of, self._unknown = {}, [PolicyRule(id=REFUSED, effect="ask", note=f"{note}; {advice}"[:1000])]
        log.error("policies_refused", reason=why, advice=advice)

    def _read(self) -> None:
        """Read what is kept. Raises OSError, ValueError, `ContractError`, `RulesRefused`."""
        key = _text(self._directory / KEY_FILE)
        self._key = None if key is None else key.strip()
        seen, data = _text(self._directory / SEEN_FILE), _text(self._path)
        if self._key is not None and seen is None:
            raise RulesRefused(f"{SEEN_FILE} is gone, which says how new it has to be")
        self._seen = None if seen is None else _seen.decode(seen)
        if data is not None:
            found = _policies.decode(data)
            if self._key is None and found.signed is not None:
                raise RulesRefused(f"{KEY_FILE} is gone, which says whose signature counts")
            self._hold(self._checked(found, self._key))
        elif self._key is not None:
            raise RulesRefused("it is gone")

    def _checked(self, found: Policies, key: str | None) -> PolicyDocument:
        """Return rules that are the service's, and no older than those before. Raises `RulesRefused`, `ContractError`.
        Of a service that does not sign they are taken as they are, until one of it has.
        """
        if key is None:
            return PolicyDocument(runner_id="", issued_at=0, policies=found.policies)
        if found.signed is None:
            raise RulesRefused("it is not signed, and this service signs its rules")
        if found.signed.key != key:
            raise RulesRefused(f"it is signed with another key than the service's ({key[:12]}…)")
        text = found.signed.document.encode(errors="surrogatepass")
        if not _is_of(key, found.signed.signature, SIGNED_AS + text):
            raise RulesRefused("its signature is wrong")
        taken = _document.decode(text)
        if self._machine is not None and taken.runner_id != self._machine:
            raise RulesRefused(f"it is of the runner {taken.runner_id[:100]!r}, not of {self._machine!r}")
        if self._seen is None or taken.issued_at >= self._seen.issued_at:
            return taken
        before = self._seen.versions
        late = [one.village_id for one in taken.policies if one.version < before.get(one.village_id, 0)]
        if late:
            raise RulesRefused(f"it is older than what was there before (of {', '.join(late[:5])})")
        return taken

    def _keep(self, data: bytes) -> None:
        """Write what was taken; the key first, and what was seen last. Raises OSError."""
        if self._key is not None and _text(self._directory / KEY_FILE) is None:
            replace_durably(self._directory / KEY_FILE, self._key.encode())
        replace_durably(self._directory / FILE, data)
        if self._seen is not None:
            replace_durably(self._directory / SEEN_FILE, encode(self._seen))


def forget(directory: Path) -> None:
    """Forget rules and key of the service before: this runner is another one's by now. Raises OSError."""
    for name in (FILE, KEY_FILE, SEEN_FILE):
        (directory / name).unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    """Return a file's text; None where there is none. Raises OSError, ValueError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _is_of(key: str, signature: str, data: bytes) -> bool:
    """Return True where this is the signature of the data by this key."""
    from base64 import urlsafe_b64decode

    from cryptography.exceptions import InvalidSignature  # here: it is large, and most commands have no rules to check
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(key + "=" * (-len(key) % 4)))
        public.verify(urlsafe_b64decode(signature + "=" * (-len(signature) % 4)), data)
    except (InvalidSignature, ValueError):
        return False
    return True
