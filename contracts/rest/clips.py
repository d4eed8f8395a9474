"""Parts of recordings that are shared by a link."""

from typing import Annotated, Any

import attrs
import msgspec

from townwatch.contracts.events import Id
from townwatch.contracts.rest.links import LinkSecret
from townwatch.contracts.rest.shared import Cursor, Limit

Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
MAX_HOURS = 30 * 24


@attrs.frozen(kw_only=True)
class NewClip:
    """The events `fromSeq` to `toSeq`, both of them too. `hours`: until the link ends, 30 days at most."""

    from_seq: Seq
    to_seq: Seq
    hours: Annotated[int, msgspec.Meta(ge=1, le=MAX_HOURS)] = 24


@attrs.frozen(kw_only=True)
class SharedClip:
    """`path`: where the page shows the part to who has the link. It is shown here once and kept nowhere."""

    clip_id: str
    path: str = attrs.field(repr=False)
    expires_at: float


@attrs.frozen(kw_only=True)
class ClipQuery:
    """`sessionId`: parts of this session only. `cursor`: the `next` of the page before."""

    session_id: Id | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class ClipRow:
    """A part that is shared. `mine`: you made it."""

    clip_id: str
    session_id: str
    agent_name: str
    from_seq: int
    to_seq: int
    made_by: str
    made_at: float
    expires_at: float
    mine: bool


@attrs.frozen(kw_only=True)
class ClipList:
    items: list[ClipRow]
    next: str | None


@attrs.frozen(kw_only=True)
class OpenClip:
    """`link`: what stands behind the # in its address. `after`: the `next` of the answer before."""

    link: LinkSecret = attrs.field(repr=False)
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


@attrs.frozen(kw_only=True)
class ClipScreen:
    """A terminal: its size, and what draws it."""

    cols: int
    rows: int
    data: str


@attrs.frozen(kw_only=True)
class ClipView:
    """A part of a session. `items`: its events as viewers get them, without the names of village and session.
    `next`: ask again with it as `after`; null at the end. `screen`: the terminal before the first event; null: it was
    empty, or it is not the first page.
    """

    agent_name: str
    shared_by: str
    from_seq: int
    to_seq: int
    expires_at: float
    screen: ClipScreen | None
    items: list[dict[str, Any]]
    next: int | None
