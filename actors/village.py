"""One actor a village: its agents' work stream, its houses' activity, its members' clients.

It alone publishes what goes to the village's rooms, each event once, in the order of its session.
`context.published` says how far: it survives a crash of this actor, and what is missing after one is read back from
the journal.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import structlog

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.log_reading import read_for_viewers
from townwatch.actors.rendering import houses
from townwatch.actors.rendering.compose import compose
from townwatch.actors.rendering.house_news import HouseNews, ListsChanged
from townwatch.actors.rendering.houses import HouseState
from townwatch.actors.session.state import SessionState
from townwatch.actors.timers import Alarm, Rings
from townwatch.contracts import events as e, scopes, translate, ui
from townwatch.contracts.codec import encode
from townwatch.contracts.ui import Scope
from townwatch.runtime import MailboxSpec, TrioActor

log = structlog.get_logger("village")

COALESCE_SECONDS = 0.05
"""Changes of a house within this time are one broadcast."""
LOOK_SECONDS = 10.0
"""The longest time between two looks while anything is lit: a timer that an earlier one overtook is kept no longer."""


class VillageActor(TrioActor):
    """Messages: Forward from the router; Enter, ShowHouse, Houses from clients; RunnerStatus; ResolveAlert;
    ListsChanged."""

    mailbox = MailboxSpec(capacity=4096, policy="wait")
    message_in_hand = "retry"  # `published` keeps it from being shown twice

    def __init__(self, context: Context, village_id: str) -> None:
        super().__init__()
        self._context = context
        self.village_id = village_id
        self._room = scopes.village_room(village_id)
        self._output_room = scopes.output_room(village_id)
        self._houses: dict[str, HouseState] = {}
        self._dirty: set[str] = set()
        self._news = HouseNews(context, village_id)
        self._alarm = Alarm(context)
        self._bug_bots: set[scopes.AlertKey] = set()
        self._disk_alert = False

    async def on_start(self) -> None:
        self._context.directory.villages[self.village_id] = self.actor_ref
        for state in self._context.board.of_village(self.village_id):
            self._house_of(state)
            self._bug_bots |= {scopes.alert_key(state.session_id, alert_id) for alert_id in state.alerts}
            if self._context.published.get(state.session_id, 0) < state.seq:
                await self._publish_from_journal(state)
        self._wake_in(COALESCE_SECONDS)  # an earlier life may have left something to tell

    async def on_receive(self, message: Any) -> Any:
        if self._disk_alert is (self._context.disk.refusal is None):
            self._disk_changed()
        match message:
            case m.DiskChanged():
                pass  # seen above
            case m.ShowNotice():
                self._tell_notices(lambda event, payload: self._context.outlet.publish(event, payload, (self._room,)))
            case m.Forward():
                await self._show(message)
            case m.Enter(client_id=client_id, room=room, output=output):
                self._context.outlet.enter(client_id, room)
                if room == self._room:  # a join replaces the one before
                    turn = self._context.outlet.enter if output else self._context.outlet.leave
                    turn(client_id, self._output_room)
                if self._disk_alert and room == self._room:
                    self._tell_disk_alert(lambda event, payload: self._context.outlet.send(client_id, event, payload))
                if room == self._room:
                    self._tell_notices(lambda event, payload: self._context.outlet.send(client_id, event, payload))
                return m.Entered(self._positions(room))
            case m.ShowHouse():
                return self._show_house(message)
            case m.Houses():
                return self._all_houses()
            case m.HouseRenamed(repo_id=repo_id):
                return self._renamed(repo_id)
            case m.RunnerStatus(runner_id=runner_id, status=status):
                # Those that waited for room may come behind a later one: what is so now is told.
                self._runner_status(runner_id, self._context.last_seen.get(runner_id, (status, 0.0))[0])
            case m.Announce(event=event, payload=payload, agent_id=agent_id, village=village):
                rooms = (*((self._room,) if village else ()), scopes.agent_room(self.village_id, agent_id))
                self._context.outlet.publish(event, encode(payload), rooms)
            case m.ResolveAlert(session_id=session_id, alert_id=alert_id):
                self._resolve_alert(scopes.alert_key(session_id, alert_id))
            case ListsChanged(session_id=session_id):
                if (state := self._context.board.session(session_id)) is not None:
                    self._wake_in(self._news.note(state))
            case Rings():
                if self._alarm.answers(message):
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
        """Publish from the journal the events that this actor's crash left unpublished."""
        last = state.seq if until is None else until
        while (shown := self._context.published.get(state.session_id, 0)) < last:
            events = [
                event for event in await read_for_viewers(self._context, state.session_id, shown) if event.seq <= last
            ]
            if not events:
                break
            self._publish(state, events)

    def _publish(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """Publish the events that were not published yet; translate them only if a client listens."""
        outlet, both = self._context.outlet, (self._room, scopes.agent_room(self.village_id, state.agent_id))
        shown = self._context.published.get(state.session_id, 0)
        fresh = [event for event in events if event.seq > shown]
        if not fresh:
            return
        messages = list(compose(state, fresh, translate.for_village)) if outlet.listens(both) else ()
        progress = self._context.progress
        for message in messages:  # from here to the note that they are shown, nothing waits and nothing can fail
            if progress is not None:
                progress.telling("v", state.session_id, message.seq)
            rooms, tag = both if Scope.AGENT in message.scope else (self._room,), (state.session_id, message.seq)
            if message.output:
                watchers = scopes.terminal_room(state.village_id, state.agent_id)
                outlet.publish(message.event, message.payload, (self._output_room, *rooms[1:]), tag, without=watchers)
            else:
                outlet.publish(message.event, message.payload, rooms, tag)
        if progress is not None:
            progress.told("v", state.session_id, fresh[-1].seq)
        self._context.subscriptions.tell(f"session:{state.session_id}", [(state, event) for event in fresh])
        self._context.published[state.session_id] = fresh[-1].seq
        self._context.measure("shown", {"by": "village", "events": fresh})
        self._notice(state, fresh)

    def _positions(self, room: str) -> dict[str, int]:
        states = self._context.board.of_village(self.village_id)
        if room != self._room:
            states = [state for state in states if scopes.agent_room(self.village_id, state.agent_id) == room]
        return {state.session_id: self._context.published.get(state.session_id, 0) for state in states}

    # --- alerts -----------------------------------------------------------------------------------

    def _notice(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """Apply the effects of events beyond their own messages: the house's lights, the bug bots."""
        for event in events:
            self._notice_bug_bots(event)
        self._wake_in(self._news.note(state))
        if state.repo_path:
            self._change(houses.after_all(self._house_of(state), events, self._context.clock.now_ms()))

    def _notice_bug_bots(self, event: e.RunnerEvent) -> None:
        match event:
            case e.AlertRaised(session_id=session_id, alert_id=alert_id, severity=severity):
                key = scopes.alert_key(session_id, alert_id)
                if severity in e.BUG_BOT_SEVERITIES:
                    self._bug_bots.add(key)
                else:  # raised again as harmless: that is how a runner says that it is over
                    self._resolve_alert(key)
            case e.ProviderEventForwarded(
                session_id=session_id, provider_event={"type": "bug_bot_progress", "id": str() as bot, **rest}
            ):
                progress = rest.get("progress")
                if scopes.alert_key(session_id, bot) in self._bug_bots and isinstance(progress, int | float):
                    self._say(translate.bug_bot_progress(bot, progress, session_id))
            case _:
                pass

    def _resolve_alert(self, key: scopes.AlertKey) -> None:
        """A bot's id on the wire is its alertId. Clients that know it by that alone lose every bot of this id: one that
        is still there is said again.
        """
        if key not in self._bug_bots:
            return
        self._bug_bots.discard(key)
        session_id, alert_id = key
        if (state := self._context.board.session(session_id)) is not None:
            self._wake_in(self._news.note(state))
        self._say(translate.bug_bot("bug_bot_resolved", alert_id, session_id))
        for other in sorted(one for one in self._bug_bots if one[1] == alert_id):
            self._say(translate.bug_bot("bug_bot_spawn", alert_id, other[0]))
        if self._disk_alert and alert_id == translate.DISK_ALERT_ID:
            self._say(translate.bug_bot("bug_bot_spawn", alert_id))

    def _disk_changed(self) -> None:
        """An alert of the service's own while the journal's disk refuses. It cannot be stored, so it is sent to each
        joining client, too.
        """
        self._disk_alert = not self._disk_alert
        if self._disk_alert:
            self._tell_disk_alert(lambda event, payload: self._context.outlet.publish(event, payload, (self._room,)))
        else:
            self._say(translate.bug_bot("bug_bot_resolved", translate.DISK_ALERT_ID))

    def _tell_disk_alert(self, tell: Callable[[str, bytes], None]) -> None:
        for message in translate.disk_alert(self._context.disk.refusal or "", self._context.clock.now_ms()):
            tell(message.event, encode(message.payload))

    def _tell_notices(self, tell: Callable[[str, bytes], None]) -> None:
        notices = self._context.notices
        for notice in (*notices.get("", ()), *notices.get(self.village_id, ())):
            now = self._context.clock.now_ms()
            for message in translate.service_alert(notice.alert_id, notice.title, notice.description, now):
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
            rooms = (self._room, scopes.agent_room(self.village_id, state.agent_id))
            self._context.outlet.publish("agent_update", encode(update), rooms)

    # --- houses -----------------------------------------------------------------------------------

    def _house_of(self, state: SessionState) -> HouseState:
        found = self._houses.get(state.repo_id)
        if found is None:
            label = self._context.house_names.get((self.village_id, state.repo_id))
            found = HouseState(
                repo_id=state.repo_id, village_id=self.village_id, repo_path=state.repo_path, label=label
            )
            waiting = (
                scopes.approval_key(one.session_id, approval_id)
                for one in self._context.board.of_village(self.village_id)
                if one.repo_id == state.repo_id
                for approval_id in one.pending
            )
            found = houses.waiting_in(found, waiting, self._context.clock.now_ms())
            self._houses[state.repo_id] = found
        return found

    def _change(self, house: HouseState) -> None:
        if self._houses.get(house.repo_id) == house:
            return
        self._houses[house.repo_id] = house
        self._dirty.add(house.repo_id)
        self._wake_in(COALESCE_SECONDS)

    def _wake_in(self, seconds: float) -> None:
        self._alarm.set(self.actor_ref, min(max(COALESCE_SECONDS, seconds), LOOK_SECONDS))

    def _flush_houses(self) -> None:
        now = self._context.clock.now_ms()
        for house in list(self._houses.values()):
            aged = houses.expire(house, now)
            if aged is not house:
                self._houses[house.repo_id] = aged
                self._dirty.add(house.repo_id)
        for repo_id in self._dirty:
            self._context.outlet.publish(
                "house.activity",
                encode(self._houses[repo_id].snapshot(now)),
                (self._room, scopes.repo_room(self.village_id, repo_id)),
            )
        self._dirty.clear()
        for changed in self._news.take():
            self._context.outlet.publish("house_changed", encode(changed), (self._room,))
        if (seconds := self._news.next_seconds()) < math.inf:
            self._wake_in(seconds)
        upcoming = houses.next_change(list(self._houses.values()))
        if upcoming is not None:
            self._wake_in((upcoming - now) / 1000)

    def _all_houses(self) -> list[HouseState]:
        for state in self._context.board.of_village(self.village_id):
            if state.repo_path:
                self._house_of(state)
        return list(self._houses.values())

    def _renamed(self, repo_id: str) -> HouseState | None:
        """A name that was taken away is told as "": the pages then say the folder's again."""
        self._all_houses()
        house = self._houses.get(repo_id)
        if house is not None:
            name = self._context.house_names.get((self.village_id, repo_id), "")
            self._change(attrs.evolve(house, label=name, version=house.version + 1))
        return self._houses.get(repo_id)

    def _show_house(self, message: m.ShowHouse) -> bool:
        """Let a client into a repository's room and send it the house; return False if there is no such house."""
        self._all_houses()
        house = self._houses.get(message.repo_id)
        if house is None:
            return False
        self._context.outlet.enter(message.client_id, scopes.repo_room(self.village_id, message.repo_id))
        self._context.outlet.send(
            message.client_id, "house.activity", encode(house.snapshot(self._context.clock.now_ms()))
        )
        return True
