"""Calls to people: who may still be told, whether it is quiet, how many calls are too many, and in which form it goes.

All of it is looked at when a call is due, not when it was made: a person who was removed meanwhile gets nothing, and an
approval that was answered is not told.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import attrs
import trio
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.sealing import SealBroken, Sealer
from townwatch.actors.context import Context
from townwatch.notify.call import DIGEST, ESCALATED, TEST, PersonCall, digest, from_text
from townwatch.notify.deliver import AttemptOutcome, PlannedAttempt, SendPlan
from townwatch.notify.forms.letter import Form, Letter
from townwatch.notify.quiet import quiet_end
from townwatch.store.calls import channels, links, preferences
from townwatch.store.calls.channels import Channel, Reach
from townwatch.store.calls.deliveries import Delivery
from townwatch.store.calls.links import CallLink
from townwatch.store.calls.preferences import CallPreferences
from townwatch.store.database import Database

LINK_PREFIX = "twl_"
LINK_MS = 24 * 3_600_000
ANSWER_PAGE = "answer.html"
MAY_DECIDE = ("owner", "operator")
FOLDED_MS = 60_000
"""After which an approval that its session does not know is over: an event is stored before it is folded."""
SHORTEST_TTL, LONGEST_TTL = 60, 86_400
_Due: TypeAlias = tuple[Delivery, PersonCall]


@attrs.define(eq=False, kw_only=True)
class PersonCaller:
    """`Caller` of people's channels: one attempt at a time, several calls in one where they are too many.

    `page`: scheme and host of the page, "" where that is not known.
    """

    context: Context
    database: Database
    sealer: Sealer
    forms: Mapping[str, Form]
    page: str
    clock: Callable[[], float] = trio.current_time
    at_once: int = 1
    looks_at: int = 200
    _called: dict[str, deque[float]] = attrs.field(factory=dict, init=False)
    """Channel → when it was called lately. Forgotten with a restart: then a few calls more are not summed up."""

    async def plan(self, target_id: str, due: Sequence[Delivery], now_ms: int) -> SendPlan:
        reach, wishes = await self.database.read(_known, target_id)
        if reach is None:
            return SendPlan()
        quiet = quiet_end(wishes, now_ms)
        void: list[tuple[int, str]] = []
        postponed: list[tuple[int, int]] = []
        good: list[_Due] = []
        for one in due:
            call = from_text(one.body)
            why = "it cannot be read" if call is None else self._needless(call, reach, now_ms - one.created_ms)
            if call is None or why:
                void.append((one.delivery_id, why))
            elif quiet is not None and _is_held(call, wishes):
                postponed.append((one.delivery_id, quiet))
            else:
                good.append((one, call))
        attempts, rest = self._attempts(reach, wishes, good)
        return SendPlan(attempts=attempts, void=void, postponed=postponed, rest=rest)

    def _attempts(
        self, reach: Reach, wishes: CallPreferences, good: list[_Due]
    ) -> tuple[list[PlannedAttempt], float | None]:
        if not good:
            return [], None
        channel = reach.channel
        room, rest = self._room(channel.channel_id, wishes)
        tests = [one for one in good if one[1].kind == TEST]
        if tests:
            chosen = tests[:1]
        elif room is not None and room <= 0:
            return [], rest
        else:
            chosen = good if room is not None and len(good) > room else good[:1]
        return [PlannedAttempt([one for one, _ in chosen], partial(self._send, reach, chosen))], None

    def _room(self, channel_id: str, wishes: CallPreferences) -> tuple[int | None, float | None]:
        """Return how many more calls are not too many, None for any number; and when there is room for one again."""
        if wishes.digest_calls == 0:
            return None, None
        called, span = self._called.setdefault(channel_id, deque()), wishes.digest_minutes * 60.0
        while called and called[0] <= self.clock() - span:
            called.popleft()
        left = wishes.digest_calls - len(called)
        return left, None if left > 0 else called[-wishes.digest_calls] + span - self.clock()

    def _needless(self, call: PersonCall, reach: Reach, age_ms: int) -> str:
        """Return why a call is not to be made any more; "" where it is."""
        if call.kind == TEST:
            return "" if reach.roles or reach.channel.enabled else "the channel is off"
        role = reach.roles.get(call.village)
        if role is None:
            return "this person does not belong to the village any more"
        if call.kind == ESCALATED and role not in MAY_DECIDE:
            return "this person may not answer it any more"
        return self._answered(call, age_ms) if call.asks else ""

    def _answered(self, call: PersonCall, age_ms: int) -> str:
        session_id, approval_id = call.session_id or "", call.approval_id or ""
        state = self.context.board.session(session_id)
        if state is None or state.ended:
            return "its session is over"
        if (session_id, approval_id) in self.context.decided or approval_id in state.resolved:
            return "it was answered"
        if call.until_ms is not None and call.until_ms <= self.context.clock.now_ms():
            return "its time is over"
        return "it does not wait any more" if approval_id not in state.pending and age_ms > FOLDED_MS else ""

    async def _send(self, reach: Reach, chosen: Sequence[_Due]) -> AttemptOutcome:
        channel, now = reach.channel, self.context.clock.now_ms()
        form = self.forms.get(channel.form)
        try:
            address = self.sealer.open(channel.address, channel.channel_id)
        except SealBroken:
            told = "its address cannot be read (token.secret was replaced): remove this channel and add it again"
            return AttemptOutcome(error=told, gone=True)
        if form is None:
            return AttemptOutcome(error=f"unknown form {channel.form}", hopeless=True)
        first, call = chosen[0]
        if len(chosen) > 1:
            call = digest([one for _, one in chosen], now)
        link = await self._link(reach, call, now)
        outcome = await form.send(address, self._letter(first.message_id, call, link, now))
        if outcome.error is None and call.kind != TEST:
            self._called.setdefault(channel.channel_id, deque()).append(self.clock())
        return outcome

    async def _link(self, reach: Reach, call: PersonCall, now_ms: int) -> str | None:
        """Make a link that answers the approval, where this person may."""
        channel = reach.channel
        reachable = bool(self.page) or channel.form == "push"
        if not (call.asks and reachable and reach.roles.get(call.village) in MAY_DECIDE):
            return None
        secret = secrets.make(LINK_PREFIX)
        until = now_ms + LINK_MS if call.until_ms is None else min(call.until_ms, now_ms + LINK_MS)
        await self.database.call(links.add, _link_row(channel, call, secrets.digest(secret), now_ms, until))
        return secret

    def _letter(self, message_id: str, call: PersonCall, link: str | None, now_ms: int) -> Letter:
        path = f"{ANSWER_PAGE}#{link}" if link else call.place
        left = LONGEST_TTL if call.until_ms is None else (call.until_ms - now_ms) // 1000
        whole = call.whole if link and call.risk == "low" else None
        return Letter(
            message_id=message_id,
            kind=call.kind,
            title=call.title,
            text=call.text,
            village=call.village_name,
            url=f"{self.page}/{path}" if self.page else "",
            path=path,
            link=link,
            whole=whole,
            urgent=call.asks or (call.kind == DIGEST and call.place != ""),
            tag=secrets.digest(f"{call.session_id}\0{call.approval_id or message_id}")[:32],
            ttl=int(max(SHORTEST_TTL, min(left, LONGEST_TTL))),
            at_ms=call.at_ms,
        )


def _known(connection: Connection, channel_id: str) -> tuple[Reach | None, CallPreferences]:
    reach = channels.reach(connection, channel_id)
    wishes = CallPreferences() if reach is None else preferences.of(connection, reach.channel.user_id)
    return reach, wishes


def _is_held(call: PersonCall, wishes: CallPreferences) -> bool:
    """Return whether quiet hours hold this call back."""
    return call.kind != TEST and (call.kind != ESCALATED or wishes.quiet_escalations)


def _link_row(channel: Channel, call: PersonCall, hash_: str, now_ms: int, until_ms: int) -> CallLink:
    return CallLink(
        hash=hash_,
        user_id=channel.user_id,
        channel_id=channel.channel_id,
        village_id=call.village,
        session_id=call.session_id or "",
        approval_id=call.approval_id or "",
        created_ms=now_ms,
        expires_ms=until_ms,
    )
