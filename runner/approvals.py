"""Approvals on the runner: asked by an agent, decided by a person, and never by nobody.

No answer is a no: a timeout denies, the end of the session denies. The first decision stands; a repeated command with
it changes nothing.
"""

import time
import uuid
from typing import TYPE_CHECKING, Any

import attrs
import trio

from contracts.codec import ContractError, Decoder
from contracts.events import ApprovalRequest, Decision, State

if TYPE_CHECKING:
    from runner.session import Session

DEFAULT_TIMEOUT_SECONDS = 24 * 3600.0
LONGEST_TIMEOUT_SECONDS = 366 * 24 * 3600.0
SESSION_END = "session end"
"""Who denies what nobody decided while the session lived."""
_request = Decoder(ApprovalRequest)


@attrs.define
class _Open:
    request: ApprovalRequest
    done: trio.Event = attrs.field(factory=trio.Event)
    decision: Decision = "deny"
    by: str | None = None
    note: str | None = None


class Approvals:
    """The approvals of one session."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._open: dict[str, _Open] = {}
        self._decided: dict[str, Decision] = {}

    async def ask(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Ask and wait. The answer: {ok, decision, resolvedBy, note}. Raises `ContractError` for a wrong request."""
        session = self._session
        if session.lifecycle.ended or session.lifecycle.state == "STOPPING":
            raise ContractError("", f"the session is {session.lifecycle.state.lower()}: nobody can be asked any more")
        asked = self._make_request(fields)
        opened = self._open[asked.approval_id] = _Open(asked)
        session.usage.approval()
        session.lifecycle.waiting.add(asked.approval_id)
        try:
            await session.tell("APPROVAL_REQUESTED", approval=asked)
        except trio.Cancelled:  # nobody was asked, so nobody is told of an answer
            self._open.pop(asked.approval_id, None)
            session.lifecycle.waiting.discard(asked.approval_id)
            raise
        if session.lifecycle.state == "RUNNING":
            await session.become("WAITING_FOR_APPROVAL", asked.summary[:200])
        seconds = ((asked.timeout_at or 0) - asked.requested_at) / 1000
        with trio.move_on_after(seconds):
            await opened.done.wait()
        if not opened.done.is_set():
            await self.decide(asked.approval_id, "deny", by="timeout")
        return {"ok": True, "decision": opened.decision, "resolvedBy": opened.by, "note": opened.note}

    def _make_request(self, fields: dict[str, Any]) -> ApprovalRequest:
        now = time.time_ns() // 1_000_000
        seconds = fields.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_TIMEOUT_SECONDS:
            raise ContractError("timeoutSeconds", f"must be a number of seconds, 0 to {LONGEST_TIMEOUT_SECONDS:.0f}")
        return _request.convert(
            {
                "approvalId": f"ap_{uuid.uuid4().hex[:16]}",
                "sessionId": self._session.plan.session_id,
                "category": fields.get("category"),
                "risk": fields.get("risk"),
                "summary": self._session.clean(fields.get("summary")),
                "context": self._session.clean(fields.get("context")),
                "requestedAt": now,
                "timeoutAt": now + int(seconds * 1000),
            }
        )

    async def decide(
        self, approval_id: str, decision: Decision, by: str | None = None, note: str | None = None
    ) -> None:
        """A decision came. Raises KeyError for an approval nobody asked for; a decided one stays as it is."""
        if approval_id in self._decided:
            return
        opened = self._open.pop(approval_id)
        self._decided[approval_id] = decision
        session = self._session
        try:
            await session.tell("APPROVAL_RESOLVED", approvalId=approval_id, decision=decision, resolvedBy=by, note=note)
        except trio.Cancelled:  # it was told to nobody: it is not decided
            self._open[approval_id] = opened
            del self._decided[approval_id]
            raise
        opened.decision, opened.by, opened.note = decision, by, note
        session.lifecycle.waiting.discard(approval_id)
        opened.done.set()
        await self._go_on(decision, by)

    async def _go_on(self, decision: Decision, by: str | None) -> None:
        """Allowed: running again once nobody waits. Denied: the session ends soon; nobody waits for that here, for
        the asker has to hear its no.
        """
        session = self._session
        if decision == "deny":
            session.stop_soon(f"approval denied by {by}" if by else "approval denied")
            return
        if session.lifecycle.state != "WAITING_FOR_APPROVAL":
            return  # paused: whoever resumes it finds nobody waiting
        resting: State = session.lifecycle.resting()
        await session.become(resting, "approved" if resting == "RUNNING" else None)

    async def deny_all(self, note: str) -> None:
        """Whoever still waits gets a no, here and now, and the log says so."""
        while self._open:
            approval_id, opened = self._open.popitem()
            self._decided[approval_id] = "deny"
            self._session.lifecycle.waiting.discard(approval_id)
            opened.by, opened.note = SESSION_END, note
            opened.done.set()
            await self._session.tell(
                "APPROVAL_RESOLVED", approvalId=approval_id, decision="deny", resolvedBy=SESSION_END, note=note
            )
