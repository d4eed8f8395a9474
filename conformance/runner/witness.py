"""Judges what a runner says, message by message and over all of its connections. Does nothing itself."""

import json
from typing import Any, cast

import attrs

from townwatch.conformance.report import KitReport
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import FINAL_STATES, is_transition
from townwatch.contracts.link import Events, Heartbeat, Hello, Result, decode_from_runner

Json = dict[str, Any]
KINDS = frozenset(cls.TYPE for cls in (Hello, Events, Heartbeat, Result))
YEAR_2001_MS = 1_000_000_000_000
CLOCK_TOLERANCE_MS = 5_000


@attrs.define(eq=False)
class SeenSession:
    """Messages that came of one session. `acked`: everything up to it was acknowledged."""

    session_id: str
    events: dict[int, Json] = attrs.field(factory=dict[int, Json])
    acked: int = 0
    nacked: set[int] = attrs.field(factory=set[int])
    state: str | None = None
    ended_at: int | None = None

    @property
    def highest(self) -> int:
        """The highest number that came, 0 before any did."""
        return max(self.events, default=self.acked)

    def next_after(self, seq: int) -> int:
        """Return the number that has to come behind `seq`."""
        seq += 1
        while seq in self.nacked:
            seq += 1
        return seq

    def of_type(self, kind: str) -> list[Json]:
        """Return its events of a type, in order."""
        return [self.events[seq] for seq in sorted(self.events) if self.events[seq].get("type") == kind]

    @property
    def output(self) -> str:
        """Text that its terminal has shown."""
        return "".join(str(one.get("data", "")) for one in self.of_type("TERMINAL_CHUNK"))


@attrs.define(eq=False)
class HeardConnection:
    """Messages that came on one connection."""

    now_ms: float
    """When it was opened."""
    hello: Json | None = None
    expected: dict[str, int] = attrs.field(factory=dict[str, int])
    """Session → the number that has to come next."""
    resumed: dict[str, int] = attrs.field(factory=dict[str, int])
    """Session → resumeFrom of the welcome."""
    came: dict[str, set[int]] = attrs.field(factory=dict[str, set[int]])
    results: list[Json] = attrs.field(factory=list[Json])
    heartbeats: list[float] = attrs.field(factory=list[float])
    """When they came, in seconds."""
    active: list[str] | None = None


