"""Rules of the villages that this runner serves: the last ones that were sent, on disk for when the service is away."""

import os
from collections.abc import Mapping
from pathlib import Path

import structlog
import trio

from townwatch.contracts.codec import ContractError, Decoder, encode
from townwatch.contracts.link import Policies
from townwatch.contracts.policy import PolicyRule, VillagePolicy

log = structlog.get_logger("policy")

FILE = "policies.json"
UNREADABLE = PolicyRule(id=FILE, effect="ask", note="the village's rules on this machine cannot be read")
_policies = Decoder(Policies, max_bytes=4 << 20)


class PolicyShelf:
    """Village → its policy. Written by `replace` alone. Where the file cannot be read everything asks, until the
    service says anew: what it denied is not known, and no session may bring an allow of its own.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._of: Mapping[str, VillagePolicy] = {}
        self._unknown: list[PolicyRule] = []
        try:
            found: Policies = _policies.decode(self._path.read_bytes())
            self._of = {one.village_id: one for one in found.policies}
        except FileNotFoundError:
            pass
        except (OSError, ContractError) as error:
            self._unknown = [UNREADABLE]
            log.error("policies_unreadable", path=str(self._path), reason=str(error))

    def of(self, village: str) -> VillagePolicy:
        """Return a village's policy; one without rules where it has none."""
        return self._of.get(village) or VillagePolicy(village_id=village, rules=self._unknown)

    async def replace(self, found: Policies) -> None:
        """Take what the service says, and keep it. It holds even where it cannot be written."""
        self._of, self._unknown = {one.village_id: one for one in found.policies}, []
        log.info("policies_taken", versions={one.village_id: one.version for one in found.policies})
        try:
            await trio.to_thread.run_sync(self._write, encode(found))
        except OSError as error:
            log.error("policies_not_kept", path=str(self._path), reason=str(error))

    def _write(self, data: bytes) -> None:
        beside = self._path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
