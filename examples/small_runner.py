"""A whole runner in one file, to read beside docs/runner-protocol.md: it runs commands and loses nothing.

    python examples/small_runner.py ws://127.0.0.1:8484/runner TOKEN

`townwatch conformance runner` passes it. What a real one has more: a pseudo-terminal for each session, and a spool on
its disk instead of in memory, so that its own crash loses nothing either.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import attrs
import trio
import trio_websocket

Json = dict[str, Any]
ENDS = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio_websocket.ConnectionRejected, OSError)
USAGE = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}


class Refused(Exception):
    """A command that cannot be done; the message says why."""


@attrs.define(eq=False)
class Session:
    """One command that runs. `log`: its events; `log[0]` has seq 1."""

    id: str
    org: str
    state: str = "CREATED"
    log: list[Json | None] = attrs.field(factory=list)
    acked: int = 0
    sent: int = 0
    process: trio.Process | None = None
    began: float = attrs.field(factory=time.time)


class SmallRunner:
    """Keeps a connection to the service, for ever."""

    def __init__(self, url: str, token: str, runner_id: str = "small") -> None:
        self.url, self.token, self.runner_id = url, token, runner_id
        self.sessions: dict[str, Session] = {}
        self.results: dict[str, Json] = {}
        self.window, self.heartbeat = 1, 30.0
        self.draining = False
        self.news = trio.Event()
        self.socket: trio_websocket.WebSocketConnection
        self.nursery: trio.Nursery

    async def run(self) -> None:
        """Connect again and again; the sessions run on meanwhile."""
        try:
            async with trio.open_nursery() as self.nursery:
                while True:
                    try:
                        await self.connection()
                    except* ENDS:
                        pass
                    await trio.sleep(0.2)  # a real one waits longer after each failure in a row
        finally:
            with trio.CancelScope(shield=True):
                for session in self.sessions.values():
                    await self.end(session)

    async def end(self, session: Session) -> None:
        """Leave no process behind."""
        if session.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(session.process.pid, signal.SIGKILL)
            await session.process.wait()
            await session.process.stdin.aclose()
            await session.process.stdout.aclose()

    async def connection(self) -> None:
        where = urlsplit(self.url)
        stream = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
        try:  # the library leaves the socket open where the service goes first
            async with trio.open_nursery() as nursery:
                headers = [(b"authorization", f"Bearer {self.token}".encode())]
                self.socket = await trio_websocket.wrap_client_stream(
                    nursery, stream, where.netloc, where.path, extra_headers=headers
                )
                await self.talk()
        finally:
            await trio.aclose_forcefully(stream)

    async def talk(self) -> None:
        """Say hello, go on where the service says, then speak and hear until the connection is lost."""
        async with trio.open_nursery() as nursery:
            await self.say(self.hello())
            welcome = json.loads(await self.socket.get_message())
            self.window, self.heartbeat = welcome["window"], welcome["heartbeatMs"] / 1000
            for point in welcome["sessions"]:
                self.resume(self.sessions[point["sessionId"]], point["resumeFrom"])
            nursery.start_soon(self.beat)
            nursery.start_soon(self.send_events)
            while True:
                await self.hear(json.loads(await self.socket.get_message()))

    def hello(self) -> Json:
        held = [s for s in self.sessions.values() if s.acked < len(s.log) or s.state not in ("COMPLETED", "FAILED")]
        return {
            "type": "hello",
            "runnerId": self.runner_id,
            "name": "a small runner",
            "version": "1",
            "clock": time.time() * 1000,
            "capabilities": {"providers": ["command"], "maxConcurrentSessions": 4, "features": ["pause"]},
            "sessions": [
                {"sessionId": s.id, "firstSeq": s.acked + 1, "lastSeq": len(s.log), "state": s.state} for s in held
            ],
        }

    def resume(self, session: Session, resume_from: int) -> None:
        """The service has everything below `resume_from`: go on from there."""
        session.acked = session.sent = resume_from - 1

    async def say(self, message: Json) -> None:
        await self.socket.send_message(json.dumps(message))

    async def beat(self) -> None:
        """Heartbeats have a task of their own, so that they wait behind nothing."""
        while True:
            live = [s.id for s in self.sessions.values() if s.state not in ("COMPLETED", "FAILED")]
            await self.say({"type": "heartbeat", "ts": time.time() * 1000, "activeSessions": live})
            await trio.sleep(self.heartbeat)

    async def send_events(self) -> None:
        """Send what was not sent on this connection, as far as the window has room."""
        for session in self.sessions.values():
            session.sent = session.acked
        while True:
            self.news = trio.Event()
            for session in list(self.sessions.values()):
                while session.sent < len(session.log) and self.in_flight() < self.window:
                    session.sent += 1
                    event = session.log[session.sent - 1]
                    if event is not None:  # it was refused, and is not sent again
                        await self.send(event)
            await self.news.wait()

    async def send(self, event: Json) -> None:
        await self.say({"type": "events", "events": [event]})

    def in_flight(self) -> int:
        return sum(session.sent - session.acked for session in self.sessions.values())

    async def hear(self, message: Json) -> None:
        match message.get("type"):
            case "ack":
                session = self.sessions[message["sessionId"]]
                session.acked = max(session.acked, message["seq"])
                self.news.set()
            case "nack":
                self.sessions[message["sessionId"]].log[message["seq"] - 1] = None
            case "command":
                self.nursery.start_soon(self.obey, message)
            case _:  # what a later service may say
                pass

    async def obey(self, command: Json) -> None:
        """Do a command once, and answer it each time it comes."""
        name = command["commandId"]
        if name not in self.results:
            answer: Json = {"type": "result", "commandId": name}
            try:
                await self.do(command)
                self.results[name] = {**answer, "ok": True}
            except Refused as why:
                self.results[name] = {**answer, "ok": False, "error": {"code": "NOT_POSSIBLE", "message": str(why)}}
        with suppress(*ENDS):  # it will be asked for again
            await self.say(self.results[name])

    async def do(self, command: Json) -> None:
        match command["command"]:
            case "start":
                await self.start(command["config"])
            case "drain":
                self.draining = True
            case "input":
                await self.type(self.live(command), command["data"] + "\n" * (command.get("mode") == "line"))
            case "pause":
                self.signal(self.live(command), signal.SIGSTOP, "PAUSED_BY_HUMAN")
            case "resume":
                self.signal(self.live(command), signal.SIGCONT, "RUNNING")
            case "stop":
                self.stop(self.live(command))
            case other:
                raise Refused(f"this runner does not know {other}")

    def live(self, command: Json) -> Session:
        session = self.sessions.get(command["sessionId"])
        if session is None or session.state in ("COMPLETED", "FAILED"):
            raise Refused("there is no such live session here")
        return session

    async def start(self, config: Json) -> None:
        if self.draining:
            raise Refused("this runner is draining")
        session = self.sessions[config["sessionId"]] = Session(config["sessionId"], config["orgId"])
        self.change(session, "PREPARING_WORKSPACE")
        self.change(session, "STARTING_PROVIDER")
        where, env = config["repoRef"]["path"], {**os.environ, **config.get("env", {})}
        session.process = await trio.lowlevel.open_process(
            config["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=where, env=env, start_new_session=True,
        )  # fmt: skip
        self.emit(session, "SESSION_STARTED", providerId="command", providerVersion="", workspacePath=where)
        self.change(session, "RUNNING")
        self.nursery.start_soon(self.follow, session, session.process)

    async def type(self, session: Session, text: str) -> None:
        assert session.process is not None and session.process.stdin is not None
        await session.process.stdin.send_all(text.encode())

    def signal(self, session: Session, number: signal.Signals, state: str) -> None:
        """Signal the whole process group, so that what the command started is meant, too."""
        assert session.process is not None
        os.killpg(session.process.pid, number)
        self.change(session, state)

    def stop(self, session: Session) -> None:
        if session.state != "STOPPING":
            self.signal(session, signal.SIGTERM, "STOPPING")
            os.killpg(session.process.pid, signal.SIGCONT)  # where it was paused

    async def follow(self, session: Session, process: trio.Process) -> None:
        """Tell what the command prints, then its end."""
        async for piece in process.stdout:
            self.emit(session, "TERMINAL_CHUNK", data=piece.decode(errors="replace"), stream="stdout")
        code = await process.wait()
        final = "COMPLETED" if code == 0 or session.state == "STOPPING" else "FAILED"
        self.change(session, final)
        took = round((time.time() - session.began) * 1000)
        self.emit(session, "SESSION_ENDED", finalState=final, totalDurationMs=took, totalUsage=USAGE)

    def change(self, session: Session, state: str) -> None:
        self.emit(session, "SESSION_STATE_CHANGED", previousState=session.state, newState=state)
        session.state = state

    def emit(self, session: Session, kind: str, **fields: Any) -> None:
        """Give an event its number, for ever, and keep it until it is acknowledged."""
        envelope = {
            "sessionId": session.id,
            "orgId": session.org,
            "ts": time.time() * 1000,
            "seq": len(session.log) + 1,
        }
        session.log.append({"type": kind, **envelope, **fields})
        self.news.set()


if __name__ == "__main__":
    trio.run(SmallRunner(sys.argv[1], sys.argv[2]).run)
