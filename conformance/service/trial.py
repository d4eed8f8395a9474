"""Steps of a trial of a service, as a client: ask, join, say wrong things, run a session and come back to it."""

import re
import secrets
from collections.abc import Sequence
from typing import Any, cast

import attrs
import trio

from townwatch.conformance.report import KitReport
from townwatch.conformance.service.lines import ControlLine, Json, ServiceUnderTest, ViewerLine
from townwatch.contracts.asyncapi.wires import SOCKETIO
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.net.http_client import NotAnswered

SESSIONS = "/api/runner/sessions"
SCRIPT = 'while read -r word; do echo "got:$word"; [ "$word" = bye ] && exit 0; done'
ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$")
BAD_TOKEN = "tw_no_token_of_this_service"
MANY_JOINS = 40
SHOWN = frozenset({"TERMINAL_CHUNK", "SESSION_STATE_CHANGED", "SESSION_STARTED", "SESSION_ENDED"})
"""Events of the log that are work_stream_events to everyone in the village."""
DECODERS = {name: Decoder(*kinds) for name, kinds in SOCKETIO.sent.items() if kinds}


@attrs.frozen(kw_only=True)
class ServiceOptions:
    """`directory`: where a session may run, on a runner of the village. `patience`: seconds that an answer may take."""

    village: str = "demo"
    directory: str = "/tmp"
    runner_id: str | None = None
    patience: float = 15.0


