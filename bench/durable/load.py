"""The runners, in a process of their own: `python -m bench.durable.load '{…}'` prints one JSON object.

Two ways to load: `flood` keeps every runner's window full and counts what is acknowledged; `paced` sends so many events
a second, evenly, in bursts as a terminal makes them, and measures from the moment that an event was due to be sent.
"""

import selectors
import sys
import time
from collections import deque

import attrs
import msgspec

from bench.durable.wire import RunnerSocket

FRAME_EVENTS = 64
"""Events of one session in a frame while flooding; the real runner packs up to 256."""
LINE = "2026-11-23T07:12:00Z  building module %s: 12 files, 3 warnings, 0 errors \\u001b[32mok\\u001b[0m " + "." * 60

_HEAD = '{"type":"%s","sessionId":"%%b","orgId":"demo","ts":%%d,"seq":%%d,'
_CHUNK = (_HEAD % "TERMINAL_CHUNK" + '"data":"' + LINE % "core" + '\\r\\n","stream":"stdout"}').encode()
_TOUCH = (_HEAD % "FILE_TOUCHED" + '"path":"src/module/file.py","roomPath":"src/module","reason":"write"}').encode()
_PROVIDER = (
    _HEAD % "PROVIDER_EVENT_FORWARDED" + '"providerEvent":{"type":"tool_use","providerId":"codex",'
    '"timestamp":1763881920000,"name":"shell","input":{"command":"make test"}}}'
).encode()
_TICK = (
    _HEAD % "USAGE_TICK" + '"providerId":"codex","intervalMs":30000,"units":{"agentSeconds":30,"terminalKb":12.5,'
    '"filesTouched":2,"commandsRun":1,"approvalsRequested":0,"inputTokens":1200,"outputTokens":300}}'
).encode()
_START = (
    _HEAD % "SESSION_STARTED" + '"providerId":"codex","providerVersion":"1","workspacePath":"/work",'
    '"repoRef":{"provider":"local","path":"/src/repo"}}'
).encode()
MIX = (*[_CHUNK] * 5, _TOUCH, *[_CHUNK] * 5, _PROVIDER, *[_CHUNK] * 5, _TOUCH, *[_CHUNK] * 2)
"""Twenty events: 17 of terminal output, 2 files, 1 of the provider's; 260 bytes on average. And usage now and then."""


def event(session: bytes, seq: int, now_ms: int) -> bytes:
    """The session's event number `seq`: the first one starts it."""
    shape = _START if seq == 1 else _TICK if seq % 200 == 0 else MIX[seq % len(MIX)]
    return shape % (session, now_ms, seq)


@attrs.frozen(kw_only=True)
class Job:
    """rate: events/s over all sessions, None for as many as are taken. burst: events of a session at a time."""

    url: str
    token: str
    runner_id: str
    sessions: int
    runners: int
    seconds: float
    name: str
    rate: float | None = None
    burst: int = 10
    warm_up: float = 1.0


@attrs.frozen(kw_only=True)
class Outcome:
    """`events` of the measured part, `all_events` with the warm-up's. `latencies`: milliseconds from due to
    acknowledged; p50, p99, max.
    """

    events: int
    all_events: int
    seconds: float
    latencies: tuple[float, float, float]


@attrs.define(eq=False)
class Talk:
    """One session: what was sent, and when it was due, until it is acknowledged."""

    name: bytes
    sent: int = 0
    acked: int = 0
    flying: deque[tuple[int, int, float]] = attrs.field(factory=deque)


@attrs.define(eq=False)
class Runner:
    """One connection with its sessions."""

    socket: RunnerSocket
    talks: list[Talk]
    in_flight: int = 0
    next: int = 0

    def send(self, talk: Talk, count: int, due: float) -> None:
        now_ms = time.time_ns() // 1_000_000
        events = [event(talk.name, seq, now_ms) for seq in range(talk.sent + 1, talk.sent + count + 1)]
        self.socket.say(b'{"type":"events","events":[' + b",".join(events) + b"]}")
        talk.sent += count
        talk.flying.append((talk.sent, count, due))
        self.in_flight += count

    def fill(self) -> None:
        """Use the whole window, session after session."""
        while not self.socket.congested and (room := self.socket.window - self.in_flight) > 0:
            self.send(self.talks[self.next], min(room, FRAME_EVENTS), time.perf_counter())
            self.next = (self.next + 1) % len(self.talks)

    def hear(self, by_name: dict[bytes, Talk], heard: list[tuple[float, int, float]]) -> None:
        """Take the acknowledgements: (when, events, seconds since due) into `heard`."""
        for name, seq in self.socket.acks():
            talk, now = by_name[name], time.perf_counter()
            self.in_flight -= max(0, seq - talk.acked)
            talk.acked = max(talk.acked, seq)
            while talk.flying and talk.flying[0][0] <= seq:
                _, count, due = talk.flying.popleft()
                heard.append((now, count, now - due))


