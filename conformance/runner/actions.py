"""Actions that every step of a trial needs: the runner's next connection, a command and its result, a line that is
typed.
"""

import secrets
from itertools import pairwise
from typing import Any, cast

import attrs
import trio

from townwatch.conformance.report import KitReport
from townwatch.conformance.runner.stand_in import Peer, StandIn
from townwatch.conformance.runner.witness import SeenSession, Witness

ORG = "conformance"
SCRIPT = (
    "while read -r word rest; do case $word in"
    ' count) i=0; while [ $i -lt "$rest" ]; do i=$((i+1)); echo "line $i"; sleep 0.05; done;;'
    ' run) eval "$rest";;'
    ' *) echo "got:$word";; esac; done'
)
"""What the session runs: a shell that answers what is typed."""
Json = dict[str, Any]


@attrs.frozen(kw_only=True)
class TrialOptions:
    """`ask`: a shell command that asks for an approval when it is run inside a session. `patience`: seconds that an
    answer may take; `wait`: that the first connection may; `end`: that a session may after stop; `hang`: that the
    runner has to notice a service that hangs (None: not tried).
    """

    directory: str
    provider: str | None = None
    command: list[str] | None = None
    ask: str | None = None
    wait: float = 300.0
    patience: float = 15.0
    end: float = 30.0
    hang: float | None = None
    heartbeat_ms: int = 2000
    window: int = 8


class TrialOver(Exception):
    """The trial cannot go on: the runner is gone, or runs no session. The message says why."""


@attrs.define(eq=False)
class TrialActions:
    """The means of a trial. `talks`: whether the session runs our script."""

    stand_in: StandIn
    report: KitReport
    options: TrialOptions
    session_id: str = attrs.field(factory=lambda: secrets.token_hex(16))
    current: Peer | None = None
    talks: bool = False
    _typed: int = 0

    @property
    def peer(self) -> Peer:
        assert self.current is not None
        return self.current

    @property
    def witness(self) -> Witness:
        return self.stand_in.witness

    @property
    def seen(self) -> SeenSession:
        return self.witness.session(self.session_id)

    async def back_if_gone(self) -> None:
        if self.peer.gone:
            await self.reconnect()

    @property
    def interval(self) -> float:
        return self.options.heartbeat_ms / 1000

    async def welcome(self, peer: Peer, resume: dict[str, int] | None = None) -> None:
        points: list[Json] = []
        for held in (peer.heard.hello or {}).get("sessions", []):
            name = str(held["sessionId"])
            known = name in self.witness.sessions
            seen = self.witness.session(name)
            point = (resume or {}).get(name) or (seen.acked + 1 if known else int(held["firstSeq"]))
            seen.acked = max(seen.acked, point - 1)
            points.append({"sessionId": name, "resumeFrom": point})
            peer.heard.resumed[name] = point
            peer.heard.expected[name] = seen.next_after(point - 1)
        runner_id, self.witness.window = (peer.heard.hello or {}).get("runnerId"), self.options.window
        fields = {"heartbeatMs": self.options.heartbeat_ms, "window": self.options.window, "sessions": points}
        await peer.say("welcome", runnerId=runner_id, lost=[], fromTheFuture={"a": [1]}, **fields)

    async def reconnect(self, resume: dict[str, int] | None = None, *, welcome: bool = True) -> None:
        """Take the runner's next connection. Raises `TrialOver` where none comes."""
        self.pulse(self.peer)
        peer = await self.stand_in.next_peer(self.options.patience * 2)
        if peer is None:
            what = f"no new connection within {self.options.patience * 2:g} s of a cut"
            self.report.broke("connect.comes_back", what)
            raise TrialOver(what)
        peer.acknowledges = welcome
        self.current = peer
        if welcome:
            await self.welcome(peer, resume)

    def pulse(self, peer: Peer) -> None:
        """Judge the heartbeats of a connection that is over."""
        times = [peer.opened, *peer.heard.heartbeats, trio.current_time()]
        longest = max(later - earlier for earlier, later in pairwise(times))
        if len(times) > 3:
            limit = self.interval * 2 + 2
            self.report.judge("heartbeat.interval", longest <= limit, f"{longest:.1f} s without a heartbeat")

    async def command(self, command_id: str, command: str, **fields: Any) -> Json:
        """Send a command and return its result. Raises `TrialOver` where none comes."""
        before = len([one for one in self.peer.heard.results if one.get("commandId") == command_id])
        await self.peer.say("command", commandId=command_id, command=command, **fields)
        result = await self.peer.result(command_id, self.options.patience * 2, after=before)
        if result is None:
            how = "and the connection ended" if self.peer.gone else f"within {self.options.patience * 2:g} s"
            self.report.broke("command.result", f"{command} ({command_id}) was not answered, {how}")
            return {}
        if not result.get("ok"):
            told = problem_of(result).get("message")
            self.report.judge("command.result", bool(told), f"{command}: ok: false, and no error.message")
        else:
            self.report.keep("command.result")
        return result

    def config(self, session_id: str, provider: str, command: list[str] | None) -> Json:
        config: Json = {
            "sessionId": session_id,
            "orgId": ORG,
            "agentId": f"runner_{session_id[:8]}",
            "providerId": provider,
            "repoRef": {"provider": "local", "path": self.options.directory},
            "task": {"title": "Conformance", "goal": "Wait for what is typed.", "constraints": [], "acceptance": []},
            "policy": {
                "shellAllowlist": ["*"],
                "shellDenylist": [],
                "requiresApprovalFor": [],
                "networkMode": "open",
            },
            "env": {},
        }
        return config if command is None else {**config, "command": command}

    async def type(self, word: str, *, wait: bool = True, **fields: Any) -> None:
        """Type a line, and wait for what the script says to it."""
        self._typed += 1
        name = f"input:{self.session_id}:{self._typed}"
        result = await self.command(name, "input", sessionId=self.session_id, data=word, mode="line", **fields)
        if not result.get("ok"):
            self.report.broke("command.input", f"input was refused: {reason_of(result)}")
        elif wait:
            said = f"got:{word.split()[0]}"
            heard = await self.peer.until(lambda: said in self.seen.output, self.options.patience)
            self.report.judge("command.input", bool(heard), f"{word!r} was typed, and {said!r} did not come")

    @property
    def patience(self) -> float:
        return self.options.patience

    async def in_flight(self, count: int) -> int:
        """Return how many events are in flight once there are so many, after more output was asked for."""
        self.peer.acknowledges = False
        await self.type(f"count {count * 2}", wait=False)
        await self.peer.until(lambda: self.witness.in_flight(self.peer.heard) >= count, self.patience)
        return self.witness.in_flight(self.peer.heard)


def reason_of(result: Json) -> str:
    """Return the outcome of a command in words."""
    if not result:
        return "not at all"
    return "ok" if result.get("ok") else str(problem_of(result).get("message", "ok: false, no reason"))


def problem_of(result: Json) -> Json:
    """Return the error of a result, empty where it has none."""
    error: Any = result.get("error")
    return cast(Json, error) if isinstance(error, dict) else {}