@attrs.define(eq=False)
class ServiceTrial:
    """One run of the kit."""

    service: ServiceUnderTest
    report: KitReport
    options: ServiceOptions

    async def run(self) -> None:
        """Run every step; what could not be seen says why in the report. Raises `NotAnswered`: there is no service."""
        await self._rest()
        await self._handshakes()
        await self._words()
        await self._control_words()
        started = await self._start()
        if started is not None:
            await self._session(*started)
        await self._rate()
        for name in self.report.rules:
            self.report.not_seen(name, "it did not occur in this trial")

    # --- REST ---------------------------------------------------------------------------------------------------------

    async def _rest(self) -> None:
        for path, expected in (("/api/no-such-thing", 404), (f"{SESSIONS}/no-such-session", 404)):
            status, found = await self.service.rest("GET", path)
            right = status == expected and _is_error(found)
            self.report.judge("rest.error", right, f"GET {path}: {status} {_brief(found)}")
        status, found = await self.service.rest("GET", "/api/me", token=BAD_TOKEN)
        self.report.judge("rest.bad_token", status == 401 and _is_error(found), f"{status} {_brief(found)}")
        status, found = await self.service.rest("GET", f"{SESSIONS}?limit=1")
        right = status == 200 and isinstance(found, dict) and "next" in found and isinstance(found.get("items"), list)  # pyright: ignore[reportUnknownMemberType]
        self.report.judge("rest.list", right, f"{status} {_brief(found)}")
        status, found = await self.service.rest("POST", SESSIONS, {"providerId": 5})
        if status == 403:
            self.report.not_seen("rest.bad_body", "the token may not start sessions")
        else:
            right = status == 400 and _is_error(found) and "providerId" in _brief(found)
            self.report.judge("rest.bad_body", right, f"providerId 5: {status} {_brief(found)}")

    async def _start(self) -> tuple[str, str] | None:
        """Start a session and return its id and its agent's; None, with the reason noted, where that cannot be."""
        body: Json = {
            "villageId": self.options.village,
            "providerId": "command",
            "command": ["sh", "-c", SCRIPT],
            "repoRef": {"provider": "local", "path": self.options.directory},
            "task": {"title": "Conformance", "goal": "Say what is typed."},
            "agentName": f"conformance {secrets.token_hex(3)}",
            "fromTheFuture": {"a": 1},
        }
        if self.options.runner_id is not None:
            body["runnerId"] = self.options.runner_id
        status, found = await self.service.rest("POST", SESSIONS, body)
        if status == 201:
            self.report.keep("rest.unknown_field")
            return str(found["sessionId"]), str(found["agentId"])
        why = f"no session could be started: {status} {_brief(found)}"
        if status == 400:
            self.report.broke("rest.unknown_field", why)
        for name in self.report.rules:
            if name not in ("join.rate",):
                self.report.not_seen(name, why)
        return None

    # --- Socket.IO ----------------------------------------------------------------------------------------------------

    async def _handshakes(self) -> None:
        async with self.service.viewer(BAD_TOKEN) as line:
            refused = line.refused or {}
            right = bool(refused.get("message")) and _at(refused.get("data"), "code") == "WS_INVALID_TOKEN"
            self.report.judge("handshake.bad_token", right, f"answered {_brief(line.refused or line.admitted)}")
        async with self.service.viewer() as line:
            opened = line.opened or {}
            missing = [name for name in ("sid", "pingInterval", "pingTimeout", "maxPayload") if not opened.get(name)]
            self.report.judge(
                "handshake", not missing and bool(line.admitted), f"{_brief(line.opened)} lacks {missing}"
            )

    async def _ask(self, line: ViewerLine, event: str, *payload: Any) -> Any:
        """Return the first value of an acknowledgement; None for none."""
        answer = await line.ask(event, *payload, seconds=self.options.patience)
        return answer[0] if answer else None

    async def _words(self) -> None:
        """Say what is right, wrong and unheard of, in rooms where nothing has to happen."""
        village = self.options.village
        async with self.service.viewer() as line:
            joined = await self._ask(line, "join_village", {"villageId": village})
            right = _ok(joined) and joined.get("room") == f"village:{village}"
            self.report.judge("join", right, f"join_village {village}: {_brief(joined)}")
            future = await self._ask(line, "join_village", {"villageId": village, "fromTheFuture": [1]})
            self.report.judge("field.unknown", _ok(future), f"with one more field: {_brief(future)}")
            await self._refused(line, "join.refused", {"villageId": "no-such-village"}, ("E_FORBIDDEN",))
            await self._refused(line, "join.bad_payload", {"villageId": 5}, ("E_BAD_PAYLOAD",))
            await line.emit("from_the_future", {"x": 1})
            pong = await line.ask("ping", seconds=self.options.patience)
            self.report.judge("event.unknown", not line.gone, "the connection ended after an unknown event")
            self.report.judge("ping", pong is not None, "ping was not acknowledged")
            self._shapes(line)

    async def _refused(self, line: ViewerLine, name: str, payload: Json, codes: Sequence[str]) -> None:
        before = len(line.named("ws_error"))
        ack = await self._ask(line, "join_village", payload)
        told = await line.until(lambda: line.named("ws_error")[before:], self.options.patience)
        shape = isinstance(ack, dict) and cast(Json, ack).get("ok") is False and _is_error(ack)
        right = shape and cast(Any, ack)["error"]["code"] in codes and bool(told) and told[0] == ack
        self.report.judge(name, right, f"{_brief(payload)}: acknowledged {_brief(ack)}, ws_error {_brief(told)}")

    async def _rate(self) -> None:
        async with self.service.viewer() as line:
            for _ in range(MANY_JOINS):
                ack = await self._ask(line, "join_village", {"villageId": self.options.village})
                if not _ok(ack):
                    error = _at(ack, "error")
                    right = _at(error, "code") == "E_RATE_LIMIT" and bool(_at(error, "retryAfter"))
                    self.report.judge("join.rate", right, f"refused with {_brief(ack)}")
                    return
        self.report.broke("join.rate", f"{MANY_JOINS} joins in a row were all taken")

    # --- a session ----------------------------------------------------------------------------------------------------

    async def _session(self, session_id: str, agent_id: str) -> None:
        """Follow a session over Socket.IO and /ws, leave it, come back to it, and see it end."""
        patience = self.options.patience * 2
        async with self.service.control() as control:
            await self._subscribe(control, session_id)
            async with self.service.viewer() as line:
                await self._ask(line, "join_village", {"villageId": self.options.village, "since": {}})
                await self._ask(line, "join_agent", {"agentId": agent_id})
                running = await line.until(lambda: "RUNNING" in _states(line, session_id), patience)
                if not running:
                    self.report.not_seen("input", f"the session did not come to RUNNING: {_states(line, session_id)}")
                ack = await self._ask(line, "terminal_input", {"sessionId": session_id, "data": "hello\r"})
                shown = await line.until(lambda: "got:hello" in _output(line, session_id), patience)
                self.report.judge(
                    "input", _ok(ack) and bool(shown), f"{_brief(ack)}; shown {_output(line, session_id)!r}"
                )
                self._judge_stream(line, session_id)
                seen = max([0, *_seqs(line, session_id)])
            await self.service.rest("POST", f"{SESSIONS}/{session_id}/input", {"data": "meanwhile", "mode": "line"})
            await self._terminal(session_id, agent_id)
            await self._logged(session_id, "got:meanwhile")
            await self._come_back(session_id, seen)
            done = await control.next(0, lambda one: one.get("action") == "completed", patience)
            kinds = {str(one.get("action")) for one in control.messages}
            right = bool(done) and {"output", "state_change"} <= kinds
            self.report.judge("control.session", right, f"actions that came: {sorted(kinds - {'None'})}")
            self._timestamps(control)

    async def _logged(self, session_id: str, text: str) -> None:
        """Wait until the durable log has a text: what comes later would not be missed."""
        with trio.move_on_after(self.options.patience):
            while text not in str((await self.service.rest("GET", f"{SESSIONS}/{session_id}/events?limit=1000"))[1]):  # noqa: ASYNC110 - another process brings it about
                await trio.sleep(0.1)

    async def _come_back(self, session_id: str, seen: int) -> None:
        """Join with since: what was missed comes first, then the end of the session, live."""
        patience = self.options.patience * 2
        async with self.service.viewer() as line:
            wanted = {"villageId": self.options.village, "since": {session_id: seen}}
            ack = await self._ask(line, "join_village", wanted)
            positions = _at(ack, "positions")
            right = isinstance(positions, dict) and session_id in positions
            self.report.judge("since.positions", right, f"acknowledged {_brief(ack)}")
            await line.until(lambda: "got:meanwhile" in _output(line, session_id), patience)
            await self.service.rest("POST", f"{SESSIONS}/{session_id}/input", {"data": "bye", "mode": "line"})
            gone = await line.until(lambda: _mine(line.named("agent_disconnect"), session_id), patience)
            kinds = [name if name != "work_stream_event" else payload["type"] for name, payload in line.events
                     if _mine([payload], session_id)]  # fmt: skip
            right = (
                bool(gone) and "session_end" in kinds and kinds.index("session_end") < kinds.index("agent_disconnect")
            )
            self.report.judge("session.end", right, f"the last events were {kinds[-5:]}")
            self._judge_stream(line, session_id)
            await self._judge_missed(line, session_id, seen)

    async def _judge_missed(self, line: ViewerLine, session_id: str, seen: int) -> None:
        """Compare what came after `since` with the durable log."""
        _, found = await self.service.rest("GET", f"{SESSIONS}/{session_id}/events?after={seen}&limit=1000")
        logged: list[Json] = _at(found, "items") or []
        gaps = [(int(_at(one, "from") or 0), int(_at(one, "to") or 0)) for one in line.named("gap")]
        missing = {int(one["seq"]) for one in logged if one["type"] in SHOWN} - set(_seqs(line, session_id))
        missing = {seq for seq in missing if not any(first <= seq <= last for first, last in gaps)}
        right = bool(logged) and not missing and "got:meanwhile" in _output(line, session_id)
        self.report.judge("since.whole", right, f"since {seen}, {sorted(missing)} of the log did not come, gaps {gaps}")

    async def _terminal(self, session_id: str, agent_id: str) -> None:
        async with self.service.viewer() as line:
            await self._ask(line, "join_agent", {"agentId": agent_id, "terminal": True})
            await line.until(lambda: line.named("terminal_output"), self.options.patience)
            text = "".join(str(one.get("data", "")) for one in line.named("terminal_output"))
            right = "hello" in text and not _output(line, session_id)
            what = f"terminal_output {text[:80]!r}, output {_output(line, session_id)[:80]!r}"
            self.report.judge("terminal", right, what)
            self._shapes(line)

    def _judge_stream(self, line: ViewerLine, session_id: str) -> None:
        self._shapes(line)
        mine = [(name, payload) for name, payload in line.events if _mine([payload], session_id)]
        kinds = [payload["type"] if name == "work_stream_event" else name for name, payload in mine]
        if "session_start" in kinds:
            right = kinds[0] == "agent_spawn"
            self.report.judge("event.spawn", right, f"the first events were {kinds[:8]}")
        seqs = _seqs(line, session_id)
        twice = sorted({seq for seq in seqs if seqs.count(seq) > 1})
        self.report.judge("event.once", not twice, f"work_stream_event seq {twice} came more than once")
        self.report.judge("event.order", seqs == sorted(seqs), f"the seqs came as {seqs[:20]}")
        nulls = [f"{one['type']}.{key}" for one in _mine(line.named("work_stream_event"), session_id)
                 for key, value in one["payload"].items() if value is None]  # fmt: skip
        self.report.judge("event.left_out", not nulls, f"null in {', '.join(sorted(set(nulls)))}")

    def _shapes(self, line: ViewerLine) -> None:
        for name, payload in line.events:
            if name in DECODERS:
                try:
                    DECODERS[name].convert(payload)
                except ContractError as error:
                    self.report.broke("event.shape", f"{name}: {error}, in {_brief(payload)}")
                else:
                    self.report.keep("event.shape")

    # --- the control WebSocket ----------------------------------------------------------------------------------------

    async def _control_words(self) -> None:
        patience = self.options.patience
        async with self.service.control() as line:
            first = await line.next(0, lambda _one: True, patience) or {}
            right = first.get("event") == "connected" and bool(_at(first.get("data"), "clientId"))
            self.report.judge("control.connected", right, f"the first message is {_brief(first)}")
            for name, message, code in (
                ("control.first_authenticate", '{"type": "subscribe", "sessionId": "s"}', "NOT_AUTHENTICATED"),
                ("control.bad_token", f'{{"type": "authenticate", "token": "{BAD_TOKEN}"}}', "AUTH_FAILED"),
                ("control.unknown_type", '{"type": "from_the_future"}', "UNKNOWN_MESSAGE_TYPE"),
                ("control.unknown_type", "no JSON", "INVALID_MESSAGE"),
            ):
                since = len(line.messages)
                await line.say(message)
                found = await line.next(since, lambda one: one.get("type") == "error", patience)
                right = (found or {}).get("code") == code and bool((found or {}).get("message")) and not line.gone
                self.report.judge(name, right, f"{message} was answered {_brief(found)}")
            since = len(line.messages)
            await line.say('{"type": "ping", "fromTheFuture": 1}')
            pong = await line.next(since, lambda one: one.get("type") == "pong", patience)
            self.report.judge("control.pong", pong is not None, "ping was not answered")
            self._timestamps(line)

    async def _subscribe(self, line: ControlLine, session_id: str) -> None:
        await line.say(f'{{"type": "authenticate", "token": "{self.service.token}"}}')
        found = await line.next(0, lambda one: one.get("event") == "authenticated", self.options.patience)
        right = bool(_at(_at(found, "data"), "userId"))
        self.report.judge("control.authenticated", right, f"answered {_brief(found)}")
        await line.say(f'{{"type": "subscribe", "sessionId": "{session_id}"}}')
        found = await line.next(0, lambda one: one.get("event") == "subscribed", self.options.patience)
        self.report.judge("control.subscribed", found is not None, "subscribe was not answered")

    def _timestamps(self, line: ControlLine) -> None:
        wrong = [one for one in line.messages if not ISO.match(str(one.get("timestamp")))]
        self.report.judge("control.timestamp", not wrong, f"in {_brief(wrong[:1])}")


