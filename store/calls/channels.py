"""Channels: how a person is called. Addresses are sealed by the caller."""

from collections.abc import Mapping
from typing import Any

import attrs
from sqlalchemy import Connection, delete, func, select, update

from townwatch.store.calls.tables import call_deliveries, channels, village_escalations
from townwatch.store.calls.targets import CHANNEL
from townwatch.store.rows import from_json, new_id, to_attrs, to_json
from townwatch.store.tables import members, users

PER_PERSON = 20
CONFIRM_TRIES = 10


class TooManyChannels(Exception):
    """A person has no room for another channel."""

    def __init__(self) -> None:
        super().__init__(f"a person has at most {PER_PERSON} channels; remove one first")


@attrs.frozen(kw_only=True)
class Channel:
    """A channel as it is stored. `form`: push, mail, ntfy, slack or teams. `villages`: JSON, the key of a village → its
    own kinds. `after_seconds`: how long an approval has to wait for an answer before it calls here. `confirm_hash`: of
    the code that its address was sent and that has not come back yet.
    """

    channel_id: str
    user_id: str
    form: str
    name: str
    shown: str
    address: str = attrs.field(repr=False)
    kinds: str
    villages: str = "{}"
    after_seconds: int = 0
    enabled: bool = True
    confirm_hash: str | None = attrs.field(default=None, repr=False)
    confirm_tries: int = 0
    from_position: int
    dropped: int = 0
    trouble: str | None = None
    created_ms: int

    def kinds_in(self, village_id: str) -> list[str]:
        """Return the kinds that call here from one village (by key)."""
        own: list[str] | None = self.by_village().get(village_id)
        return self.kinds.split() if own is None else own

    def by_village(self) -> dict[str, list[str]]:
        """Return the villages (by key) that have kinds of their own here."""
        return from_json(self.villages)


@attrs.frozen(kw_only=True)
class Reach:
    """A channel with the person that it calls. `roles`: by key of the village; empty for a person who is locked out."""

    channel: Channel
    user_name: str
    roles: dict[str, str]


@attrs.frozen(kw_only=True)
class Escalation:
    """Minutes that an approval of a village waits for an answer before it goes to the next person, and who that is, in
    order. `minutes` 0: it is not passed on. No `people`: to all owners at once. `waits`: person → minutes behind the
    one before, where they are others than `minutes`; 0 is together with the one before.
    """

    minutes: int = 10
    people: tuple[str, ...] = ()
    waits: Mapping[str, int] = attrs.field(factory=dict[str, int])

    def wait_of(self, user_id: str) -> int:
        """Return how many minutes after the one before a person is called."""
        return self.waits.get(user_id, self.minutes)


def new_channel_id() -> str:
    """Return an id; the address is sealed for it before the row is there."""
    return new_id(CHANNEL)


def add(connection: Connection, channel: Channel) -> None:
    """Store a new one. Raises `TooManyChannels`."""
    count = select(func.count()).select_from(channels).where(channels.c.user_id == channel.user_id)
    if connection.execute(count).scalar_one() >= PER_PERSON:
        raise TooManyChannels
    connection.execute(channels.insert().values(**attrs.asdict(channel)))


def of_person(connection: Connection, user_id: str) -> list[Channel]:
    """Return a person's channels, the oldest first."""
    query = select(channels).where(channels.c.user_id == user_id).order_by(channels.c.created_ms, channels.c.channel_id)
    return [to_attrs(Channel, row) for row in connection.execute(query)]


def get(connection: Connection, user_id: str, channel_id: str) -> Channel | None:
    """Return one of a person."""
    row = connection.execute(select(channels).where(_is(user_id, channel_id))).first()
    return None if row is None else to_attrs(Channel, row)


def change(connection: Connection, user_id: str, channel_id: str, **values: object) -> Channel | None:
    """Change columns and return the row; None where it is not there any more."""
    if values:
        connection.execute(update(channels).where(_is(user_id, channel_id)).values(**values))
    return get(connection, user_id, channel_id)


def confirm(connection: Connection, user_id: str, channel_id: str, code_hash: str, position: int) -> bool:
    """Switch a channel on whose code came back; False for a wrong code, and after too many of them."""
    mine = _is(user_id, channel_id) & channels.c.confirm_hash.is_not(None) & (channels.c.confirm_tries < CONFIRM_TRIES)
    good = update(channels).where(mine, channels.c.confirm_hash == code_hash)
    if connection.execute(good.values(confirm_hash=None, enabled=True, from_position=position)).rowcount:
        return True
    connection.execute(update(channels).where(mine).values(confirm_tries=channels.c.confirm_tries + 1))
    return False


def remove(connection: Connection, user_id: str, channel_id: str) -> bool:
    """Delete one with its messages; whether it was there."""
    if connection.execute(delete(channels).where(_is(user_id, channel_id))).rowcount == 0:
        return False
    connection.execute(delete(call_deliveries).where(call_deliveries.c.target_id == channel_id))
    return True


def reach(connection: Connection, channel_id: str) -> Reach | None:
    """Return one that is on, and where its person belongs now."""
    query = select(channels).where(channels.c.channel_id == channel_id, channels.c.enabled)
    row = connection.execute(query).first()
    if row is None:
        return None
    channel = to_attrs(Channel, row)
    name, disabled = connection.execute(
        select(users.c.name, users.c.disabled).where(users.c.user_id == channel.user_id)
    ).one()
    where = select(members.c.village_id, members.c.role).where(members.c.user_id == channel.user_id)
    roles = {} if disabled else {row.village_id: row.role for row in connection.execute(where)}
    return Reach(channel=channel, user_name=name, roles=roles)


def of_members(connection: Connection, village_id: str) -> list[tuple[Channel, str]]:
    """Return the channels that are on of a village's members, with the member's role."""
    source = channels.join(members, members.c.user_id == channels.c.user_id).join(
        users, users.c.user_id == channels.c.user_id
    )
    where = (members.c.village_id == village_id) & channels.c.enabled & ~users.c.disabled
    found: list[tuple[Channel, str]] = []
    for row in connection.execute(select(*channels.c, members.c.role).select_from(source).where(where)):
        values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
        role = values.pop("role")
        found.append((Channel(**values), role))
    return found


def escalation_of(connection: Connection, village_id: str) -> Escalation:
    """Return how a village passes approvals on; the defaults where it does not say."""
    table = village_escalations
    row = connection.execute(select(table.c.minutes, table.c.people).where(table.c.village_id == village_id)).first()
    if row is None:
        return Escalation()
    stored: list[str | list[Any]] = from_json(row.people)
    steps = [(one, None) if isinstance(one, str) else (str(one[0]), int(one[1])) for one in stored]
    waits = {user_id: wait for user_id, wait in steps if wait is not None}
    return Escalation(minutes=row.minutes, people=tuple(user_id for user_id, _ in steps), waits=waits)


def escalation_values(escalation: Escalation, village_id: str, by: str, now_ms: int) -> dict[str, Any]:
    """Return the columns of a village's setting."""
    waits = escalation.waits
    people = to_json([[one, waits[one]] if one in waits else one for one in escalation.people])
    values = {"village_id": village_id, "minutes": escalation.minutes, "people": people}
    return {**values, "changed_by": by, "changed_ms": now_ms}


def _is(user_id: str, channel_id: str):
    return (channels.c.user_id == user_id) & (channels.c.channel_id == channel_id)
