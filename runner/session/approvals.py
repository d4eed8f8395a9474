"""Approvals on the runner: asked by an agent, decided by a person.

No answer is a no: a timeout denies, the end of the session denies. The first decision stands; a repeated command with
it changes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import attrs
import structlog
import trio

from townwatch.contracts.codec import ContractError, Decoder, to_json_values
from townwatch.contracts.events import ApprovalRequest, Decision, FinalDecision, State
from townwatch.contracts.landing import BY_PERSON
from townwatch.runner.session.answering import Answer, Deliver
from townwatch.runner.session.events import SessionEvents
from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.rules import SessionRules

if TYPE_CHECKING:
    from townwatch.policy.village import PolicyDecision

log = structlog.get_logger("approvals")

DEFAULT_TIMEOUT_SECONDS = 24 * 3600.0
LONGEST_TIMEOUT_SECONDS = 366 * 24 * 3600.0
TOLD_TROUBLE = 10
"""Rules of a repository's file that an alert names."""
SESSION_END = "session end"
"""`resolved_by` of approvals that were open when the session ended."""
_request = Decoder(ApprovalRequest)


@attrs.define
class _Open:
    request: ApprovalRequest
    deliver: Deliver | None = None
    """Of an agent's own dialog: gives it the answer, and says whether it was taken."""
    done: trio.Event = attrs.field(factory=trio.Event)
    turn: trio.Lock = attrs.field(factory=trio.Lock)
    decision: FinalDecision = "deny"
    by: str | None = None
    note: str | None = None
    ruling: PolicyDecision | None = None
    """The answer of a rule: no person is asked."""


def _answer_of(ruling: PolicyDecision) -> tuple[Decision, str, str]:
    decision: Decision = "allow" if ruling.verdict == "allow" else "deny"
    return decision, f"policy:{ruling.rule or 'none'}", ruling.reason[:500]


def _with_rule(asked: ApprovalRequest, found: PolicyDecision) -> ApprovalRequest:
    """Return a question that says which rule asks, and who may answer."""
    if found.rule is None and found.terms is None:
        return asked
    known = cast(dict[str, Any], asked.context) if isinstance(asked.context, dict) else {}
    rule: dict[str, Any] = {"id": found.rule or found.terms_rules[0], "why": found.reason[:500]}
    if found.terms is not None:
        rule["answer"] = to_json_values(found.terms)
    return attrs.evolve(asked, context={**known, "rule": rule})