async def reachable(service: ServiceUnderTest) -> str | None:
    """Return why there is no such service, or no such person; None where all is well."""
    try:
        status, found = await service.rest("GET", "/api/me")
    except NotAnswered as error:
        return str(error)
    return None if status == 200 else f"GET /api/me: {status} {_brief(found)}"


def _at(value: Any, name: str) -> Any:
    """Return a member of what should be an object; None where it is none, or has no such member."""
    return cast(Json, value).get(name) if isinstance(value, dict) else None


def _ok(ack: Any) -> bool:
    return isinstance(ack, dict) and cast(Json, ack).get("ok") is True


def _is_error(found: Any) -> bool:
    error: Any = cast(Json, found).get("error") if isinstance(found, dict) else None
    return isinstance(error, dict) and all(isinstance(cast(Json, error).get(one), str) for one in ("code", "message"))


def _mine(payloads: Sequence[Any], session_id: str) -> list[Any]:
    return [one for one in payloads if isinstance(one, dict) and cast(Json, one).get("sessionId") == session_id]


def _stream(line: ViewerLine, session_id: str, kind: str) -> list[Json]:
    return [one["payload"] for one in _mine(line.named("work_stream_event"), session_id) if one["type"] == kind]


def _states(line: ViewerLine, session_id: str) -> list[str]:
    return [str(one.get("newState")) for one in _stream(line, session_id, "status_change")]


def _output(line: ViewerLine, session_id: str) -> str:
    return "".join(str(one.get("data", "")) for one in _stream(line, session_id, "output"))


def _seqs(line: ViewerLine, session_id: str) -> list[int]:
    return [int(one["seq"]) for one in _mine(line.named("work_stream_event"), session_id) if "seq" in one]


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
