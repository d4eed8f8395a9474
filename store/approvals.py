"""Approvals: what an agent asked for, and the one decision that stands.

The decision is made by a single conditional UPDATE. Reading first and writing then had two winners in 100 of 100 races.
"""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import ColumnElement, Connection, Row, select, update

from store.rows import MAX_LIMIT, Page, from_json, insert_new, to_json
from store.tables import approvals, sessions

SYSTEM = "system"
"""Who decides when nobody did in time."""


class UnknownApproval(LookupError):
    """No such approval in this session."""


@attrs.frozen(kw_only=True)
class Approval:
    """`request`: the ApprovalRequest as on the wire. `decision` is None while it waits.

    `confirmed_ms`: when the runner said that it has the decision; None: send it again.
    """

    session_id: str
    approval_id: str
    village_id: str
    request: dict[str, Any]
    requested_ms: int
    timeout_ms: int | None = None
    decision: str | None = None
    resolved_by: str | None = None
    note: str | None = None
    resolved_ms: int | None = None
    confirmed_ms: int | None = None


@attrs.frozen
class Decided:
    """What became of a decision. `won`: this call made it. `agrees`: what stands is what this call wanted."""

    standing: Approval
    won: bool
    agrees: bool


def request(connection: Connection, approval: Approval) -> bool:
    """Note what an agent asks for; False (and nothing changes) where it is known already."""
    values = attrs.asdict(approval, recurse=False) | {"request": to_json(approval.request)}
    return insert_new(connection, approvals, values)


def decide(
    connection: Connection, session_id: str, approval_id: str, decision: str, by: str, note: str | None, now_ms: int
) -> Decided:
    """Decide, unless somebody did: the first one wins. Raises `UnknownApproval`."""
    if decision not in ("allow", "deny"):
        raise ValueError(f"decision: must be allow or deny, not {decision!r}")
    made = update(approvals).where(_is(session_id, approval_id), approvals.c.decision.is_(None))
    result = connection.execute(made.values(decision=decision, resolved_by=by, note=note, resolved_ms=now_ms))
    standing = get(connection, session_id, approval_id)
    if standing is None:
        raise UnknownApproval(f"session {session_id} has no approval {approval_id}")
    return Decided(standing, won=result.rowcount == 1, agrees=standing.decision == decision)


def record(
    connection: Connection, session_id: str, approval_id: str, decision: str, by: str, note: str | None, now_ms: int
) -> Decided:
    """As `decide`, for an approval whose request is in the event log and not (yet) here: it is noted bare first."""
    village_id = connection.execute(select(sessions.c.village_id).where(sessions.c.session_id == session_id)).scalar()
    bare = Approval(
        session_id=session_id, approval_id=approval_id, village_id=village_id or "", request={}, requested_ms=now_ms
    )
    request(connection, bare)
    return decide(connection, session_id, approval_id, decision, by, note, now_ms)


def expire(connection: Connection, now_ms: int) -> list[Approval]:
    """Deny what waited past its time; returns what this call denied."""
    overdue = update(approvals).where(approvals.c.decision.is_(None), approvals.c.timeout_ms <= now_ms)
    values = {"decision": "deny", "resolved_by": SYSTEM, "note": "nobody decided in time", "resolved_ms": now_ms}
    return _all(connection.execute(overdue.values(**values).returning(approvals)).all())


def confirm(
    connection: Connection,
    session_id: str,
    approval_id: str,
    decision: str,
    by: str | None,
    note: str | None,
    now_ms: int,
) -> None:
    """How it ended at the runner; the first confirmation counts. It stands over a decision that came too late there:
    the session had ended, or the time was up.
    """
    waiting = _is(session_id, approval_id) & approvals.c.confirmed_ms.is_(None)
    other = approvals.c.decision.is_(None) | (approvals.c.decision != decision)
    if by is not None:
        other |= approvals.c.resolved_by != by
    ended = {"decision": decision, "resolved_by": by, "note": note, "resolved_ms": now_ms}
    connection.execute(update(approvals).where(waiting, other).values(**ended))
    connection.execute(update(approvals).where(waiting).values(confirmed_ms=now_ms))


def get(connection: Connection, session_id: str, approval_id: str) -> Approval | None:
    """One."""
    row = connection.execute(select(approvals).where(_is(session_id, approval_id))).first()
    return _approval(row) if row else None


def unconfirmed(connection: Connection, session_id: str) -> list[Approval]:
    """Decisions that the session's runner has not confirmed yet, oldest first."""
    query = select(approvals).where(approvals.c.session_id == session_id, approvals.c.decision.is_not(None))
    query = query.where(approvals.c.confirmed_ms.is_(None)).order_by(approvals.c.resolved_ms, approvals.c.approval_id)
    return _all(connection.execute(query).all())


def of_session(connection: Connection, session_id: str, *, pending_only: bool = False) -> list[Approval]:
    """A session's, oldest first."""
    query = select(approvals).where(approvals.c.session_id == session_id)
    if pending_only:
        query = query.where(approvals.c.decision.is_(None))
    return _all(connection.execute(query.order_by(approvals.c.requested_ms, approvals.c.approval_id)).all())


def pending(
    connection: Connection, village_ids: Sequence[str], *, cursor: str | None = None, limit: int = 50
) -> Page[Approval]:
    """What waits for a decision in these villages, oldest first. A cursor that makes no sense is a ValueError."""
    limit = max(1, min(limit, MAX_LIMIT))
    query = select(approvals).where(approvals.c.village_id.in_(village_ids), approvals.c.decision.is_(None))
    key = approvals.c.session_id + "." + approvals.c.approval_id
    if cursor is not None:
        at, _, last = cursor.partition(".")
        if not at.isdecimal() or len(at) > 18:
            raise ValueError("cursor: is not one that this list gave out")
        later = approvals.c.requested_ms > int(at)
        query = query.where(later | ((approvals.c.requested_ms == int(at)) & (key > last)))
    found = _all(connection.execute(query.order_by(approvals.c.requested_ms, key).limit(limit + 1)).all())
    shown = found[:limit]
    last = shown[-1] if len(found) > limit else None
    return Page(shown, f"{last.requested_ms}.{last.session_id}.{last.approval_id}" if last else None)


def _is(session_id: str, approval_id: str) -> ColumnElement[bool]:
    return (approvals.c.session_id == session_id) & (approvals.c.approval_id == approval_id)


def _all(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Approval]:
    return [_approval(row) for row in rows]


def _approval(row: Row[*tuple[Any, ...]]) -> Approval:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return Approval(**{**values, "request": from_json(values["request"])})
