"""Steps of a trial of a runner: start a session, cut, nack, hold back, repeat, stop."""

import secrets

import attrs
import trio

from townwatch.conformance.runner.actions import ORG, SCRIPT, TrialActions, TrialOver, reason_of
from townwatch.conformance.runner.promises import PROMISES
from townwatch.conformance.runner.stand_in import Peer


@attrs.define(eq=False)
class RunnerTrial(TrialActions):
    """One run of the kit."""

    async def run(self) -> None:
        """Run every step. Nothing is raised: what could not be seen says why in the report."""
        reason = "it did not occur in this trial"
        try:
            await self._steps()
        except TrialOver as over:
            reason = str(over)
        if self.current is not None and not self.current.gone:
            self.pulse(self.current)
            with trio.move_on_after(1):
                await self.current.socket.aclose(1001, "the trial is over")
        for name in PROMISES:
            self.report.not_seen(name, reason)

    async def _steps(self) -> None:
        await self._first_connection()
        await self._start()
        await self._words()
        if self.talks:
            await self._window()
            await self._lost_acknowledgement()
            await self._nack()
        await self._cuts()
        await self._hang()
        await self._interrupted_command()
        await self._approval()
        await self._stop()
        await self._drain()

    # --- connections --------------------------------------------------------------------------------------------------

    async def _first_connection(self) -> None:
        peer = await self.stand_in.next_peer(self.options.wait)
        if peer is None:
            raise TrialOver(f"no runner said hello within {self.options.wait:g} s")
        self.current = peer
        await self.welcome(peer)
        beat = await peer.until(lambda: peer.heard.heartbeats, self.interval * 2 + self.options.patience)
        self.report.judge("heartbeat.interval", bool(beat), "no heartbeat came")
        self.report.judge("unknown.field", not peer.gone, "the connection ended after a welcome with one more field")
        await self.back_if_gone()
        await self.peer.say("from_the_future", what="a message that no runner of today knows")
        with trio.move_on_after(self.options.patience) as limit:
            await self._ping(self.peer)
        self.report.judge("connect.pong", not limit.cancelled_caught, "no pong came")
        beats = len(self.peer.heard.heartbeats)
        await self.peer.until(lambda: len(self.peer.heard.heartbeats) > beats, self.interval * 2 + 2)
        self.report.judge("unknown.type", not self.peer.gone, "the connection ended after a message of an unknown type")
        await self.back_if_gone()

    async def _ping(self, peer: Peer) -> None:
        try:
            await peer.socket.ping()
        except Exception:  # the connection is over, which others say
            peer.gone = True

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        providers = (self.peer.heard.hello or {}).get("capabilities", {}).get("providers", [])
        provider = self.options.provider or ("command" if "command" in providers else next(iter(providers), None))
        if provider is None:
            raise TrialOver("hello names no provider; name one with --provider")
        command = self.options.command or (["sh", "-c", SCRIPT] if provider == "command" else None)
        self.talks = provider == "command" and self.options.command is None
        self.witness.orgs[self.session_id] = ORG
        config = self.config(self.session_id, provider, command)
        result = await self.command(f"start:{self.session_id}", "start", config=config)
        if not result.get("ok"):
            self.report.broke("command.start", f"start was refused: {reason_of(result)}")
            await self._unknown_commands()
            raise TrialOver("the session was not started")
        running = await self.peer.until(lambda: self.seen.state == "RUNNING", self.options.patience * 4)
        started = len(self.seen.of_type("SESSION_STARTED"))
        self.report.judge(
            "command.start", bool(running) and started == 1, f"{started} SESSION_STARTED, state {self.seen.state}"
        )
        if not self.seen.events:
            raise TrialOver("no event of the started session came")
        self.report.keep("event.session")
        await self.command(f"start:{self.session_id}", "start", config=config)
        if self.talks:
            await self.type("after-the-second-start")
        started = len(self.seen.of_type("SESSION_STARTED"))
        self.report.judge("command.once", started == 1, f"start came twice under one id: {started} SESSION_STARTED")

    async def _words(self) -> None:
        """Commands that are short and sweet, and those that no runner can carry out."""
        session = self.session_id
        if self.talks:
            await self.type(f"hello-{secrets.token_hex(3)}", fromTheFuture=True)
        await self.command(f"resize:{session}:1", "resize", sessionId=session, cols=100, rows=30)
        self.report.keep("command.resize")
        await self._unknown_commands()
        beats = len(self.peer.heard.heartbeats)
        await self.peer.until(lambda: len(self.peer.heard.heartbeats) > beats, self.interval * 2 + 2)
        active = self.peer.heard.active
        if active is None:
            self.report.not_seen("heartbeat.sessions", "the heartbeat does not say activeSessions")
        else:
            self.report.judge("heartbeat.sessions", session in active, f"activeSessions is {active}")

    async def _unknown_commands(self) -> None:
        unknown = await self.command("future:1", "from_the_future", sessionId=self.session_id)
        self.report.judge("command.unknown", unknown.get("ok") is False, f"its result is {unknown or 'missing'}")
        nowhere = await self.command("stop:nowhere", "stop", sessionId="nowhere", graceful=True)
        self.report.judge("command.no_session", nowhere.get("ok") is False, f"its result is {nowhere or 'missing'}")

    # --- the window, and resuming -------------------------------------------------------------------------------------

    async def _window(self) -> None:
        """Hold acknowledgements back until the window is full; then cut the connection with all of it in flight."""
        peer, window = self.peer, self.options.window
        peer.acknowledges = False
        await self.type(f"count {self.options.window * 3}", wait=False)
        full = await peer.until(lambda: self.witness.in_flight(peer.heard) >= window, self.options.patience)
        if not full:
            self.report.not_seen("window.kept", "fewer events came than the window has room for")
        beats = len(peer.heard.heartbeats)
        beat = await peer.until(lambda: len(peer.heard.heartbeats) > beats, self.interval * 2 + 2)
        self.report.judge("window.heartbeat", bool(beat), "no heartbeat came while the window was full")
        before = self.seen.highest
        await peer.acknowledge({self.session_id: self.seen.acked + window // 2})
        more = await peer.until(lambda: self.seen.highest > before, self.options.patience)
        self.report.judge(
            "window.goes_on", bool(more), f"nothing came behind seq {before}, with room for {window // 2}"
        )
        await self._cut_in_flight()

    async def _cut_in_flight(self) -> None:
        """Cut with events in flight, and see them again."""
        before = self.seen.highest
        await self.peer.cut()
        await self.reconnect()
        again = await self.peer.until(lambda: self.peer.heard.expected.get(self.session_id, 0) > before, self.patience)
        what = (
            f"of what was sent before the cut, seq {self.peer.heard.expected.get(self.session_id)} did not come again"
        )
        if self.report.judge("resume.no_loss", bool(again), what):
            self.report.keep("resume.no_doubling")
            self.report.keep("resume.same_event")

    async def _lost_acknowledgement(self) -> None:
        """Cut where the service has more than the runner was told: resumeFrom says so."""
        if await self.in_flight(3) < 3:
            self.report.not_seen("resume.from", "fewer than three events came in flight")
            return
        await self.peer.cut()
        highest = self.seen.highest
        await self.reconnect({self.session_id: highest + 1})
        await self.type("after-the-lost-ack")
        went_on = bool(await self.peer.until(lambda: self.seen.highest > highest, self.patience))
        self.report.judge("resume.from", went_on, f"nothing came from resumeFrom {highest + 1} on")

    async def _nack(self) -> None:
        if await self.in_flight(3) < 3:
            self.report.not_seen("nack.dropped", "fewer than three events came in flight")
            return
        seen, seq = self.seen, self.seen.next_after(self.seen.acked)
        await self.peer.say(
            "nack", sessionId=self.session_id, seq=seq, code="E_BAD_PAYLOAD", message="the kit refuses this one"
        )
        seen.nacked.add(seq)
        await self.command(f"resize:{self.session_id}:2", "resize", sessionId=self.session_id, cols=90, rows=30)
        before = seen.highest
        await self.peer.cut()
        await self.reconnect({self.session_id: seq})
        came = await self.peer.until(lambda: self.peer.heard.expected.get(self.session_id, 0) > before, self.patience)
        self.report.judge("nack.dropped", bool(came), f"what lies behind the nacked seq {seq} did not come")

    async def _cuts(self) -> None:
        """Lose the connection at other places: before welcome, within a frame, at a service that is away."""
        await self.peer.cut()
        await self.reconnect(welcome=False)
        await self.peer.cut()
        await self.reconnect()
        await self.peer.cut(half_frame=True)
        await self.reconnect()
        self.stand_in.refusing, self.stand_in.refused = True, trio.Event()
        await self.peer.cut()
        with trio.move_on_after(self.patience * 2) as limit:
            await self.stand_in.refused.wait()
        self.stand_in.refusing = False
        if not limit.cancelled_caught:
            await self.reconnect()
            self.report.keep("connect.refused")
        else:
            raise TrialOver("the runner did not dial again after a cut")
        with trio.move_on_after(2):
            await self.peer.socket.aclose(1012, "the service restarts")
        await self.reconnect()
        self.report.keep("connect.restart")
        self.report.keep("connect.comes_back")
        self.report.keep("hello.sessions")
        self.report.keep("frame.size")
        self.report.keep("hello.same_runner")
        if self.talks:
            await self.type("after-the-cuts")

    async def _hang(self) -> None:
        """Say and read nothing more, and wait for the runner to come back by itself."""
        if self.options.hang is None:
            self.report.not_seen("connect.silence", "give --hang, which takes a little longer")
            return
        hanging, seconds = self.peer, self.options.hang
        hanging.stream.hangs.set()
        peer = await self.stand_in.next_peer(seconds + 2)
        what = f"the service hung, and after {seconds:g} s there was no new connection"
        if self.report.judge("connect.silence", peer is not None, what) and peer is not None:
            self.current = peer
            await self.welcome(peer)
            await hanging.cut()
        else:
            await hanging.cut()
            await self.reconnect()

    async def _interrupted_command(self) -> None:
        """Cut right behind a command, and give it again: it is done once, and answered."""
        session, name = self.session_id, f"pause:{self.session_id}:1"
        await self.peer.say("command", commandId=name, command="pause", sessionId=session)
        await self.peer.cut()
        await self.reconnect()
        result = await self.command(name, "pause", sessionId=session)
        self.report.judge("command.after_cut", bool(result), "pause was given again after a cut, and not answered")
        if not result.get("ok"):
            self.report.not_seen("command.pause", f"pause was refused: {reason_of(result)}")
            return
        paused = await self.peer.until(lambda: self.seen.state == "PAUSED_BY_HUMAN", self.patience)
        resumed = await self.command(f"resume:{session}:1", "resume", sessionId=session)
        running = await self.peer.until(lambda: self.seen.state == "RUNNING", self.patience)
        right = bool(paused and running and resumed.get("ok"))
        self.report.judge("command.pause", right, f"the state is {self.seen.state} after pause and resume")
        times = len([one for one in self.seen.of_type("SESSION_STATE_CHANGED") if one["newState"] == "PAUSED_BY_HUMAN"])
        self.report.judge("command.once", times <= 1, f"pause came twice under one id, and paused {times} times")

    async def _approval(self) -> None:
        if self.options.ask is None or not self.talks:
            for name in ("approval.asked", "approval.decided", "approval.final"):
                self.report.not_seen(name, "give --ask, a command that asks when it is run inside a session")
            return
        await self.type(f"run {self.options.ask}", wait=False)
        asked = await self.peer.until(lambda: self.seen.of_type("APPROVAL_REQUESTED"), self.patience * 2)
        if not self.report.judge("approval.asked", bool(asked), f"{self.options.ask!r} was run, and nothing was asked"):
            return
        approval = str(asked[0]["approval"]["approvalId"])
        fields = {"sessionId": self.session_id, "approvalId": approval, "resolvedBy": "conformance kit"}
        name = f"approve:{self.session_id}:{approval}"
        first = await self.command(name, "approve", decision="allow", **fields)
        await self.peer.until(lambda: self._resolved(approval), self.patience)
        await self.command(name, "approve", decision="allow", **fields)
        await self.command(f"{name}:2", "approve", decision="deny", **fields)
        await self.type("after-the-decision")
        decisions = self._resolved(approval)
        right = bool(first.get("ok")) and decisions[:1] == ["allow"]
        self.report.judge(
            "approval.decided", right, f"allow was answered {reason_of(first)}, and resolved: {decisions}"
        )
        self.report.judge("approval.final", decisions == ["allow"], f"after a later deny: {decisions}")

    def _resolved(self, approval: str) -> list[str]:
        events = self.seen.of_type("APPROVAL_RESOLVED")
        return [str(one["decision"]) for one in events if one["approvalId"] == approval]

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        name, since = f"stop:{self.session_id}", trio.current_time()
        result = await self.command(name, "stop", sessionId=self.session_id, graceful=True)
        if not result.get("ok"):
            self.report.broke("command.stop", f"stop was answered {reason_of(result)}")
            return
        ended = await self.peer.until(lambda: self.seen.ended_at is not None, self.options.end + self.patience)
        took = trio.current_time() - since
        right = bool(result.get("ok") and ended) and took <= self.options.end + 2
        told = f"answered {reason_of(result)}; after {took:.0f} s the state is {self.seen.state}"
        self.report.judge("command.stop", right, told)
        again = await self.command(name, "stop", sessionId=self.session_id, graceful=True)
        self.report.judge("command.once", bool(again), "stop came again after the end, and was not answered")
        if self.seen.of_type("SESSION_STATE_CHANGED"):
            self.report.keep("event.states")

    async def _drain(self) -> None:
        drained = await self.command("drain:1", "drain")
        if not drained.get("ok"):
            self.report.not_seen("command.drain", f"drain was refused: {reason_of(drained)}")
            return
        other = secrets.token_hex(16)
        config = self.config(other, "command", ["sh", "-c", SCRIPT])
        result = await self.command(f"start:{other}", "start", config=config)
        self.report.judge("command.drain", result.get("ok") is False, f"start was answered {reason_of(result)}")
