"""Links in calls: each opens one approval for one person, decides it once, and ends. Only their hashes are kept."""

import attrs
from sqlalchemy import Connection, delete, select, update

from townwatch.store.calls.tables import call_links
from townwatch.store.rows import to_attrs


@attrs.frozen(kw_only=True)
class CallLink:
    """`used_ms`: when a decision was made with it."""

    hash: str = attrs.field(repr=False)
    user_id: str
    channel_id: str
    village_id: str
    session_id: str
    approval_id: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None


def add(connection: Connection, link: CallLink) -> None:
    """Store a new one."""
    connection.execute(call_links.insert().values(**attrs.asdict(link)))


def get(connection: Connection, hash_: str, now_ms: int) -> CallLink | None:
    """Return one that is not over, used or not."""
    query = select(call_links).where(call_links.c.hash == hash_, call_links.c.expires_ms > now_ms)
    row = connection.execute(query).first()
    return None if row is None else to_attrs(CallLink, row)


def use(connection: Connection, hash_: str, now_ms: int) -> bool:
    """Use one up; False where it is used or over. Of several at once, one does."""
    good = (call_links.c.hash == hash_) & call_links.c.used_ms.is_(None) & (call_links.c.expires_ms > now_ms)
    return connection.execute(update(call_links).where(good).values(used_ms=now_ms)).rowcount == 1


def give_back(connection: Connection, hash_: str) -> None:
    """Make one good again whose decision was not made, or was taken back."""
    connection.execute(update(call_links).where(call_links.c.hash == hash_).values(used_ms=None))


def forget(connection: Connection, now_ms: int) -> int:
    """Delete those that are over; how many."""
    return connection.execute(delete(call_links).where(call_links.c.expires_ms <= now_ms)).rowcount


def forget_all_of(connection: Connection, channel_id: str) -> None:
    """Delete the links that were sent to a channel."""
    connection.execute(delete(call_links).where(call_links.c.channel_id == channel_id))
