"""Parts of recordings that people shared by a link. Only the hash of what the link holds is kept."""

from collections.abc import Sequence

import attrs
from sqlalchemy import Connection, delete, func, select

from townwatch.store.rows import to_attrs
from townwatch.store.tables import clips, users

MOST = 200
"""Of one village at a time."""


class TooManyClips(Exception):
    """A village has as many as it may have."""


@attrs.frozen(kw_only=True)
class Clip:
    """The events `from_seq` to `to_seq` of one session. `screen`: its terminal as it stood before them, in JSON."""

    clip_id: str
    hash: str = attrs.field(repr=False)
    village_id: str
    session_id: str
    user_id: str
    from_seq: int
    to_seq: int
    screen: str | None = attrs.field(repr=False)
    created_ms: int
    expires_ms: int


@attrs.frozen(kw_only=True)
class ListedClip:
    """One of a list, with its maker's name."""

    clip: Clip
    maker: str


def add(connection: Connection, clip: Clip) -> None:
    """Store a new one; forgets those that are over. Raises `TooManyClips`."""
    connection.execute(delete(clips).where(clips.c.expires_ms <= clip.created_ms))
    count = select(func.count()).select_from(clips).where(clips.c.village_id == clip.village_id)
    if connection.execute(count).scalar_one() >= MOST:
        raise TooManyClips(f"{MOST} parts of recordings are shared in this village; end some of them first")
    connection.execute(clips.insert().values(**attrs.asdict(clip)))


def by_hash(connection: Connection, hash_: str, now_ms: int) -> Clip | None:
    """Return the one that a link opens, or None where it is over."""
    row = connection.execute(select(clips).where(clips.c.hash == hash_, clips.c.expires_ms > now_ms)).first()
    return None if row is None else to_attrs(Clip, row)


def of_village(connection: Connection, village_id: str, user_id: str | None, now_ms: int) -> Sequence[ListedClip]:
    """Return those that still open something, newest first. `user_id`: of one maker only."""
    query = (
        select(clips, users.c.name)
        .join(users, users.c.user_id == clips.c.user_id)
        .where(clips.c.village_id == village_id, clips.c.expires_ms > now_ms)
        .order_by(clips.c.created_ms.desc(), clips.c.clip_id)
    )
    if user_id is not None:
        query = query.where(clips.c.user_id == user_id)
    return [
        ListedClip(clip=Clip(**dict(zip(_FIELDS, values, strict=True))), maker=maker)
        for *values, maker in connection.execute(query)
    ]


def end(connection: Connection, village_id: str, clip_id: str, user_id: str | None) -> Clip | None:
    """Delete one and return it; None where there is none. `user_id`: only where it is this maker's."""
    mine = (clips.c.village_id == village_id) & (clips.c.clip_id == clip_id)
    if user_id is not None:
        mine &= clips.c.user_id == user_id
    row = connection.execute(delete(clips).where(mine).returning(clips)).first()
    return None if row is None else to_attrs(Clip, row)


_FIELDS = tuple(attrs.fields_dict(Clip))
assert tuple(column.name for column in clips.columns) == _FIELDS
