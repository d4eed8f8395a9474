"""One actor a connected client: its rooms, what it may do, its round trip.

It handles what its person sends, one message after another. What goes out to rooms does not pass through here: the
outlet writes it to the client's connection directly, and this actor only says which rooms those are.
"""

from typing import Any

import structlog
import trio

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import LiveConnection, Origin, tell_if_alive
from townwatch.actors.people import keyboard
from townwatch.actors.people.rooms import ClientRooms
from townwatch.actors.people.seen import owner_of
from townwatch.actors.ports import Access, ClientGone, Principal
from townwatch.actors.rendering.terminal import ANSWERS
from townwatch.actors.session.state import SessionState
from townwatch.actors.timers import After
from townwatch.contracts import joins, scopes
from townwatch.contracts.codec import ContractError, encode, to_json_values
from townwatch.contracts.decoding import bridge
from townwatch.contracts.joins import Refusal
from townwatch.runtime import MailboxSpec, TrioActor
from townwatch.supervision import RateLimited

log = structlog.get_logger("client")

PING_SECONDS = 30.0
PING_TIMEOUT_SECONDS = 20.0
KEEP_SECONDS = 10.0


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
        self._rooms = ClientRooms(context, client_id, access, lambda: self.subject)
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
                in_rooms=lambda: list(self._rooms.joined),
                since_ms=self._context.clock.now_ms(),
                rooms=lambda: [scopes.wire_room(room) for room in self._rooms.joined if not room.startswith("output:")],
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
        self._context.present.update(self._rooms.joined.values())
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
                return await self._rooms.recover(rooms)
            case m.CameBack(seen=seen):
                await self._rooms.come_back(seen)
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
            case "join_village" | "join_agent" | "join_repo" | "join", _:
                ack = await self._rooms.join(payload)
                await self._keep()
                return ack
            case "leave_village" | "leave_agent" | "leave_repo", _:
                ack = self._rooms.leave(payload)
                await self._keep()
                return ack
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

    async def _evict(self) -> None:
        before = len(self._rooms.joined)
        await self._rooms.evict()
        if len(self._rooms.joined) < before:
            await self._keep()

    async def _keep(self) -> None:
        """Keep the client for the process that takes over: that finds it in the rooms of which it was told."""
        with trio.fail_after(KEEP_SECONDS):
            await self._context.outlet.keep(self.client_id, owner_of(self.subject.user_id, self._origin.address))

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

    # --- staying ----------------------------------------------------------------------------------

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
        rooms, board = self._rooms.joined, self._context.board
        for state in [one for village in {*rooms.values()} for one in board.of_village(village)]:
            joined = scopes.agent_room(state.village_id, state.agent_id) in rooms
            if joined and not state.ended and state.runner_id.startswith(mine):
                runner = await self._context.router_call(m.EnsureRunner(state.runner_id))
                tell_if_alive(runner, m.HeartbeatReceived(None))
