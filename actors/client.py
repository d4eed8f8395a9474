"""One actor a connected client: its rooms, what it may do, its round trip.

It handles what its person sends, one message after another. What goes out to rooms does not pass through here: the
outlet writes it to the client's connection directly, and this actor only says which rooms those are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
import trio

from townwatch.actors import commands, messages as m, replay
from townwatch.actors.context import Context
from townwatch.actors.directory import LiveConnection, Origin, tell_if_alive
from townwatch.actors.people import keyboard
from townwatch.actors.ports import Access, ClientGone, Principal, Ref
from townwatch.actors.rendering.terminal import ANSWERS
from townwatch.actors.session.state import SessionState
from townwatch.actors.timers import After
from townwatch.contracts import joins, scopes
from townwatch.contracts.codec import ContractError, encode, to_json_values
from townwatch.contracts.decoding import bridge
from townwatch.contracts.joins import Refusal
from townwatch.contracts.village_ids import name_of
from townwatch.runtime import MailboxSpec, TrioActor
from townwatch.supervision import RateLimited, RateWindow

log = structlog.get_logger("client")

PING_SECONDS = 30.0
PING_TIMEOUT_SECONDS = 20.0
CALL_TIMEOUT_SECONDS = 10.0
NOT_HERE = "there is no such room, or you may not join it"


class ClientActor(TrioActor):
    """Messages: FromClient (answer: the ack), PingNow, RecheckAccess, TokenEnded, Dismiss."""

    mailbox = MailboxSpec(capacity=256, policy="refuse")
    hibernate = True

    def __init__(
        self, context: Context, client_id: str, subject: Principal, access: Access, origin: Origin | None = None
    ) -> None:
        super().__init__()
        self._context = context
        self.client_id = client_id
        self.subject = subject
        self._access = access
        self._origin = origin or Origin()
        self._rooms: dict[str, str] = {}  # room → village: whose membership it hangs on
        self._joins = RateWindow()
        self._pending_shown: dict[scopes.ApprovalKey, None] = {}
        self.round_trip_ms: float | None = None

    def on_start(self) -> None:
        self._context.directory.connected(
            LiveConnection(
                connection_id=self.client_id,
                kind="socketio",
                ref=self.actor_ref,
                user_id=self.subject.user_id,
                origin=self._origin,
                name=self.subject.name,
                in_rooms=lambda: list(self._rooms),
                since_ms=self._context.clock.now_ms(),
                rooms=lambda: [scopes.wire_room(room) for room in self._rooms if not room.startswith("output:")],
            )
        )
        tell_if_alive(self._context.timers, After(self._rest(), self.actor_ref, m.PingNow()))

    def on_gone(self) -> None:
        """However it ends, killed while it waits for a pong too, its connection ends with it, recoverably: without its
        actor, requests on it would stay unanswered, and it would not be counted. The client comes back by itself, to a
        new actor.
        """
        owns = self._context.directory.clients.get(self.client_id) is self.actor_ref
        self._context.directory.disconnected(self.client_id, self.actor_ref)
        self._context.present.update(self._rooms.values())
        for session_id, found in self._context.keyboards.items():
            if found.lease is not None and found.lease.client_id == self.client_id:
                tell_if_alive(self._context.directory.sessions.get(session_id), m.KeyboardLeft(self.client_id))
        if owns:  # it was not recovered meanwhile by a new actor
            self._context.outlet.disconnect(self.client_id)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.FromClient(event=event, data=data):
                return await self._answer(event, data)
            case m.PingNow():
                await self._ping()
            case m.RecheckAccess():
                await self._evict()
            case m.RightsChanged(now=now):
                self.subject = now(self.subject)
                await self._evict()
            case m.RoomsRecovered(rooms=rooms):
                return await self._recover(rooms)
            case m.TokenEnded(token_id=token_id) if token_id == self.subject.token_id:
                await self._dismiss("you were signed out")
            case m.TokenEnded():
                pass
            case m.Dismiss(reason=reason):
                await self._dismiss(reason)
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    async def _answer(self, event: str, data: Any) -> dict[str, Any]:
        """The ack; a refusal is also sent as `ws_error`."""
        try:
            said = joins.PAYLOADS[event]
            if said.scope not in self.subject.scopes:
                raise Refusal("E_FORBIDDEN", f"this token does not have the scope {said.scope}")
            return await self._do(event, said.convert(data))
        except ContractError as error:
            refusal = Refusal("E_BAD_PAYLOAD", str(error))
        except Refusal as refused:
            refusal = refused
        except m.RunnerOffline as error:
            refusal = Refusal("E_OFFLINE", str(error))
        except keyboard.KeyboardHeld as error:
            refusal = Refusal("E_CONFLICT", str(error))
        except m.AgentWaits as error:
            refusal = Refusal("WAITING", str(error))
        except m.Unsupported as error:
            refusal = Refusal("E_UNSUPPORTED", str(error))
        except RateLimited as limited:
            self._context.measure("limit", {"limit": limited.limit})
            wait = limited.retry_after or 0.0
            text = f"limit {limited.limit}: more than {limited.allowed:g} at once; try again in {wait:.1f} s"
            refusal = Refusal("E_RATE_LIMIT", text, retry_after=limited.retry_after)
        except ClientGone:  # in the middle of its request: the answer has no reader
            return Refusal("E_INTERNAL", "connection closed").as_ack()
        except Exception as error:  # an actor that was asked is gone, full, late, or failed over it
            log.error("client_request_failed", request=event, reason=repr(error))
            refusal = Refusal("E_INTERNAL", "the service could not do this now; try again", retry_after=1.0)
        ack = refusal.as_ack()
        self._context.outlet.send(self.client_id, "ws_error", encode(ack))
        return ack

    async def _do(self, event: str, payload: Any) -> dict[str, Any]:
        match event, payload:
            case "join_village", joins.JoinVillage():
                return await self._join_village(payload)
            case "join_agent", joins.JoinAgent():
                return await self._join_agent(payload)
            case "join_repo", joins.JoinRepo():
                return await self._join_repo(payload)
            case "leave_village", joins.JoinVillage(village_id=village_id):
                return self._leave_each(village_id, scopes.village_room, scopes.output_room)
            case "leave_agent", joins.JoinAgent(agent_id=agent_id, village_id=village_id):
                return self._leave_each(
                    village_id,
                    lambda one: scopes.agent_room(one, agent_id),
                    lambda one: scopes.terminal_room(one, agent_id),
                )
            case "leave_repo", joins.JoinRepo(repo_id=repo_id, village_id=village_id):
                return self._leave_each(village_id, lambda one: scopes.repo_room(one, repo_id))
            case _, joins.TerminalInput(data=text) if ANSWERS.fullmatch(text):
                return {"ok": True}  # of a viewer's terminal, to a question that the runner has answered
            case _, joins.TerminalInput(session_id=session_id, data=text):
                return await self._drive(session_id, m.Input(text))
            case _, joins.TerminalResize(session_id=session_id, cols=cols, rows=rows):
                return await self._drive(session_id, m.Resize(cols, rows))
            case "keyboard", joins.KeyboardAction():
                return await self._use_keyboard(payload)
            case _:
                raise Refusal("E_BAD_PAYLOAD", f"{event} is not understood")

    # --- joins ------------------------------------------------------------------------------------

    async def _join_village(self, wanted: joins.JoinVillage) -> dict[str, Any]:
        self._count_join()
        since, output = wanted.since, wanted.output == "full"
        village_id = await self._access.readable_village(self.subject, wanted.village_id)
        if village_id is None:
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        village = await self._village(village_id)
        room = scopes.village_room(village_id)
        follows = self._follower()
        async with self._context.outlet.catch_up(self.client_id) as catching_up:
            enter = m.Enter(self.client_id, room, output)
            entered: m.Entered = await village.call(enter, timeout=CALL_TIMEOUT_SECONDS)
            self._rooms[room] = village_id
            self._context.present.add(village_id)
            if output:
                self._rooms[scopes.output_room(village_id)] = village_id
            else:
                self._rooms.pop(scopes.output_room(village_id), None)
            if since is not None:
                shown = self._pending_shown
                await replay.missed(self._context, catching_up, room, since, entered.positions, shown, output=output)
            replay.pending(self._context, catching_up, entered.positions, self._pending_shown, follows)
        return _joined(room, since, entered)

    async def _join_agent(self, wanted: joins.JoinAgent) -> dict[str, Any]:
        self._count_join()
        village_id = await self._meant(wanted.village_id, self._context.board.villages_of_agent(wanted.agent_id))
        village = await self._village(village_id)
        room = scopes.agent_room(village_id, wanted.agent_id)
        follows = self._follower()
        async with self._context.outlet.catch_up(self.client_id) as catching_up:
            if wanted.terminal:  # before the agent's room: its members get no output in the work stream
                await self._open_terminal(wanted, village_id, catching_up)
            entered: m.Entered = await village.call(m.Enter(self.client_id, room), timeout=CALL_TIMEOUT_SECONDS)
            self._rooms[room] = village_id
            self._context.present.add(village_id)
            if wanted.since is not None:
                shown = self._pending_shown
                watches = scopes.terminal_room(village_id, wanted.agent_id) in self._rooms
                await replay.missed(
                    self._context, catching_up, room, wanted.since, entered.positions, shown, output=not watches
                )
            replay.pending(self._context, catching_up, entered.positions, self._pending_shown, follows)
            self._tell_keyboard(village_id, wanted.agent_id, catching_up)
        return _joined(room, wanted.since, entered)

    async def _open_terminal(self, wanted: joins.JoinAgent, village_id: str, catching_up: Any) -> None:
        """The screen for who comes new; exactly what was missed for who was here before."""
        agent = await self._context.router_call(m.EnsureAgent(wanted.agent_id, village_id))
        room = scopes.terminal_room(village_id, wanted.agent_id)
        entered: m.Entered = await agent.call(m.Enter(self.client_id, room), timeout=CALL_TIMEOUT_SECONDS)
        self._rooms[room] = village_id
        known = {} if wanted.since is None else {s: q for s, q in wanted.since.items() if s in entered.positions}
        if known and await replay.missed_terminal(self._context, catching_up, room, known, entered.positions):
            return
        for outgoing in entered.screen:
            catching_up.send(outgoing.event, outgoing.payload)

    async def _join_repo(self, wanted: joins.JoinRepo) -> dict[str, Any]:
        self._count_join()
        village_id = await self._meant(wanted.village_id, self._context.board.villages_of_repo(wanted.repo_id))
        village = await self._village(village_id)
        if not await village.call(m.ShowHouse(self.client_id, wanted.repo_id), timeout=CALL_TIMEOUT_SECONDS):
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        room = scopes.repo_room(village_id, wanted.repo_id)
        self._rooms[room] = village_id
        return {"ok": True, "room": scopes.wire_room(room)}

    async def _meant(self, asked: str | None, places: Sequence[str]) -> str:
        """Return the village in which the person means an agent or a house: the one that they name; else one that
        they have joined; else the first of those that they may see. `places`: the villages that have it, oldest claim
        first, so that a later claim of the same id never takes an older one's place.
        """
        here = set(self._rooms.values())
        wanted = [one for one in places if asked in (None, name_of(one))]
        for village_id in sorted(wanted, key=lambda one: one not in here):
            if await self._access.may_read(self.subject, village_id):
                return village_id
        raise Refusal("E_FORBIDDEN", NOT_HERE)

    def _follower(self) -> Callable[[SessionState], bool]:
        """Return a predicate: was this session followed before the join under way?"""
        rooms = frozenset(self._rooms)
        return lambda state: (
            scopes.village_room(state.village_id) in rooms
            or scopes.agent_room(state.village_id, state.agent_id) in rooms
        )

    def _leave_each(self, asked: str | None, *rooms_in: Callable[[str], str]) -> dict[str, Any]:
        """Leave these rooms of the village that is named, else of every village."""
        villages = {one for one in self._rooms.values() if asked in (None, name_of(one))}
        return self._leave(*[room_in(village_id) for village_id in villages for room_in in rooms_in])

    def _leave(self, *rooms: str) -> dict[str, Any]:
        for room in rooms:
            self._context.outlet.leave(self.client_id, room)
            village_id = self._rooms.pop(room, None)
            if village_id is not None:
                self._context.present.add(village_id)
        return {"ok": True}

    def _count_join(self) -> None:
        """Count a join. Raise E_RATE_LIMIT above the limit: 20 in any 5 s unless configured otherwise."""
        most, seconds = self._context.allowances.joins, self._context.allowances.joins_seconds
        if wait := self._joins.take(most, seconds, trio.current_time()):
            self._context.measure("limit", {"limit": "joins"})
            text = f"limit joins: at most {most} joins in {seconds:g} s; try again in {wait:.1f} s"
            raise Refusal("E_RATE_LIMIT", text, retry_after=wait)

    async def _village(self, village_id: str) -> Ref:
        return await self._context.router_call(m.EnsureVillage(village_id))

    # --- driving ----------------------------------------------------------------------------------

    async def _drive(self, session_id: str, message: m.Input | m.Resize) -> dict[str, Any]:
        try:
            state = await commands.visible(self._context, self._access, self.subject, session_id)
            await commands.drive(self._context, self.subject, self._origin, state, message)
        except (commands.NotVisible, commands.NotAllowed) as error:
            raise Refusal("E_FORBIDDEN", str(error)) from None
        return {"ok": True}

    async def _use_keyboard(self, wanted: joins.KeyboardAction) -> dict[str, Any]:
        """Take the keyboard of a session, let go of it, hand it over, ask for it."""
        context, subject = self._context, self.subject
        try:
            state = await commands.visible(context, self._access, subject, wanted.session_id)
        except (commands.NotVisible, commands.NotAllowed) as error:
            raise Refusal("E_FORBIDDEN", str(error)) from None
        commands.limit(context, subject.user_id)
        to_name = None
        if wanted.to is not None:
            there = [one for one in context.directory.of_user(wanted.to) if self._looks_on(one, state)]
            if not there:
                raise Refusal("E_CONFLICT", f"{wanted.to[:200]!r} does not look on; the keyboard stays where it is")
            to_name = there[0].name
        order = m.UseKeyboard(
            action=wanted.action,
            user_id=subject.user_id or "",
            name=subject.name or subject.user_id or "",
            client_id=self.client_id,
            to=wanted.to,
            to_name=to_name,
            over=wanted.over,
        )
        found = await commands.tell(context, wanted.session_id, order)
        now = context.clock.now_ms()
        context.audit.note(
            f"session.keyboard.{wanted.action}", subject, self._origin, now, state.village_id, state.session_id
        )
        return {"ok": True, **to_json_values(keyboard.message(state, found))}

    def _looks_on(self, one: LiveConnection, state: SessionState) -> bool:
        return scopes.agent_room(state.village_id, state.agent_id) in one.in_rooms()

    def _tell_keyboard(self, village_id: str, agent_id: str, out: Any) -> None:
        """Tell a client that joins an agent who holds its keyboard."""
        state = self._context.board.of_agent(village_id, agent_id)
        if state is not None and (found := self._context.keyboards.get(state.session_id)) is not None:
            out.send("keyboard", encode(keyboard.message(state, found)))

    # --- staying ----------------------------------------------------------------------------------

    async def _recover(self, rooms: Sequence[str]) -> bool:
        """Check its rooms again: rights may have changed while it was away."""
        for room in rooms:
            village_id = scopes.village_of_room(room)
            if village_id is None or not await self._access.may_read(self.subject, village_id):
                return False
            self._rooms[room] = village_id
            self._context.present.add(village_id)
        return True

    async def _dismiss(self, reason: str) -> None:
        """Tell the client why, and close its connection."""
        self._context.outlet.send(self.client_id, "ws_error", encode(Refusal("E_UNAUTH", reason).as_ack()))
        await self._context.outlet.dismiss(self.client_id)

    def _rest(self) -> float:
        """Return the seconds to the next ping, or to the end of its token."""
        expires = self.subject.expires_ms
        left = PING_SECONDS if expires is None else (expires - self._context.clock.now_ms() + 1) / 1000
        return max(0.0, min(PING_SECONDS, left))

    async def _ping(self) -> None:
        expires = self.subject.expires_ms
        if expires is not None and expires <= self._context.clock.now_ms():
            return await self._dismiss("your sign-in is over; sign in again")
        await self._hear_bridges()
        seconds = await self._context.outlet.round_trip(self.client_id, PING_TIMEOUT_SECONDS)
        self.round_trip_ms = None if seconds is None else seconds * 1000
        if seconds is not None:
            self._context.measure("round_trip", {"seconds": seconds})
        tell_if_alive(self._context.timers, After(self._rest(), self.actor_ref, m.PingNow()))

    async def _hear_bridges(self) -> None:
        """A bridge stays connected while its command runs, and may say nothing for long: its sessions are not away."""
        if self.subject.user_id is None or self._origin.user_agent.startswith("Mozilla/"):
            return  # a browser, which only looks on
        mine = bridge.runner_of(self.subject.user_id, "")
        for state in [one for village in {*self._rooms.values()} for one in self._context.board.of_village(village)]:
            joined = scopes.agent_room(state.village_id, state.agent_id) in self._rooms
            if joined and not state.ended and state.runner_id.startswith(mine):
                runner = await self._context.router_call(m.EnsureRunner(state.runner_id))
                tell_if_alive(runner, m.HeartbeatReceived(None))

    async def _evict(self) -> None:
        """Leave every room that its membership no longer opens."""
        verdicts: dict[str, bool] = {}
        for room, village_id in list(self._rooms.items()):
            if village_id not in verdicts:
                verdicts[village_id] = await self._access.may_read(self.subject, village_id)
            if not verdicts[village_id]:
                self._leave(room)


def _joined(room: str, since: joins.Since | None, entered: m.Entered) -> dict[str, Any]:
    """Return the join's ack; a resuming client gets its positions, so that its next `since` is complete."""
    ack: dict[str, Any] = {"ok": True, "room": scopes.wire_room(room)}
    return ack if since is None else {**ack, "positions": dict(entered.positions)}
