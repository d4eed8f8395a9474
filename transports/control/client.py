"""One actor an authenticated control connection: what it follows, and what its person does."""

from typing import Any

import attrs
import structlog
import trio

from townwatch.actors import commands, messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import LiveConnection, Origin
from townwatch.actors.people.keyboard import KeyboardHeld
from townwatch.actors.ports import Access, Principal
from townwatch.contracts.codec import encode
from townwatch.contracts.control import (
    ControlError,
    ControlMessage,
    EventMessage,
    Ping,
    Pong,
    Subscribe,
    TerminalCommand,
    Unsubscribe,
)
from townwatch.contracts.faults import TablesUnavailable
from townwatch.contracts.ui import iso
from townwatch.runtime import ActorDeadError, MailboxFull, MailboxSpec
from townwatch.supervision import RateLimited
from townwatch.transports.control.feed import SessionFeed, approval_request
from townwatch.transports.control.incoming import Trouble, new_size, typed_text
from townwatch.transports.websocket.actor import Hangup, SocketActor
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.socket import MessageSocket

log = structlog.get_logger("control")

CALL_SECONDS = 10.0
GOODBYE_SECONDS = 3.0
EXPIRY_SECONDS = 60.0
NOT_YOURS = "there is no such {}, or you may not see it"


@attrs.frozen
class ClientMessage:
    """To a control client: its person sent this message."""

    message: Any