class Load:
    """The whole job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._by_name: dict[bytes, Talk] = {}
        self._heard: list[tuple[float, int, float]] = []
        self._runners: list[Runner] = []
        self._selector = selectors.DefaultSelector()
        for number in range(job.runners):
            socket = RunnerSocket(job.url, job.token, f"{job.runner_id}.bench-{job.name}-{number}")
            names = [f"{job.name}-{i:04d}".encode() for i in range(number, job.sessions, job.runners)]
            runner = Runner(socket, [Talk(name) for name in names])
            self._by_name |= {talk.name: talk for talk in runner.talks}
            self._runners.append(runner)
            self._selector.register(socket, selectors.EVENT_READ, runner)

    def run(self) -> Outcome:
        for runner in self._runners:  # every session is known before the clock runs
            for talk in runner.talks:
                runner.send(talk, 1, time.perf_counter())
        while any(runner.in_flight for runner in self._runners):
            self._listen(1.0)
        begun = time.perf_counter()
        since, until = begun + self._job.warm_up, begun + self._job.warm_up + self._job.seconds
        if self._job.rate is None:
            self._flood(until)
        else:
            self._pace(self._job.rate, begun, until)
        measured = [one for one in self._heard if since <= one[0] < until]
        return Outcome(
            events=sum(count for _, count, _ in measured),
            all_events=sum(count for _, count, _ in self._heard),
            seconds=self._job.seconds,
            latencies=_latencies(measured),
        )

    def _flood(self, until: float) -> None:
        while time.perf_counter() < until:
            for runner in self._runners:
                runner.socket.flush()
                runner.fill()
            self._listen(0.05)
        self._settle()

    def _pace(self, rate: float, begun: float, until: float) -> None:
        """Bursts go round all sessions; one that finds the window full waits, and its clock runs on."""
        due_list = [(runner, talk) for runner in self._runners for talk in runner.talks]
        gap, burst = self._job.burst / rate, self._job.burst
        turn, waiting = 0, deque[tuple[Runner, Talk, float]]()
        while (now := time.perf_counter()) < until:
            while (due := begun + turn * gap) <= now:
                waiting.append((*due_list[turn % len(due_list)], due))
                turn += 1
            for _ in range(len(waiting)):
                runner, talk, wanted = waiting.popleft()
                if runner.in_flight + burst <= runner.socket.window and not runner.socket.congested:
                    runner.send(talk, burst, wanted)
                else:
                    runner.socket.flush()
                    waiting.append((runner, talk, wanted))
            self._listen(max(0.0, min(due, until) - time.perf_counter()))
        self._settle()

    def _settle(self) -> None:
        """Everything that was sent is acknowledged in the end; a service that does not is stuck."""
        deadline = time.perf_counter() + 30
        while any(runner.in_flight for runner in self._runners):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{sum(r.in_flight for r in self._runners)} events were never acknowledged")
            for runner in self._runners:
                runner.socket.flush()
            self._listen(0.05)

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data.hear(self._by_name, self._heard)


def _latencies(measured: list[tuple[float, int, float]]) -> tuple[float, float, float]:
    """p50, p99 and the longest in milliseconds, each event counted."""
    ordered = sorted((seconds, count) for _, count, seconds in measured)
    total, passed = sum(count for _, count in ordered), 0
    found: list[float] = []
    for seconds, count in ordered:
        passed += count
        while len(found) < 2 and passed >= total * (0.5, 0.99)[len(found)]:
            found.append(seconds * 1000)
    return (found[0], found[1], ordered[-1][0] * 1000) if ordered else (0.0, 0.0, 0.0)


def main() -> None:
    job = msgspec.json.decode(sys.argv[1], type=Job)
    print(msgspec.json.encode(Load(job).run()).decode())


if __name__ == "__main__":
    main()
