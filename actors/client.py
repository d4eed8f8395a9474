"""One actor a connected client: its rooms, what it may do, its round trip.

It handles what its person sends, one message after another. What goes out to rooms does not pass through here: the
outlet writes it to the client's connection directly, and this actor only says which rooms those are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
import trio

from actors import messages as m
from actors import replay
from actors.context import Context, note_driving
from actors.directory import Connection, Origin, tell_if_alive
from actors.ports import Access, ClientGone, Ref, Subject
from actors.runtime import MailboxSpec, TrioActor
from actors.session_state import SessionState
from actors.timers import After
from contracts import joins, ui
from contracts.codec import ContractError, encode
from contracts.joins import Refusal
from supervision import RateLimited

log = structlog.get_logger("client")

PING_SECONDS = 30.0
PING_TIMEOUT_SECONDS = 20.0
CALL_TIMEOUT_SECONDS = 10.0
NOT_HERE = "there is no such room, or you may not join it"


class ClientActor(TrioActor):
    """Messages: FromClient (answer: the ack), PingNow, Evict, TokenEnded, Dismiss."""

    mailbox = MailboxSpec(capacity=256, policy="refuse")
    hibernates = True

    def __init__(
        self, context: Context, client_id: str, subject: Subject, access: Access, origin: Origin | None = None
    ) -> None:
        super().__init__()
        self._context = context
        self.client_id = client_id
        self.subject = subject
        self._access = access
        self._origin = origin or Origin()
        self._rooms: dict[str, str] = {}  # room → village: whose membership it hangs on
        self._joins: list[float] = []  # no deque: an empty one is most of a kilobyte
        self._pending_shown: dict[str, None] = {}
        self.round_trip_ms: float | None = None

    def on_start(self) -> None:
        self._context.directory.connected(
            Connection(
                connection_id=self.client_id,
                kind="socketio",
                ref=self.actor_ref,
                user_id=self.subject.user_id,
                origin=self._origin,
                since_ms=self._context.clock.now_ms(),
                rooms=self._rooms.keys,
            )
        )
        tell_if_alive(self._context.timers, After(self._rest(), self.actor_ref, m.PingNow()))

    def on_gone(self) -> None:
        """However it ends, killed while it waits for a pong too, its connection ends with it, recoverably: without its
        actor nobody would answer there, or count it. The client comes back by itself, to a new actor.
        """
        owns = self._context.directory.clients.get(self.client_id) is self.actor_ref
        self._context.directory.disconnected(self.client_id, self.actor_ref)
        if owns:  # nobody has recovered it meanwhile
            self._context.outlet.disconnect(self.client_id)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.FromClient(event=event, data=data):
                return await self._answer(event, data)
            case m.PingNow():
                await self._ping()
            case m.Evict():
                await self._evict()
            case m.Recovered(rooms=rooms):
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
            return await self._do(event, joins.PAYLOADS[event].convert(data))
        except ContractError as error:
            refusal = Refusal("E_BAD_PAYLOAD", str(error))
        except Refusal as refused:
            refusal = refused
        except m.RunnerOffline as error:
            refusal = Refusal("E_OFFLINE", str(error))
        except RateLimited as limited:
            self._context.measure("limit", {"limit": limited.limit})
            text = f"limit {limited.limit}: more than {limited.allowed:g} at once; slower"
            refusal = Refusal("E_RATE_LIMIT", text, retry_after=limited.retry_after)
        except ClientGone:  # in the middle of its request: nobody waits for the answer
            return Refusal("E_INTERNAL", "you are gone").as_ack()
        except Exception as error:  # somebody who was asked is gone, full, late, or failed over it
            log.error("client_request_failed", request=event, reason=repr(error))
            refusal = Refusal("E_INTERNAL", "the service could not do this now; try again", retry_after=1.0)
        ack = refusal.as_ack()
        self._context.outlet.send(self.client_id, "ws_error", encode(ack))
        return ack

    async def _do(self, event: str, payload: Any) -> dict[str, Any]:
        match event, payload:
            case "join_village", joins.JoinVillage(village_id=village_id, since=since):
                return await self._join_village(village_id, since)
            case "join_agent", joins.JoinAgent():
                return await self._join_agent(payload)
            case "join_repo", joins.JoinRepo(repo_id=repo_id):
                return await self._join_repo(repo_id)
            case "leave_village", joins.JoinVillage(village_id=village_id):
                return self._leave(ui.village_room(village_id))
            case "leave_agent", joins.JoinAgent(agent_id=agent_id):
                return self._leave(ui.agent_room(agent_id), ui.terminal_room(agent_id))
            case "leave_repo", joins.JoinRepo(repo_id=repo_id):
                return self._leave(ui.repo_room(repo_id))
            case _, joins.TerminalInput(session_id=session_id, data=text):
                return await self._drive(session_id, m.Input(text))
            case _, joins.TerminalResize(session_id=session_id, cols=cols, rows=rows):
                return await self._drive(session_id, m.Resize(cols, rows))
            case _:
                raise Refusal("E_BAD_PAYLOAD", f"{event} is not understood")

    # --- joins ------------------------------------------------------------------------------------

    async def _join_village(self, village_id: str, since: joins.Since | None) -> dict[str, Any]:
        self._count_join()
        await self._check_read(village_id)
        village = await self._village(village_id)
        room = ui.village_room(village_id)
        follows = self._follower()
        async with self._context.outlet.catch_up(self.client_id) as catching_up:
            entered: m.Entered = await village.call(m.Enter(self.client_id, room), timeout=CALL_TIMEOUT_SECONDS)
            self._rooms[room] = village_id
            if since is not None:
                await replay.missed(self._context, catching_up, room, since, entered.positions, self._pending_shown)
            replay.pending(self._context, catching_up, entered.positions, self._pending_shown, follows)
        return _joined(room, since, entered)

    async def _join_agent(self, wanted: joins.JoinAgent) -> dict[str, Any]:
        self._count_join()
        state = self._context.board.of_agent(wanted.agent_id)
        if state is None:
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        await self._check_read(state.village_id)
        village = await self._village(state.village_id)
        room = ui.agent_room(wanted.agent_id)
        follows = self._follower()
        async with self._context.outlet.catch_up(self.client_id) as catching_up:
            entered: m.Entered = await village.call(m.Enter(self.client_id, room), timeout=CALL_TIMEOUT_SECONDS)
            self._rooms[room] = state.village_id
            if wanted.since is not None:
                await replay.missed(
                    self._context, catching_up, room, wanted.since, entered.positions, self._pending_shown
                )
            if wanted.terminal:
                await self._open_terminal(wanted, state.village_id, catching_up)
            replay.pending(self._context, catching_up, entered.positions, self._pending_shown, follows)
        return _joined(room, wanted.since, entered)

    async def _open_terminal(self, wanted: joins.JoinAgent, village_id: str, catching_up: Any) -> None:
        """The screen for who comes new; exactly what was missed for who was here before."""
        agent = await self._context.router_call(m.EnsureAgent(wanted.agent_id, village_id))
        room = ui.terminal_room(wanted.agent_id)
        entered: m.Entered = await agent.call(m.Enter(self.client_id, room), timeout=CALL_TIMEOUT_SECONDS)
        self._rooms[room] = village_id
        known = {} if wanted.since is None else {s: q for s, q in wanted.since.items() if s in entered.positions}
        if known and await replay.missed_terminal(self._context, catching_up, room, known, entered.positions):
            return
        for outgoing in entered.screen:
            catching_up.send(outgoing.event, outgoing.payload)

    async def _join_repo(self, repo_id: str) -> dict[str, Any]:
        self._count_join()
        village_id = self._context.board.village_of_repo(repo_id)
        if village_id is None:
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        await self._check_read(village_id)
        village = await self._village(village_id)
        if not await village.call(m.ShowHouse(self.client_id, repo_id), timeout=CALL_TIMEOUT_SECONDS):
            raise Refusal("E_FORBIDDEN", NOT_HERE)
        room = ui.repo_room(repo_id)
        self._rooms[room] = village_id
        return {"ok": True, "room": room}

    def _follower(self) -> Callable[[SessionState], bool]:
        """Whether a session was followed before the join under way."""
        rooms = frozenset(self._rooms)
        return lambda state: ui.village_room(state.village_id) in rooms or ui.agent_room(state.agent_id) in rooms

    def _leave(self, *rooms: str) -> dict[str, Any]:
        for room in rooms:
            self._context.outlet.leave(self.client_id, room)
            self._rooms.pop(room, None)
        return {"ok": True}

    def _count_join(self) -> None:
        """At most 20 joins in any 5 s, or what is configured."""
        now, most, seconds = trio.current_time(), self._context.allowances.joins, self._context.allowances.joins_seconds
        while self._joins and self._joins[0] <= now - seconds:
            del self._joins[0]
        if len(self._joins) >= most:
            wait = self._joins[0] + seconds - now
            raise Refusal("E_RATE_LIMIT", f"limit joins: at most {most} joins in {seconds:g} s", retry_after=wait)
        self._joins.append(now)

    async def _check_read(self, village_id: str) -> None:
        if not await self._access.may_read(self.subject, village_id):
            raise Refusal("E_FORBIDDEN", NOT_HERE)

    async def _village(self, village_id: str) -> Ref:
        return await self._context.router_call(m.EnsureVillage(village_id))

    # --- driving ----------------------------------------------------------------------------------

    async def _drive(self, session_id: str, message: m.Input | m.Resize) -> dict[str, Any]:
        state = self._context.board.session(session_id)
        if state is None or not await self._access.may_read(self.subject, state.village_id):
            raise Refusal("E_FORBIDDEN", "there is no such session, or you may not see it")
        if not await self._access.may_drive(self.subject, state.village_id):
            raise Refusal("E_FORBIDDEN", "watching only: typing needs the role operator or owner")
        self._context.allowances.typing.take(self.subject.user_id or "", trio.current_time())
        session = await self._context.router_call(m.LocateSession(session_id))
        await session.call(message, timeout=CALL_TIMEOUT_SECONDS)
        note_driving(self._context, self.subject, self._origin, state, message)
        return {"ok": True}

    # --- staying ----------------------------------------------------------------------------------

    async def _recover(self, rooms: Sequence[str]) -> bool:
        """Rights may have changed while it was away. Its rooms are this actor's to keep again."""
        board = self._context.board
        for room in rooms:
            kind, _, name = room.partition(":")
            state = board.of_agent(name) if kind in ("agent", "terminal") else None
            village_id = name if kind == "village" else board.village_of_repo(name) if kind == "repo" else None
            village_id = state.village_id if state is not None else village_id
            if village_id is None or not await self._access.may_read(self.subject, village_id):
                return False
            self._rooms[room] = village_id
        return True

    async def _dismiss(self, reason: str) -> None:
        """It is told why, and goes."""
        self._context.outlet.send(self.client_id, "ws_error", encode(Refusal("E_UNAUTH", reason).as_ack()))
        await self._context.outlet.dismiss(self.client_id)

    def _rest(self) -> float:
        """Seconds to the next ping, or to the end of its token."""
        expires = self.subject.expires_ms
        left = PING_SECONDS if expires is None else (expires - self._context.clock.now_ms() + 1) / 1000
        return max(0.0, min(PING_SECONDS, left))

    async def _ping(self) -> None:
        expires = self.subject.expires_ms
        if expires is not None and expires <= self._context.clock.now_ms():
            return await self._dismiss("your sign-in is over; sign in again")
        seconds = await self._context.outlet.round_trip(self.client_id, PING_TIMEOUT_SECONDS)
        self.round_trip_ms = None if seconds is None else seconds * 1000
        if seconds is not None:
            self._context.measure("round_trip", {"seconds": seconds})
        tell_if_alive(self._context.timers, After(self._rest(), self.actor_ref, m.PingNow()))

    async def _evict(self) -> None:
        """Membership changed: out of every room it no longer opens."""
        verdicts: dict[str, bool] = {}
        for room, village_id in list(self._rooms.items()):
            if village_id not in verdicts:
                verdicts[village_id] = await self._access.may_read(self.subject, village_id)
            if not verdicts[village_id]:
                self._leave(room)


def _joined(room: str, since: joins.Since | None, entered: m.Entered) -> dict[str, Any]:
    """Who resumes is told where it stands, so that its next `since` is complete."""
    ack: dict[str, Any] = {"ok": True, "room": room}
    return ack if since is None else {**ack, "positions": dict(entered.positions)}
