"""The village's rules in the service: the second look at a question that a runner has looked at before."""

from collections import OrderedDict

import structlog
import trio

from townwatch.actors.ports import VillageRuling
from townwatch.actors.session.asked import request_in, work_of
from townwatch.actors.session.state import SessionState
from townwatch.app.budgets.raising import budget_asked
from townwatch.app.policies import PolicyBook
from townwatch.contracts.answers import AnswerRefused
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import AnswerTerms
from townwatch.policy.requests import terms_in
from townwatch.policy.village import LayeredRule, PolicyDecision, Work, decide_request
from townwatch.store import audit, sessions
from townwatch.store.audit import Entry
from townwatch.store.database import Database
from townwatch.store.deciding import answers
from townwatch.store.deciding.policies import PolicyRow

log = structlog.get_logger("policy")

NOT_KEPT = (
    "what it asks was left out of the database by the village's setting, and the service has restarted since: answer "
    "it in its terminal, or deny it"
)
KEPT = 2000
"""Rulings that are remembered: a question is asked for again at each key that is typed while it waits."""


class StoredRulings:
    """`townwatch.actors.ports.Rulings` over the rules in memory.

    It denies and it sets terms; it never allows: the session's and the repository's own rules are known to the runner.
    """

    def __init__(self, book: PolicyBook, database: Database) -> None:
        self._book, self._database = book, database
        self._known: OrderedDict[tuple[str, str, int], tuple[tuple[ApprovalRequest, Work], VillageRuling]] = (
            OrderedDict()
        )

    async def of(self, session: SessionState, asked: ApprovalRequest) -> VillageRuling:
        if asked.left_out:
            raise AnswerRefused(NOT_KEPT)
        row = self._book.of(session.village_id)
        told = _told(asked)
        if (row is None or not row.body.rules) and not told:
            return VillageRuling()
        key = (session.session_id, asked.approval_id, 0 if row is None else row.version)
        known, about = self._known.get(key), (asked, work_of(session))
        if known is not None and known[0] == about:
            return known[1]
        ruling = await self._look(session, asked, row)
        self._known[key] = (about, ruling)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return ruling

    async def outdated(
        self, session: SessionState, asked: ApprovalRequest, by: str | None, ruling: VillageRuling
    ) -> None:
        rule, why = ruling.denied or ("", "")
        log.warning("allowed_by_old_rules", session=session.session_id, approval=asked.approval_id, by=by, denied=rule)
        entry = Entry(
            at_ms=epoch_ms(),
            kind="system",
            action="policy.outdated",
            village_id=session.village_id,
            session_id=session.session_id,
            target=asked.approval_id[:200],
            details={"allowedBy": by, "deniedBy": f"policy:{rule}", "reason": why[:500]},
        )
        await self._database.call(audit.add, entry)

    async def _look(self, session: SessionState, asked: ApprovalRequest, row: PolicyRow | None) -> VillageRuling:
        starter = await self._database.read(sessions.starter_of, session.session_id)
        try:
            found = await trio.to_thread.run_sync(_decide, session, asked, row, starter)
        except Exception as error:  # a fault of ours is never an answer
            log.error("policy_failed", session=session.session_id, reason=f"{type(error).__name__}: {error}")
            raise AnswerRefused("the village's rules could not be evaluated for this: it can only be denied") from None
        if found is not None and found.verdict == "deny":
            return VillageRuling(denied=(found.rule or "none", found.reason[:500]))
        terms, rules = _told(asked), found.terms_rules if found is not None else ()
        if found is not None and found.terms is not None:
            terms = terms.combined_with(found.terms)
        if not terms:
            return VillageRuling()
        return VillageRuling(terms=terms, rules=rules, needed=answers.needed(terms, starter))


def _told(asked: ApprovalRequest) -> AnswerTerms:
    """Return the terms that come with a question. More of a budget that sessions share is its owner's to give, whatever
    its runner says.
    """
    terms = terms_in(asked)
    return terms if budget_asked(asked) is None else terms.combined_with(AnswerTerms(role="owner"))


def _decide(
    session: SessionState, asked: ApprovalRequest, row: PolicyRow | None, starter: str | None
) -> PolicyDecision | None:
    if row is None:
        return None
    rules = [LayeredRule(rule=rule) for rule in row.body.rules]
    return decide_request(rules, request_in(session, asked, starter), row.body.variables)
