"""Alerts and their acknowledgements."""

from typing import Literal

import attrs

from townwatch.contracts.events import Id, Severity
from townwatch.contracts.rest.shared import Cursor, Limit


@attrs.frozen(kw_only=True)
class AlertQuery:
    """`state`: open, or resolved by a person and not raised again since."""

    village_id: Id | None = None
    state: Literal["open", "resolved"] = "open"
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class AlertView:
    """An alert of severity error or critical. `alertId` is unique in its session only."""

    session_id: str
    alert_id: str
    agent_id: str
    village_id: str
    severity: Severity
    category: str
    title: str
    description: str
    raised_at: float
    resolved_by: str | None
    resolved_at: int | None


@attrs.frozen(kw_only=True)
class AlertList:
    items: list[AlertView]
    next: str | None
