"""Approvals: what an agent asked for, and the one decision that stands.

The decision is made by a single conditional UPDATE. Reading first and writing then had two winners in 100 of 100 races.
"""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import ColumnElement, Connection, Row, select, update

from townwatch.store.rows import MAX_LIMIT, RowPage, from_json, insert_new, to_json
from townwatch.store.tables import approvals, sessions

SYSTEM = "system"
"""The name that stands for the service, which denies an approval that no person decided in time."""


class ApprovalNotFound(LookupError):
    """No such approval in this session."""


@attrs.frozen(kw_only=True)
class Approval:
    """`request`: the ApprovalRequest as on the wire. `decision` is None while it waits.

    `confirmed_ms`: when the runner said how it ended, and `outcome` what it said; None: the decision is on its way.
    Where the two differ, the decision came too late: the session had ended, or it was answered where it was asked.
    `release_ms`: the end of the `hold_ms` in which an allow can be taken back; None for a decision that is on its way.
    """

    session_id: str
    approval_id: str
    village_id: str
    request: dict[str, Any]
    requested_ms: int
    decision: str | None = None
    resolved_by: str | None = None
    note: str | None = None
    resolved_ms: int | None = None
    confirmed_ms: int | None = None
    outcome: str | None = None
    outcome_by: str | None = None
    outcome_note: str | None = None
    hold_ms: int | None = None
    release_ms: int | None = None


@attrs.frozen
class Decided:
    """The result of a decision. `won`: this call made it. `agrees`: the decision on record is the one this
    call wanted.
    """

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
    """Decide, unless that was done before: the first decision wins. Raises `ApprovalNotFound`."""
    if decision not in ("allow", "deny"):
        raise ValueError(f"decision: must be allow or deny, not {decision!r}")
    made = update(approvals).where(_is(session_id, approval_id), approvals.c.decision.is_(None))
    result = connection.execute(made.values(decision=decision, resolved_by=by, note=note, resolved_ms=now_ms))
    standing = get(connection, session_id, approval_id)
    if standing is None:
        raise ApprovalNotFound(f"session {session_id} has no approval {approval_id}")
    return Decided(standing, won=result.rowcount == 1, agrees=standing.decision == decision)


def note(
    connection: Connection,
    session_id: str,
    approval_id: str,
    now_ms: int,
    *,
    village_id: str | None,
    asked: dict[str, Any] | None,
) -> None:
    """Note what is asked, where it is not noted yet."""
    request(connection, _noted(connection, session_id, approval_id, village_id, asked, now_ms))


def record(
    connection: Connection,
    session_id: str,
    approval_id: str,
    decision: str,
    by: str,
    note: str | None,
    now_ms: int,
    *,
    village_id: str | None = None,
    asked: dict[str, Any] | None = None,
) -> Decided:
    """As `decide`, for an approval whose request is in the event log and not (yet) here: it is noted first."""
    request(connection, _noted(connection, session_id, approval_id, village_id, asked, now_ms))
    return decide(connection, session_id, approval_id, decision, by, note, now_ms)


def latest_of(connection: Connection, village_id: str, limit: int) -> list[Approval]:
    """Return the latest approvals of a village, the newest first."""
    mine = select(approvals).where(approvals.c.village_id == village_id)
    rows = connection.execute(mine.order_by(approvals.c.requested_ms.desc()).limit(limit))
    return [_approval(row) for row in rows]


def _noted(
    connection: Connection,
    session_id: str,
    approval_id: str,
    village_id: str | None,
    asked: dict[str, Any] | None,
    now_ms: int,
) -> Approval:
    if village_id is None:
        of_session = select(sessions.c.village_id).where(sessions.c.session_id == session_id)
        village_id = connection.execute(of_session).scalar()
    at = (asked or {}).get("requestedAt")
    return Approval(
        session_id=session_id,
        approval_id=approval_id,
        village_id=village_id or "",
        request=asked or {},
        requested_ms=int(at) if isinstance(at, int | float) else now_ms,
    )


def confirm(
    connection: Connection,
    session_id: str,
    approval_id: str,
    decision: str,
    by: str | None,
    note: str | None,
    now_ms: int,
    *,
    village_id: str | None = None,
    asked: dict[str, Any] | None = None,
) -> None:
    """Record how an approval ended at the runner; the first confirmation counts. A decision made here stays on record
    beside it; without one, the runner's is recorded as the decision.
    """
    request(connection, _noted(connection, session_id, approval_id, village_id, asked, now_ms))
    waiting = _is(session_id, approval_id) & approvals.c.confirmed_ms.is_(None)
    undecided = waiting & approvals.c.decision.is_(None)
    own = {"decision": decision, "resolved_by": by, "note": note, "resolved_ms": now_ms}
    connection.execute(update(approvals).where(undecided).values(**own))
    ended = {"outcome": decision, "outcome_by": by, "outcome_note": note, "confirmed_ms": now_ms}
    connection.execute(update(approvals).where(waiting).values(**ended))


def get(connection: Connection, session_id: str, approval_id: str) -> Approval | None:
    """Return one approval."""
    row = connection.execute(select(approvals).where(_is(session_id, approval_id))).first()
    return _approval(row) if row else None


def unconfirmed(connection: Connection, session_id: str) -> list[Approval]:
    """Decisions that the session's runner has not confirmed yet, oldest first."""
    query = select(approvals).where(approvals.c.session_id == session_id, approvals.c.decision.is_not(None))
    query = query.where(approvals.c.confirmed_ms.is_(None)).order_by(approvals.c.resolved_ms, approvals.c.approval_id)
    return _all(connection.execute(query).all())


def undelivered(connection: Connection) -> list[Approval]:
    """Every decision that its runner has not confirmed yet."""
    query = select(approvals).where(approvals.c.decision.is_not(None), approvals.c.confirmed_ms.is_(None))
    return _all(connection.execute(query).all())


def decided(
    connection: Connection, village_ids: Sequence[str], *, cursor: str | None = None, limit: int = 50
) -> RowPage[Approval]:
    """Return a page of the decided approvals of these villages, latest decision first. Raises ValueError for a bad
    cursor."""
    limit = max(1, min(limit, MAX_LIMIT))
    query = select(approvals).where(approvals.c.village_id.in_(village_ids), approvals.c.decision.is_not(None))
    key = approvals.c.session_id + "." + approvals.c.approval_id
    if cursor is not None:
        at, _, last = cursor.partition(".")
        if not at.isdecimal() or len(at) > 18:
            raise ValueError("cursor: must be one that this list returned")
        earlier = approvals.c.resolved_ms < int(at)
        query = query.where(earlier | ((approvals.c.resolved_ms == int(at)) & (key > last)))
    found = _all(connection.execute(query.order_by(approvals.c.resolved_ms.desc(), key).limit(limit + 1)).all())
    shown = found[:limit]
    final = shown[-1] if len(found) > limit else None
    return RowPage(shown, f"{final.resolved_ms}.{final.session_id}.{final.approval_id}" if final else None)


def _is(session_id: str, approval_id: str) -> ColumnElement[bool]:
    return (approvals.c.session_id == session_id) & (approvals.c.approval_id == approval_id)


def _all(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Approval]:
    return [_approval(row) for row in rows]


def _approval(row: Row[*tuple[Any, ...]]) -> Approval:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return Approval(**{**values, "request": from_json(values["request"])})
