"""One actor a village: its agents' work stream, its houses' activity, its members' clients.

It alone publishes what goes to the village's rooms, each event once, in the order of its session.
`context.published` says how far: it survives a crash of this actor, and what is missing after one is read back from
the journal.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from actors import houses
from actors import messages as m
from actors.compose import compose
from actors.context import Context
from actors.directory import tell_if_alive
from actors.houses import House
from actors.runtime import MailboxSpec, TrioActor
from actors.session import read_for_viewers
from actors.session_state import SessionState
from actors.timers import After
from contracts import events as e
from contracts import translate, ui
from contracts.codec import encode
from contracts.ui import Scope

log = structlog.get_logger("village")

COALESCE_SECONDS = 0.05
"""Changes of a house within this time are one broadcast."""


class VillageActor(TrioActor):
    """Messages: Forward from the router; Enter, ShowHouse, Houses from clients; RunnerStatus; ResolveAlert."""

    mailbox = MailboxSpec(capacity=4096, policy="wait")
    message_in_hand = "retry"  # `published` keeps it from being shown twice

    def __init__(self, context: Context, village_id: str) -> None:
        super().__init__()
        self._context = context
        self.village_id = village_id
        self._room = ui.village_room(village_id)
        self._houses: dict[str, House] = {}
        self._dirty: set[str] = set()
        self._timer_due: float | None = None
        self._bug_bots: set[str] = set()
        self._disk_alert = False

    async def on_start(self) -> None:
        self._context.directory.villages[self.village_id] = self.actor_ref
        for state in self._context.board.of_village(self.village_id):
            self._house_of(state)
            if self._context.published.get(state.session_id, 0) < state.seq:
                await self._publish_from_journal(state)

    async def on_receive(self, message: Any) -> Any:
        if self._disk_alert is (self._context.disk.refusal is None):
            self._disk_changed()
        match message:
            case m.DiskChanged():
                pass  # seen above
            case m.Forward():
                await self._show(message)
            case m.Enter(client_id=client_id, room=room):
                self._context.outlet.enter(client_id, room)
                if self._disk_alert and room == self._room:
                    self._tell_disk_alert(lambda event, payload: self._context.outlet.send(client_id, event, payload))
                return m.Entered(self._positions(room))
            case m.ShowHouse():
                return self._show_house(message)
            case m.Houses():
                return self._all_houses()
            case m.RunnerStatus(runner_id=runner_id, status=status):
                self._runner_status(runner_id, status)
            case m.ResolveAlert(alert_id=alert_id):
                self._resolve_alert(alert_id)
            case m.Flush():
                self._flush_houses()
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    # --- the work stream --------------------------------------------------------------------------

    async def _show(self, forward: m.Forward) -> None:
        before = forward.first - 1
        if self._context.published.get(forward.state.session_id, 0) < before:
            # a message on the way here became a dead letter, or the runner left a hole
            await self._publish_from_journal(forward.state, until=before)
        self._publish(forward.state, forward.events)

    async def _publish_from_journal(self, state: SessionState, until: int | None = None) -> None:
        """What this actor's crash kept from the people."""
        last = state.seq if until is None else until
        while (shown := self._context.published.get(state.session_id, 0)) < last:
            events = [
                event for event in await read_for_viewers(self._context, state.session_id, shown) if event.seq <= last
            ]
            if not events:
                break
            self._publish(state, events)

    def _publish(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """What was not published yet; translated only where somebody is to see it."""
        outlet, both = self._context.outlet, (self._room, ui.agent_room(state.agent_id))
        shown = self._context.published.get(state.session_id, 0)
        fresh = [event for event in events if event.seq > shown]
        if not fresh:
            return
        messages = list(compose(state, fresh, translate.for_village)) if outlet.listens(both) else ()
        for message in messages:  # from here to the note that they are shown, nothing waits and nothing can fail
            rooms = both if Scope.AGENT in message.scope else (self._room,)
            outlet.publish(message.event, message.payload, rooms, (state.session_id, message.seq))
        self._context.taps.tell(f"session:{state.session_id}", [(state, event) for event in fresh])
        self._context.published[state.session_id] = fresh[-1].seq
        self._notice(state, fresh)

    def _positions(self, room: str) -> dict[str, int]:
        states = self._context.board.of_village(self.village_id)
        if room != self._room:
            states = [state for state in states if ui.agent_room(state.agent_id) == room]
        return {state.session_id: self._context.published.get(state.session_id, 0) for state in states}

    # --- alerts -----------------------------------------------------------------------------------

    def _notice(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """What events mean beyond their own messages: the house's lights, the bug bots."""
        for event in events:
            self._notice_bug_bots(event)
        if state.repo_path:
            self._change(houses.after_all(self._house_of(state), events, self._context.clock.now_ms()))

    def _notice_bug_bots(self, event: e.RunnerEvent) -> None:
        match event:
            case e.AlertRaised(alert_id=alert_id, severity=severity):
                if severity in translate.BUG_BOT_SEVERITIES:
                    self._bug_bots.add(alert_id)
                else:  # raised again as harmless: that is how a runner says that it is over
                    self._resolve_alert(alert_id)
            case e.ProviderEventForwarded(provider_event={"type": "bug_bot_progress", "id": str() as bot, **rest}):
                progress = rest.get("progress")
                if bot in self._bug_bots and isinstance(progress, int | float):
                    self._say(translate.bug_bot_progress(bot, progress))
            case _:
                pass

    def _resolve_alert(self, alert_id: str) -> None:
        if alert_id in self._bug_bots:
            self._bug_bots.discard(alert_id)
            self._say(translate.bug_bot("bug_bot_resolved", alert_id))

    def _disk_changed(self) -> None:
        """An alert of the service's own while the journal's disk refuses. It cannot be stored, so it is said to whoever
        comes, too.
        """
        self._disk_alert = not self._disk_alert
        if self._disk_alert:
            self._tell_disk_alert(lambda event, payload: self._context.outlet.publish(event, payload, (self._room,)))
        else:
            self._say(translate.bug_bot("bug_bot_resolved", translate.DISK_ALERT_ID))

    def _tell_disk_alert(self, tell: Callable[[str, bytes], None]) -> None:
        for message in translate.disk_alert(self._context.disk.refusal or "", self._context.clock.now_ms()):
            tell(message.event, encode(message.payload))

    def _say(self, message: ui.UiMessage) -> None:
        self._context.outlet.publish(message.event, encode(message.payload), (self._room,))

    def _runner_status(self, runner_id: str, status: str) -> None:
        """A session whose runner is away is detached, not ended; back again, it is what it was."""
        for state in self._context.board.of_village(self.village_id):
            if state.runner_id != runner_id or state.ended:
                continue
            away = status == "offline"
            update = ui.AgentUpdate(
                agent_id=state.agent_id,
                status="DETACHED" if away else state.state,
                ts=self._context.clock.now_ms(),
                reason="runner offline" if away else state.reason,
            )
            rooms = (self._room, ui.agent_room(state.agent_id))
            self._context.outlet.publish("agent_update", encode(update), rooms)

    # --- houses -----------------------------------------------------------------------------------

    def _house_of(self, state: SessionState) -> House:
        found = self._houses.get(state.repo_id)
        if found is None:
            waiting = frozenset(state.pending)
            found = House(repo_id=state.repo_id, village_id=self.village_id, repo_path=state.repo_path, waiting=waiting)
            self._houses[state.repo_id] = found
        return found

    def _change(self, house: House) -> None:
        if self._houses.get(house.repo_id) == house:
            return
        self._houses[house.repo_id] = house
        self._dirty.add(house.repo_id)
        self._wake_in(COALESCE_SECONDS)

    def _wake_in(self, seconds: float) -> None:
        """One timer at a time: an earlier one that is set already will do."""
        due = self._context.clock.now_ms() + seconds * 1000
        if self._timer_due is not None and self._timer_due <= due:
            return
        self._timer_due = due
        tell_if_alive(self._context.timers, After(seconds, self.actor_ref, m.Flush()))

    def _flush_houses(self) -> None:
        self._timer_due = None
        now = self._context.clock.now_ms()
        for house in list(self._houses.values()):
            aged = houses.expire(house, now)
            if aged is not house:
                self._houses[house.repo_id] = aged
                self._dirty.add(house.repo_id)
        for repo_id in self._dirty:
            self._context.outlet.publish(
                "house.activity", encode(self._houses[repo_id].snapshot()), (ui.repo_room(repo_id),)
            )
        self._dirty.clear()
        upcoming = houses.next_change(list(self._houses.values()))
        if upcoming is not None:
            self._wake_in(max(COALESCE_SECONDS, (upcoming - now) / 1000))

    def _all_houses(self) -> list[House]:
        for state in self._context.board.of_village(self.village_id):
            if state.repo_path:
                self._house_of(state)
        return list(self._houses.values())

    def _show_house(self, message: m.ShowHouse) -> bool:
        """Whether there is such a house here."""
        self._all_houses()
        house = self._houses.get(message.repo_id)
        if house is None:
            return False
        self._context.outlet.enter(message.client_id, ui.repo_room(message.repo_id))
        self._context.outlet.send(message.client_id, "house.activity", encode(house.snapshot()))
        return True
