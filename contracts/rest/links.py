"""Links in calls: one approval each, for the person who was called."""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.events import Decision
from townwatch.contracts.rest.approvals import PendingApproval
from townwatch.contracts.rest.shared import Note

LinkSecret = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


@attrs.frozen(kw_only=True)
class OpenLink:
    """`link`: what stands behind the # in its address."""

    link: LinkSecret = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class LinkDecision(OpenLink):
    """`holdMs`: as of a decision on the page."""

    decision: Decision
    note: Note | None = None
    hold_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 5000


@attrs.frozen(kw_only=True)
class LinkView:
    """`person`: whose link it is. `state`: waiting; held, an allow that can still be taken back; decided. `signIn`: why
    this one is answered only after signing in. `serverTime`: now, by the clock of `releaseAt` and `timeoutAt`.
    """

    person: str
    village: str
    agent_name: str
    state: Literal["waiting", "held", "decided"]
    approval: PendingApproval
    server_time: int
    mine: bool = False
    """Whether the decision was made with this link."""
    sign_in: str | None = None
