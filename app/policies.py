"""Rules of all villages in memory, and how a change reaches the runners."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.app.budgets.book import BudgetBook
from townwatch.contracts.codec import encode
from townwatch.contracts.policy import SIGNED_AS, PolicyDocument, SignedPolicies, VillagePolicy, machine_of
from townwatch.notify.vapid import to_base64url
from townwatch.store.database import Database
from townwatch.store.deciding import policies

PURPOSE = b"townwatch: rules for runners"


class PolicySigner:
    """The service's key for the rules that it sends to runners. It is made of the service's own secret: nothing more
    has to be kept, and all processes of one database have the same one.
    """

    def __init__(self, secret: bytes) -> None:
        seed = hmac.new(secret, PURPOSE, hashlib.sha256).digest()
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = to_base64url(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, runner_id: str, policies: Sequence[VillagePolicy], now_ms: int) -> SignedPolicies:
        """Return the rules of a runner, signed."""
        found = PolicyDocument(runner_id=machine_of(runner_id), issued_at=now_ms, policies=list(policies))
        document = encode(found)
        signature = self._key.sign(SIGNED_AS + document)
        return SignedPolicies(key=self.public, document=document.decode(), signature=to_base64url(signature))


class PolicyBook:
    """Village key → its rules as they are sent to runners. Read by links, written by `refresh` alone."""

    def __init__(self, budgets: BudgetBook) -> None:
        self._budgets = budgets
        self._of: Mapping[str, policies.PolicyRow] = {}

    def for_runner(self, villages: Mapping[str, str]) -> list[VillagePolicy]:
        """Return the rules of the villages (name → key) that a runner serves."""
        return [
            attrs.evolve(_as_sent(name, self._of.get(key)), shared=self._budgets.sent(key))
            for name, key in villages.items()
        ]

    def of(self, village_id: str) -> policies.PolicyRow | None:
        """Return the rules of the village of this key; None where it never had any."""
        return self._of.get(village_id)

    async def refresh(self, database: Database) -> None:
        """Read the rows again."""
        self._of = {row.village_id: row for row in await database.read(policies.everything)}


class PolicyKeeper:
    """Makes a change of the rules hold: in the book, and on every connected runner."""

    def __init__(self, context: Context, book: PolicyBook, database: Database) -> None:
        self._context, self._book, self._database = context, book, database

    async def changed(self, village_id: str) -> None:
        """Read the rows again and send them to the runners; each gets those of its own villages. What waits for a
        person is compared with them.
        """
        await self._book.refresh(self._database)
        self.tell_runners()
        for state in self._context.board.of_village(village_id):
            if state.pending:
                tell_if_alive(self._context.directory.sessions.get(state.session_id), m.JudgeAgain())

    def tell_runners(self) -> None:
        """Send the rules again: they, or the villages that runners serve, were changed."""
        for runner in list(self._context.directory.runners.values()):
            tell_if_alive(runner, m.PoliciesChanged())


def _as_sent(name: str, row: policies.PolicyRow | None) -> VillagePolicy:
    if row is None:
        return VillagePolicy(village_id=name)
    body = row.body
    return VillagePolicy(
        village_id=name, version=row.version, rules=body.rules, variables=body.variables, budget=body.budget
    )