@attrs.define(eq=False)
class Witness:
    """All that the runner under test has said. `orgs`: session → the orgId of its start command."""

    report: KitReport
    sessions: dict[str, SeenSession] = attrs.field(factory=dict[str, SeenSession])
    orgs: dict[str, str] = attrs.field(factory=dict[str, str])
    runner_id: str | None = None
    call: float = float("-inf")
    window: int = 0
    _offset: float | None = None

    def session(self, session_id: str) -> SeenSession:
        """Return what is known of a session, from now on if nothing was."""
        return self.sessions.setdefault(session_id, SeenSession(session_id))

    def hear(self, heard: HeardConnection, data: str | bytes, now: float, now_ms: float) -> str | None:
        """Judge one message; return its type, None for one that cannot be read. `now`: in seconds."""
        message = self._read(data)
        if message is None:
            return None
        kind = str(message["type"])
        if heard.hello is None:
            first = kind == "hello"
            self.report.judge("hello.first", first, f"the first message was {kind}")
            if not first:
                return kind
        try:
            decode_from_runner.decode(encode(message))
        except ContractError as error:
            if kind == "hello":
                self.report.broke("hello.shape", str(error))
                heard.hello = message
            elif kind == "result":
                self.report.broke("command.result", f"{error}, in {_brief(message)}")
            else:
                self.report.broke("frame.text", f"{kind}: {error}")
            return kind
        match kind:
            case "hello":
                self._hello(heard, message, now_ms)
            case "events":
                for event in cast("list[Any]", message["events"]):
                    self._event(heard, event)
            case "heartbeat":
                heard.heartbeats.append(now)
                heard.active = message.get("activeSessions")
                self._clock("heartbeat", message["ts"], now_ms)
            case _:
                heard.results.append(message)
        return kind

    def in_flight(self, heard: HeardConnection) -> int:
        """Return how many events came on a connection and are not acknowledged."""
        return sum(len([seq for seq in came if seq > self.session(name).acked and seq not in self.session(name).nacked])
                   for name, came in heard.came.items())  # fmt: skip

    # --- one message --------------------------------------------------------------------------------------------------

    def _read(self, data: str | bytes) -> Json | None:
        if isinstance(data, bytes):
            self.report.broke("frame.text", f"a binary frame of {len(data)} bytes")
            return None
        try:
            message = json.loads(data)
        except ValueError as error:
            self.report.broke("frame.text", f"no JSON ({error}): {data[:80]!r}")
            return None
        if not isinstance(message, dict) or cast(Json, message).get("type") not in KINDS:
            self.report.broke(
                "frame.text", f"not an object whose type is one of {', '.join(sorted(KINDS))}: {data[:80]!r}"
            )
            return None
        self.report.keep("frame.text")
        return cast(Json, message)

    def _hello(self, heard: HeardConnection, hello: Json, now_ms: float) -> None:
        if heard.hello is not None:
            self.report.broke("hello.first", "a second hello on the same connection")
            return
        heard.hello = hello
        lacking = [name for name in ("capabilities", "sessions") if name not in hello]
        self.report.judge("hello.shape", not lacking, f"left out: {', '.join(lacking)}")
        runner_id = str(hello["runnerId"])
        if self.runner_id is not None:
            self.report.judge("hello.same_runner", runner_id == self.runner_id, f"{self.runner_id}, then {runner_id}")
        self.runner_id = runner_id
        if isinstance(hello.get("call"), int):
            self.report.judge("hello.call", hello["call"] > self.call, f"{hello['call']} after {self.call:g}")
            self.call = hello["call"]
        if "clock" in hello:
            self._offset = None
            self._clock("hello", hello["clock"], now_ms)
        self._held(hello)

    def _clock(self, where: str, said: Any, now_ms: float) -> None:
        """Compare what the runner's clock says with ours: the difference has to stay."""
        offset = float(said) - now_ms
        if where == "heartbeat" and self._offset is not None:
            drift = abs(offset - self._offset)
            self.report.judge(
                "hello.clock", drift < CLOCK_TOLERANCE_MS, f"hello's clock and ts differ by {drift:.0f} ms"
            )
        if where == "hello":
            self._offset = offset

    def _held(self, hello: Json) -> None:
        held = {str(one["sessionId"]): one for one in cast("list[Json]", hello.get("sessions", []))}
        for name, seen in self.sessions.items():
            one = held.get(name)
            if one is None and seen.highest > seen.acked:
                self.report.broke(
                    "hello.sessions", f"session {name} is not named, and {seen.highest - seen.acked} events wait"
                )
            elif one is not None:
                first, last = int(one["firstSeq"]), int(one["lastSeq"])
                above = seen.next_after(seen.acked)
                right = first <= above and last >= seen.highest
                self.report.judge(
                    "hello.sessions", right,
                    f"session {name}: {first} to {last}; acknowledged are {seen.acked}, and {seen.highest} has come",
                )  # fmt: skip

    def _event(self, heard: HeardConnection, event: Any) -> None:
        try:
            decode_event(encode(event))
        except ContractError as error:
            self.report.broke("event.shape", f"{error}, in {_brief(event)}")
            if not isinstance(event, dict) or not isinstance(cast(Json, event).get("seq"), int):
                return
        else:
            self.report.keep("event.shape")
        values = cast(Json, event)
        name, seq = str(values.get("sessionId")), int(values["seq"])
        seen = self.session(name)
        if name in self.orgs:
            right = values.get("orgId") == self.orgs[name]
            self.report.judge("event.session", right, f"orgId {values.get('orgId')!r} in seq {seq}")
        ts = values.get("ts", 0)
        self.report.judge("event.milliseconds", ts > YEAR_2001_MS, f"ts {ts} in seq {seq}: seconds?")
        fresh = self._number(heard, seen, seq)
        self._content(seen, seq, values)
        heard.came.setdefault(name, set()).add(seq)
        if fresh:
            self._state(seen, values)
        flight = self.in_flight(heard)
        if self.window:
            self.report.judge("window.kept", flight <= self.window, f"{flight} events in flight of {self.window}")

    def _number(self, heard: HeardConnection, seen: SeenSession, seq: int) -> bool:
        """Judge a number; return whether it is one that had not come before."""
        name, came = seen.session_id, heard.came.get(seen.session_id, set[int]())
        resumed = heard.resumed.get(name)
        expected = heard.expected.get(name, 1)
        if seq in seen.nacked:
            self.report.broke("nack.dropped", f"seq {seq} of {name} was nacked and came again")
            return False
        if seq in came:
            self.report.broke("resume.no_doubling", f"seq {seq} of {name} came twice on one connection")
        elif seq < expected and resumed is not None and seq < resumed:
            self.report.broke("resume.from", f"seq {seq} of {name} came, and resumeFrom was {resumed}")
        elif seq != expected and resumed is not None and not came:
            self.report.broke("resume.no_loss", f"{name}: after the cut seq {expected} had to come, and {seq} came")
        elif seq != expected and resumed is not None and seq <= seen.highest:
            self.report.broke("resume.no_loss", f"{name}: seq {expected} had to come again, and {seq} came")
        elif seq != expected:
            self.report.broke("event.numbers", f"{name}: seq {expected} had to come, and {seq} came")
        else:
            self.report.keep("event.numbers")
        heard.expected[name] = max(expected, seen.next_after(seq))
        return seq > seen.highest

    def _content(self, seen: SeenSession, seq: int, event: Json) -> None:
        before = seen.events.setdefault(seq, event)
        if before is not event:
            what = f"seq {seq} of {seen.session_id} was {_brief(before)} and is {_brief(event)}"
            self.report.judge("resume.same_event", before == event, what)

    def _state(self, seen: SeenSession, event: Json) -> None:
        kind, seq = event.get("type"), int(event["seq"])
        if seen.ended_at is not None:
            self.report.judge("event.end", kind == "DIFF_SUMMARY", f"{kind} behind SESSION_ENDED, seq {seq}")
        match kind:
            case "SESSION_STATE_CHANGED":
                before, after = str(event.get("previousState")), str(event.get("newState"))
                right = is_transition(before, after) and seen.state in (None, before)
                self.report.judge("event.states", right, f"{before} to {after} in seq {seq}, from {seen.state}")
                seen.state = after
            case "SESSION_ENDED":
                seen.ended_at = seq
                right = event.get("finalState") in FINAL_STATES
                self.report.judge("event.end", right, f"finalState {event.get('finalState')} is none")
            case _:
                pass


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]}…"
