"""Verdict of a village's rules on the start of a session: of those of the category ``start`` alone. Pure."""

import shlex
from collections.abc import Iterable, Sequence

import attrs

from townwatch.contracts.policy import START, AnswerTerms, PolicyRule
from townwatch.contracts.tasks import StartSession
from townwatch.policy.commands.paths import Place
from townwatch.policy.village import LayeredRule, PolicyDecision, PolicyRequest, decide_request

PERMITTED = PolicyDecision(verdict="allow", rule=None, reason="no rule is about it")


def decide_start(
    rules: Sequence[PolicyRule], variables: Iterable[str], wanted: StartSession, person: str, now_ms: int
) -> PolicyDecision:
    """Decide a start by a person. What no rule of the category is about is permitted: who may start sessions is a
    matter of roles first.
    """
    held = [LayeredRule(rule=one) for one in rules if one.category == START]
    if not held:
        return PERMITTED
    root = wanted.repo_ref.path or Place().root
    asked = PolicyRequest(
        category=START,
        place=Place(root=root, directory=root),
        agent=wanted.agent_name,
        provider=wanted.provider_id,
        house=wanted.repo_ref.repo_path or None,
        branch=_branch(wanted),
        person=person,
        at=now_ms / 1000,
    )
    found = [decide_request(held, asked)]
    named = [one for one in held if one.rule.command is not None]
    if wanted.command and named:
        found.append(decide_request(named, attrs.evolve(asked, command=shlex.join(wanted.command)), variables))
    said = [one for one in found if one.rule is not None]
    for verdict in ("deny", "ask"):
        for one in said:
            if one.verdict == verdict:
                return one
    return PERMITTED


def _branch(wanted: StartSession) -> str | None:
    if wanted.worktree is not None:
        return wanted.worktree.branch
    checkout = wanted.checkout
    return checkout.ref if checkout is not None and checkout.type == "branch" else None


def terms_of(decision: PolicyDecision) -> AnswerTerms:
    """Return who may start it where a rule asks: a person who has signed in, and what the rule wants beyond that."""
    return (decision.terms or AnswerTerms()).combined_with(AnswerTerms(human=True))
