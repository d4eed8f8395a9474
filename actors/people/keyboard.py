"""The keyboard of a session: a lease of one person, named to all who look on. Pure.

A free keyboard may be typed on by every client that may drive: clients of old know nothing of leases. While a person
holds it, only that person types and sets the terminal's size. The lease outlives its connection by `GONE_MS`.
"""

import attrs

from townwatch.actors.session.state import SessionState
from townwatch.contracts import ui

GONE_MS = 30_000
MOST_ASKING = 20


class KeyboardHeld(Exception):
    """Another person holds the keyboard."""


@attrs.frozen(kw_only=True)
class Typist:
    user_id: str
    name: str


@attrs.frozen(kw_only=True)
class Lease:
    """`client_id`: the connection that holds it; None after it was handed over, until the new holder takes it.
    `free_at`: when it ends, where its connection is gone.
    """

    person: Typist
    since: int
    client_id: str | None
    free_at: int | None = None


@attrs.frozen(kw_only=True)
class Keyboard:
    """`asking`: the people who have asked for it. `cols`, `rows`: the size that its holder has set.
    `turn`: how often it was taken: a connection that took it before holds it no more.
    """

    lease: Lease | None = None
    asking: tuple[Typist, ...] = ()
    cols: int | None = None
    rows: int | None = None
    turn: int = 0


def check(keyboard: Keyboard | None, user_id: str | None) -> None:
    """Raise `KeyboardHeld` where another person holds it."""
    lease = keyboard.lease if keyboard is not None else None
    if lease is not None and lease.person.user_id != user_id:
        raise KeyboardHeld(f"{lease.person.name} holds the keyboard; ask for it, or take it over")


def take(keyboard: Keyboard, person: Typist, client_id: str, now_ms: int, *, over: bool = False) -> Keyboard:
    """Give it to a connection of this person; `over`: also where another person holds it. Raises `KeyboardHeld`."""
    if not over:
        check(keyboard, person.user_id)
    lease = keyboard.lease
    since = lease.since if lease is not None and lease.person.user_id == person.user_id else now_ms
    asking = tuple(one for one in keyboard.asking if one.user_id != person.user_id)
    lease = Lease(person=person, since=since, client_id=client_id)
    return attrs.evolve(keyboard, lease=lease, asking=asking, turn=keyboard.turn + 1)


def release(keyboard: Keyboard, user_id: str) -> Keyboard:
    """Let go of it; nothing changes where the person does not hold it."""
    if keyboard.lease is None or keyboard.lease.person.user_id != user_id:
        return keyboard
    return attrs.evolve(keyboard, lease=None, asking=())


def offer(keyboard: Keyboard, user_id: str, to: Typist, now_ms: int) -> Keyboard:
    """Hand it over. The new holder has `GONE_MS` to take it. Raises `KeyboardHeld` for who does not hold it."""
    check(keyboard, user_id)
    lease = Lease(person=to, since=now_ms, client_id=None, free_at=now_ms + GONE_MS)
    asking = tuple(one for one in keyboard.asking if one.user_id != to.user_id)
    return attrs.evolve(keyboard, lease=lease, asking=asking)


def ask(keyboard: Keyboard, person: Typist) -> Keyboard:
    """Tell the holder that this person wants it; nothing changes where it is free or theirs."""
    lease = keyboard.lease
    if lease is None or lease.person.user_id == person.user_id or person in keyboard.asking:
        return keyboard
    return attrs.evolve(keyboard, asking=(*keyboard.asking, person)[-MOST_ASKING:])


def left(keyboard: Keyboard, client_id: str, now_ms: int) -> Keyboard:
    """The connection that held it is gone."""
    lease = keyboard.lease
    if lease is None or lease.client_id != client_id or lease.free_at is not None:
        return keyboard
    return attrs.evolve(keyboard, lease=attrs.evolve(lease, free_at=now_ms + GONE_MS))


def expire(keyboard: Keyboard, now_ms: int) -> Keyboard:
    """Free the keyboard where its time is over."""
    lease = keyboard.lease
    if lease is None or lease.free_at is None or lease.free_at > now_ms:
        return keyboard
    return attrs.evolve(keyboard, lease=None, asking=())


def message(state: SessionState, keyboard: Keyboard) -> ui.KeyboardMessage:
    """Return what people are told of the keyboard."""
    lease = keyboard.lease
    return ui.KeyboardMessage(
        agent_id=state.agent_id,
        session_id=state.session_id,
        holder=None if lease is None else _shown(lease.person),
        since=None if lease is None else lease.since,
        free_at=None if lease is None else lease.free_at,
        asking=[_shown(one) for one in keyboard.asking],
        cols=keyboard.cols,
        rows=keyboard.rows,
        turn=keyboard.turn,
    )


def _shown(person: Typist) -> ui.KeyboardPerson:
    return ui.KeyboardPerson(user_id=person.user_id, name=person.name)