class Approvals:
    """The approvals of one session."""

    def __init__(
        self,
        plan: SessionSpec,
        events: SessionEvents,
        stop_soon: Callable[[str], None],
        rules: SessionRules | None = None,
    ) -> None:
        """`stop_soon`: ends the session in a moment, for a reason."""
        self._plan = plan
        self._events = events
        self._stop_soon = stop_soon
        self.rules = rules
        """Compared with each question first; None: every question goes to a person."""
        self._open: dict[str, _Open] = {}
        self._decided: dict[str, FinalDecision] = {}

    async def ask(
        self, fields: dict[str, Any], *, by_rule: bool = True, told: Callable[[str], None] = lambda _approval_id: None
    ) -> dict[str, Any]:
        """Ask and wait. The answer: {ok, decision, resolvedBy, note}. Raises `ContractError` for a wrong request.
        `by_rule`: whether a rule may answer. `told`: gets the approval's id, by which `settle` can end the question.
        """
        asking = _Open(self._make_request(fields))
        opened = await self._open_one(await self._ruled(asking) if by_rule else asking)
        told(opened.request.approval_id)
        if opened.ruling is not None:
            await self._resolve(opened.request.approval_id, *_answer_of(opened.ruling))
        else:
            await self._until_done(opened)
        return {"ok": True, "decision": opened.decision, "resolvedBy": opened.by, "note": opened.note}

    async def ask_for_agent(self, fields: dict[str, Any], deliver: Deliver) -> str:
        """Ask what an agent's own dialog asks, and return the approval's id at once. It ends with `decide` or, where it
        is answered in the dialog, with `settle`; its timeout is watched by `expire`. Raises `ContractError`.
        """
        opened = await self._open_one(await self._ruled(_Open(self._make_request(fields), deliver)))
        return opened.request.approval_id

    async def forbid(self, fields: dict[str, Any]) -> str | None:
        """Return why the rules deny what an agent is about to do, which is told as asked and denied; None where they do
        not. Raises `ContractError`.
        """
        asking = await self._ruled(_Open(self._make_request(fields)))
        if asking.ruling is None or asking.ruling.verdict != "deny":
            return None
        decision, by, note = _answer_of(asking.ruling)
        opened = await self._open_one(asking)
        await self._resolve(opened.request.approval_id, decision, by, note)
        return f"denied by {by}: {note}"

    async def settle_by_rule(self, approval_id: str) -> None:
        """Give an agent's dialog the answer that a rule has for it; where it is not taken, a person is asked."""
        opened = self._open.get(approval_id)
        if opened is None or opened.ruling is None:
            return
        decision, by, note = _answer_of(opened.ruling)
        opened.ruling = None
        try:
            await self.decide(approval_id, decision, by, note)
        except (NotPossible, KeyError) as error:
            log.warning("rule_not_taken", approval=approval_id, reason=str(error))
        if approval_id in self._open and self._events.lifecycle.state == "RUNNING":
            await self._events.become("WAITING_FOR_APPROVAL", opened.request.summary[:200])

    async def tell_trouble_with_rules(self) -> None:
        """Tell as an alert that the village's rules cannot be trusted here, and what is wrong with the repository's own
        file: rules of it that never count.
        """
        if self.rules is None:
            return
        if (why := self.rules.refused()) is not None:
            told = {"alertId": "policies.json", "severity": "error", "category": "policy"}
            title = "The village's rules on this machine are not trusted: everything asks"
            await self._events.tell("ALERT_RAISED", **told, title=title, description=self._events.clean(why))
        if found := await trio.to_thread.run_sync(self.rules.trouble):
            more = f" (and {len(found) - TOLD_TROUBLE} more)" if len(found) > TOLD_TROUBLE else ""
            told = {"alertId": "policy.toml", "severity": "warn", "category": "policy"}
            title = "Rules of this repository do not do what they say"
            description = self._events.clean("; ".join(found[:TOLD_TROUBLE]) + more)
            await self._events.tell("ALERT_RAISED", **told, title=title, description=description)

    async def _ruled(self, opened: _Open) -> _Open:
        """Compare a question with the rules. What they decide is in `ruling`; why they ask goes with the question."""
        if self.rules is None:
            return opened
        opened.request, found = await trio.to_thread.run_sync(self.rules.look, opened.request)
        if found.verdict != "ask":
            opened.ruling = found
        else:
            opened.request = _with_rule(opened.request, found)
        return opened

    async def ask_people(
        self, asked: ApprovalRequest, found: PolicyDecision, told: Callable[[], None]
    ) -> tuple[FinalDecision, str | None]:
        """Ask what rules have been compared with, and say by `found` that people decide; return what they decided, and
        who. `told`: called when it is asked. Raises `ContractError`.
        """
        opened = await self._open_one(_Open(_with_rule(asked, found)))
        told()
        await self._until_done(opened)
        return opened.decision, opened.by

    async def expire(self, approval_id: str) -> None:
        """Wait until the approval is done; no answer in time is a no."""
        opened = self._open.get(approval_id)
        if opened is not None:
            await self._until_done(opened)

    async def _until_done(self, opened: _Open) -> None:
        asked = opened.request
        seconds = ((asked.timeout_at or 0) - asked.requested_at) / 1000
        with trio.move_on_after(seconds):
            await opened.done.wait()
        if not opened.done.is_set():
            await self.decide(asked.approval_id, "deny", by="timeout")

    async def _open_one(self, opened: _Open) -> _Open:
        events, asked = self._events, opened.request
        if events.lifecycle.ended or events.lifecycle.state == "STOPPING":
            state = events.lifecycle.state.lower()
            raise ContractError("", f"the session is {state}: it can ask for no more approvals")
        self._open[asked.approval_id] = opened
        events.usage.approval()
        events.lifecycle.waiting.add(asked.approval_id)
        try:
            await events.tell("APPROVAL_REQUESTED", approval=asked)
        except trio.Cancelled:  # the question never went out, so no answer will
            self._open.pop(asked.approval_id, None)
            events.lifecycle.waiting.discard(asked.approval_id)
            raise
        if events.lifecycle.state == "RUNNING" and opened.ruling is None:
            await events.become("WAITING_FOR_APPROVAL", asked.summary[:200])
        return opened

    def waiting(self) -> list[ApprovalRequest]:
        """Return what waits for a decision."""
        return [opened.request for opened in self._open.values()]

    def _make_request(self, fields: dict[str, Any]) -> ApprovalRequest:
        now = time.time_ns() // 1_000_000
        seconds = fields.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_TIMEOUT_SECONDS:
            raise ContractError("timeoutSeconds", f"must be a number of seconds, 0 to {LONGEST_TIMEOUT_SECONDS:.0f}")
        context = fields.get("context")
        if isinstance(context, dict) and cast(dict[str, Any], context).get("tool") == BY_PERSON:
            fields = {**fields, "context": {**cast(dict[str, Any], context), "tool": None}}
        return _request.convert(
            {
                "approvalId": f"ap_{uuid.uuid4().hex[:16]}",
                "sessionId": self._plan.session_id,
                "category": fields.get("category"),
                "risk": fields.get("risk"),
                "summary": self._events.clean(fields.get("summary")),
                "context": self._events.clean(fields.get("context")),
                "requestedAt": now,
                "timeoutAt": now + int(seconds * 1000),
            }
        )

    async def decide(
        self,
        approval_id: str,
        decision: Decision,
        by: str | None = None,
        note: str | None = None,
        *,
        stop: bool = False,
        answer: Answer | None = None,
    ) -> None:
        """Apply a decision. Raises KeyError for an unknown approval; a decided one stays as it is. `stop`: a denial
        that ends the session, too. `answer`: what goes to an agent's dialog beyond the decision. Raises `NotPossible`
        where it does not fit what the dialog asks.
        """
        if approval_id in self._decided:
            return
        opened = self._open[approval_id]
        if opened.deliver is None:
            await self._resolve(approval_id, decision, by, note)
            await self._go_on(decision, by, stop=stop)
            return
        given = attrs.evolve(answer or Answer(decision=decision), decision=decision, by=by, note=note, stop=stop)
        async with opened.turn:  # one answer at a time: the dialog says which was first
            if approval_id in self._decided:
                return
            taken = await opened.deliver(given)
            if taken and approval_id not in self._decided:
                more = {"answers": given.answers, "optionId": given.option_id}
                await self._resolve(approval_id, decision, by, note, **more)
                await self._go_on(decision, by, stop=stop)

    async def settle(self, approval_id: str, decision: FinalDecision, by: str, note: str) -> None:
        """An agent's dialog was answered, or went away, where it was shown. A decided one stays as it is."""
        if approval_id in self._open:
            await self._resolve(approval_id, decision, by, note or None)
            await self._go_on(decision, by, stop=False)

    async def _resolve(
        self, approval_id: str, decision: FinalDecision, by: str | None, note: str | None, **more: Any
    ) -> None:
        opened = self._open.pop(approval_id)
        self._decided[approval_id] = decision
        events = self._events
        more = {name: value for name, value in more.items() if value is not None}
        try:
            await events.tell(
                "APPROVAL_RESOLVED", approvalId=approval_id, decision=decision, resolvedBy=by, note=note, **more
            )
        except trio.Cancelled:  # the decision never went out: it is not decided
            self._open[approval_id] = opened
            del self._decided[approval_id]
            raise
        opened.decision, opened.by, opened.note = decision, by, note
        events.lifecycle.waiting.discard(approval_id)
        opened.done.set()

    async def _go_on(self, decision: FinalDecision, by: str | None, *, stop: bool) -> None:
        """Running again once nothing waits: a denial is about the one call. Where it is to stop the session, that ends
        soon; nothing waits for it here, for the asker has to hear its no.
        """
        events = self._events
        if decision == "deny" and stop:
            self._stop_soon(f"approval denied by {by}" if by else "approval denied")
            return
        if events.lifecycle.state != "WAITING_FOR_APPROVAL":
            return  # paused: it is RUNNING when it is resumed
        idle_state: State = events.lifecycle.idle_state()
        denied = f"denied by {by}" if by else "denied"
        reason = {"allow": "approved", "deny": denied, "withdrawn": "answered in its terminal"}[decision]
        await events.become(idle_state, reason if idle_state == "RUNNING" else None)

    async def deny_all(self, note: str) -> None:
        """Deny every open approval now, and record it."""
        while self._open:
            approval_id, opened = self._open.popitem()
            self._decided[approval_id] = "deny"
            self._events.lifecycle.waiting.discard(approval_id)
            opened.by, opened.note = SESSION_END, note
            opened.done.set()
            await self._events.tell(
                "APPROVAL_RESOLVED", approvalId=approval_id, decision="deny", resolvedBy=SESSION_END, note=note
            )
