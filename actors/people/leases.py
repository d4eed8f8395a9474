"""The keyboard leases as their session keeps them: who may type now, and what all are told when that changes."""

from collections.abc import Callable

import attrs

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.people import keyboard
from townwatch.actors.people.keyboard import Keyboard
from townwatch.actors.ports import Ref
from townwatch.actors.session.state import SessionState
from townwatch.actors.timers import After


class KeyboardLeases:
    """Used by a session's actor alone; what it keeps is in the context and outlives the actor's crash."""

    def __init__(self, context: Context, session: Callable[[], Ref]) -> None:
        self._context = context
        self._session = session

    def check(self, state: SessionState, user_id: str | None) -> None:
        """Raise `KeyboardHeld` where another person holds the keyboard."""
        keyboard.check(self._context.keyboards.get(state.session_id), user_id)

    def handle(
        self, message: m.UseKeyboard | m.KeyboardLeft | m.KeyboardExpired, state: SessionState
    ) -> Keyboard | None:
        """Take, release, offer or ask; note that a connection is gone; end a lease whose time is over."""
        now, known = self._context.clock.now_ms(), self._known(state)
        match message:
            case m.UseKeyboard():
                if state.ended:
                    raise m.SessionOver(f"the session has ended ({state.state})")
                found = _used(known, message, now)
            case m.KeyboardLeft(client_id=client_id):
                found = keyboard.left(known, client_id, now)
            case m.KeyboardExpired():
                found = keyboard.expire(known, now)
        self._keep(state, known, found)
        return found

    def resized(self, state: SessionState, cols: int, rows: int) -> None:
        """Note the size that the holder has set."""
        known = self._known(state)
        if known.lease is not None:
            self._context.keyboards[state.session_id] = attrs.evolve(known, cols=cols, rows=rows)

    def forget(self, state: SessionState) -> None:
        """The session has ended: there is no keyboard any more."""
        if self._context.keyboards.pop(state.session_id, None) is not None:
            self._tell(state, Keyboard())

    def _known(self, state: SessionState) -> Keyboard:
        return self._context.keyboards.get(state.session_id) or Keyboard()

    def _keep(self, state: SessionState, known: Keyboard, found: Keyboard) -> None:
        """Keep it, tell it, and look again when a lease ends whose connection is gone."""
        if found == known:
            return
        self._context.keyboards[state.session_id] = found
        if found.lease is not None and found.lease.free_at is not None:
            wait = max(0.0, (found.lease.free_at - self._context.clock.now_ms()) / 1000)
            tell_if_alive(self._context.timers, After(wait, self._session(), m.KeyboardExpired()))
        self._context.present.add(state.village_id)
        self._tell(state, found)

    def _tell(self, state: SessionState, found: Keyboard) -> None:
        told = m.Announce("keyboard", keyboard.message(state, found), state.agent_id, village=False)
        tell_if_alive(self._context.directory.villages.get(state.village_id), told)


def _used(known: Keyboard, message: m.UseKeyboard, now: int) -> Keyboard:
    person = keyboard.Typist(user_id=message.user_id, name=message.name)
    match message.action:
        case "take":
            return keyboard.take(known, person, message.client_id, now, over=message.over)
        case "release":
            return keyboard.release(known, person.user_id)
        case "offer":
            to = keyboard.Typist(user_id=message.to or "", name=message.to_name or message.to or "")
            return keyboard.offer(known, person.user_id, to, now)
        case _:
            return keyboard.ask(known, person)