class ControlClient(SocketActor):
    """Messages: ClientMessage of a connection, RecheckAccess, RightsChanged, TokenEnded, Dismiss. It only writes."""

    mailbox = MailboxSpec(capacity=256, policy="wait")

    def __init__(
        self,
        context: Context,
        access: Access,
        socket: MessageSocket,
        client_id: str,
        subject: Principal,
        subscriptions: int,
        feed: SessionFeed,
        origin: Origin | None = None,
    ) -> None:
        super().__init__(socket)
        self.client_id = client_id
        self.subject = subject
        self._context = context
        self._access = access
        self._most = subscriptions
        self._feed = feed
        self._origin = origin or Origin()
        self._sessions: dict[str, str] = {}
        """session → the village that it was in when this client asked for it"""
        self._runners: set[str] = set()

    # --- life -------------------------------------------------------------------------------------

    def on_start(self) -> None:
        self._context.directory.connected(
            LiveConnection(
                connection_id=self.client_id,
                kind="control",
                ref=self.actor_ref,
                user_id=self.subject.user_id,
                origin=self._origin,
                since_ms=self._context.clock.now_ms(),
                rooms=self._followed,
            )
        )
        self.own()
        if self.subject.expires_ms is not None:
            self.beside(self._until_expiry)
        self._event("authenticated", userId=self.subject.user_id)

    async def on_stop(self) -> None:
        self.socket.close(CloseCode.GOING_AWAY, "the service is going away; come back")
        with trio.move_on_after(GOODBYE_SECONDS):
            await self.socket.over.wait()

    def on_gone(self) -> None:
        self._context.subscriptions.remove_all(self.client_id)
        self._context.directory.disconnected(self.client_id, self.actor_ref)

    def _followed(self) -> list[str]:
        return [f"session:{one}" for one in self._sessions] + [f"runner:{one}" for one in self._runners]

    async def on_receive(self, message: Any) -> None:
        match message:
            case ClientMessage(message=said):
                await self._answer(said)
            case m.RecheckAccess():
                await self._evict()
            case m.RightsChanged(now=now):
                self.subject = now(self.subject)
                await self._evict()
            case m.TokenEnded(token_id=token_id):
                self._leave_with(token_id)
            case m.Dismiss(reason=reason):
                self.socket.close(CloseCode.POLICY, reason)
            case Hangup():
                self.stop()
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    async def _answer(self, said: Any) -> None:
        try:
            await self._do(said)
        except Trouble as trouble:
            self._error(trouble)
        except RateLimited as limited:
            self._context.measure("limit", {"limit": limited.limit})
            why = f"limit {limited.limit}: more than {limited.allowed:g} at once"
            self._error(Trouble("RATE_LIMIT", f"{why}; try again in {limited.retry_after:.3g} s"))
        except (m.RunnerOffline, m.Unsupported) as error:
            self._error(Trouble("UNAVAILABLE", str(error)))
        except KeyboardHeld as error:
            self._error(Trouble("KEYBOARD", str(error)))
        except m.AgentWaits as error:
            self._error(Trouble("WAITING", str(error)))
        except (ActorDeadError, MailboxFull, TablesUnavailable, trio.TooSlowError) as error:
            log.error("control_request_failed", request=type(said).__name__, reason=repr(error))
            self._error(Trouble("UNAVAILABLE", "the service could not do this now; try again"))

    async def _do(self, said: ControlMessage) -> None:
        if said.SCOPE is not None and said.SCOPE not in self.subject.scopes:
            raise Trouble("FORBIDDEN", f"this token does not have the scope {said.SCOPE}")
        match said:
            case Subscribe(session_id=session_id, runner_id=runner_id):
                await self._subscribe(session_id, runner_id)
            case Unsubscribe(session_id=session_id, runner_id=runner_id):
                self._unsubscribe(session_id, runner_id)
            case TerminalCommand():
                await self._terminal(said)
            case Ping():
                self._say(Pong(timestamp=self._now()))
            case _:
                raise Trouble("INVALID_MESSAGE", "this connection is authenticated already")

    # --- subscriptions ----------------------------------------------------------------------------

    async def _subscribe(self, session_id: str | None, runner_id: str | None) -> None:
        """Subscribe to everything that is asked for, or to nothing."""
        self._context.allowances.subscriptions.take(self.subject.user_id or "", trio.current_time())
        if len(self._sessions) + len(self._runners) + 2 > self._most:
            raise Trouble("FORBIDDEN", f"a connection may have at most {self._most} subscriptions")
        if session_id is not None and not await self._may_read_session(session_id):
            raise Trouble("FORBIDDEN", NOT_YOURS.format("session"))
        if runner_id is not None and not await self._may_see_runner(runner_id):
            raise Trouble("FORBIDDEN", NOT_YOURS.format("runner"))
        state = None if session_id is None else self._context.board.session(session_id)
        if session_id is not None and state is not None:
            self._sessions[session_id] = state.village_id
            self._context.subscriptions.add(f"session:{session_id}", self.client_id, self._tell_session)
        if runner_id is not None:
            self._runners.add(runner_id)
            self._context.subscriptions.add(f"runner:{runner_id}", self.client_id, self._tell_runner)
        self._event("subscribed", sessionId=session_id, runnerId=runner_id)
        self._tell_pending(session_id)

    def _unsubscribe(self, session_id: str | None, runner_id: str | None) -> None:
        """Stop following them; what is not followed is no error."""
        if session_id is not None:
            self._sessions.pop(session_id, None)
            self._context.subscriptions.remove(f"session:{session_id}", self.client_id)
        if runner_id is not None:
            self._runners.discard(runner_id)
            self._context.subscriptions.remove(f"runner:{runner_id}", self.client_id)
        self._event("unsubscribed", sessionId=session_id, runnerId=runner_id)

    async def _evict(self) -> None:
        """Send no more what may not be seen any more: rights have changed."""
        for session_id in list(self._sessions):
            if not await self._may_read_session(session_id):
                self._unsubscribe(session_id, None)
        for runner_id in list(self._runners):
            if not await self._may_see_runner(runner_id):
                self._unsubscribe(None, runner_id)

    async def _until_expiry(self) -> None:
        """The connection ends with the token that it came in with."""
        expires = self.subject.expires_ms or 0
        while (left := expires - self._context.clock.now_ms()) >= 0:  # noqa: ASYNC110 - the wall clock may be set
            await trio.sleep(min(EXPIRY_SECONDS, (left + 1) / 1000))
        self.socket.close(CloseCode.POLICY, "your sign-in is over; sign in again")

    def _leave_with(self, token_id: str) -> None:
        """A token has ended; where it is the one of this connection, the connection ends with it."""
        if token_id == self.subject.token_id:
            self.socket.close(CloseCode.POLICY, "you were signed out")

    async def _may_read_session(self, session_id: str) -> bool:
        state = self._context.board.session(session_id)
        return state is not None and await self._access.may_read(self.subject, state.village_id)

    async def _may_see_runner(self, runner_id: str) -> bool:
        """Return whether the client may see a session of the runner, and so the runner."""
        for village_id in sorted({state.village_id for state in self._context.board.of_runner(runner_id)}):
            if await self._access.may_read(self.subject, village_id):
                return True
        return False

    def _tell_pending(self, session_id: str | None) -> None:
        """Send the undecided approvals: a client that subscribes late must see them too."""
        state = None if session_id is None else self._context.board.session(session_id)
        if state is None:
            return
        for approval in self._context.undecided(state):
            self._say(approval_request(approval, iso(approval.requested_at)))

    def _tell_session(self, news: Any) -> None:
        """Tell of a session's events. Called by the village, between two events: must not wait."""
        state, event = news
        if self._sessions.get(state.session_id) != state.village_id:
            return  # the session that was asked for was forgotten before it began, and this one is of another village
        for frame in self._feed.frames(state, event):
            self.socket.send_frame(frame)

    def _tell_runner(self, news: Any) -> None:
        self._event("runner_status", **news)

    # --- the terminal -----------------------------------------------------------------------------

    async def _terminal(self, said: TerminalCommand) -> None:
        if said.session_id not in self._sessions:
            raise Trouble("NOT_SUBSCRIBED", f"subscribe to session {said.session_id[:200]} first")
        order = m.Input(typed_text(said)) if said.action == "input" else m.Resize(*new_size(said))
        try:
            state = await commands.visible(self._context, self._access, self.subject, said.session_id)
            await commands.drive(self._context, self.subject, self._origin, state, order)
        except commands.NotVisible:
            raise Trouble("UNAVAILABLE", "the session was deleted, or you may no longer see it") from None
        except commands.NotAllowed:
            raise Trouble("FORBIDDEN", "you may watch this session, not drive it") from None

    # --- out --------------------------------------------------------------------------------------

    def _event(self, event: Any, **data: str | None) -> None:
        present = {name: value for name, value in data.items() if value is not None}
        self._say(EventMessage(event=event, data=present, timestamp=self._now()))

    def _error(self, trouble: Trouble) -> None:
        self._say(ControlError(code=trouble.code, message=trouble.message, timestamp=self._now()))

    def _say(self, message: Any) -> None:
        self.socket.send(encode(message))

    def _now(self) -> str:
        return iso(self._context.clock.now_ms())
