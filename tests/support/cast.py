"""A cast of real actors under real supervisors on a real journal, with a recorder where the clients would be."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.ports import Deciding, Decision, Promise, Ref, Tag, VillageRuling
from townwatch.app import supervision_tree as cast
from townwatch.config.settings import LimitsSettings
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.link import Command
from townwatch.contracts.scopes import ApprovalKey, approval_key
from townwatch.runtime import TrioActor, open_world
from townwatch.store.log.event_log import EventLog
from townwatch.supervision import Supervisor, tree


class Clock:
    """Wall-clock time that the test sets."""

    def __init__(self) -> None:
        self.now = 1_764_000_000_000

    def now_ms(self) -> int:
        return self.now


@attrs.define
class Sent:
    """One message as a client would see it."""

    event: str
    payload: Any
    rooms: tuple[str, ...]
    tag: Tag | None = None


class Recorder:
    """The outlet: keeps what was published, and who is in which room."""

    def __init__(self) -> None:
        self.published: list[Sent] = []
        self.sent: dict[str, list[Sent]] = defaultdict(list)
        self.rooms: dict[str, set[str]] = defaultdict(set)
        self.audience: set[str] | None = None
        """Rooms where somebody listens; None: in every one."""

    def publish(
        self, event: str, payload: bytes, rooms: Sequence[str], tag: Tag | None = None, *, without: str | None = None
    ) -> None:
        self.published.append(Sent(event, json.loads(payload), tuple(rooms), tag))

    def listens(self, rooms: Sequence[str]) -> bool:
        return self.audience is None or not self.audience.isdisjoint(rooms)

    def send(self, client_id: str, event: str, payload: bytes) -> None:
        self.sent[client_id].append(Sent(event, json.loads(payload), ()))

    def enter(self, client_id: str, room: str) -> None:
        self.rooms[client_id].add(room)

    def leave(self, client_id: str, room: str) -> None:
        self.rooms[client_id].discard(room)

    @asynccontextmanager
    async def catch_up(self, client_id: str) -> AsyncIterator[Any]:
        recorder = self

        class Replay:
            def send(self, event: str, payload: bytes, tag: Tag | None = None) -> None:
                recorder.send(client_id, event, payload)

            async def room(self, size: int) -> None:
                await trio.lowlevel.checkpoint()

        yield Replay()

    async def round_trip(self, client_id: str, timeout: float) -> float | None:
        return 0.001

    async def keep(self, client_id: str, owner: str) -> None:
        """Keep nothing: no other process takes over."""

    def disconnect(self, client_id: str) -> None:
        self.rooms.pop(client_id, None)

    async def dismiss(self, client_id: str) -> None:
        self.rooms.pop(client_id, None)

    def of(self, *events: str) -> list[Any]:
        """The payloads of these events, in order."""
        return [sent.payload for sent in self.published if sent.event in events]


class MemoryPromises:
    """Promises of one process; the database's are tested beside it."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, str | None, Command]] = {}
        """Open ones: command id → (runner, session, command)."""
        self.done: set[str] = set()

    async def promise(
        self,
        runner_id: str,
        command: Command,
        *,
        expires_ms: int | None = None,
        session_id: str | None = None,
        entry: Any = None,
        leave_out: bool = False,
    ) -> Promise:
        await trio.lowlevel.checkpoint()
        if command.command_id in self.done:
            return Promise(command=command, open=False)
        self.rows.setdefault(command.command_id, (runner_id, session_id, command))
        return Promise(command=command)

    async def settle(self, runner_id: str, command_id: str, ok: bool, error: str | None) -> None:
        await trio.lowlevel.checkpoint()
        if self.rows.get(command_id, ("",))[0] == runner_id and self.rows.pop(command_id) and ok:
            self.done.add(command_id)

    async def keep_until(self, runner_id: str, command_id: str, expires_ms: int) -> None:
        await trio.lowlevel.checkpoint()

    async def open_of(self, runner_id: str) -> list[Command]:
        await trio.lowlevel.checkpoint()
        return [command for of, _, command in self.rows.values() if of == runner_id]

    async def void_session(self, session_id: str, why: str) -> None:
        await trio.lowlevel.checkpoint()
        self.rows = {name: row for name, row in self.rows.items() if row[1] != session_id}


class MemoryDecisions:
    """Decisions of one process; the database's are tested beside it."""

    def __init__(self) -> None:
        self.promises = MemoryPromises()
        self.standing: dict[ApprovalKey, Decision] = {}
        self.confirmed: set[ApprovalKey] = set()

    async def record(
        self,
        approval_id: str,
        session_id: str,
        decision: str,
        resolved_by: str,
        note: str | None,
        at_ms: int,
        deciding: Deciding | None = None,
    ) -> Decision:
        await trio.lowlevel.checkpoint()
        key = approval_key(session_id, approval_id)
        if key in self.standing:
            return self.standing[key]
        won = Decision(approval_id=approval_id, decision=decision, resolved_by=resolved_by, note=note, won=True)
        self.standing[key] = attrs.evolve(won, won=False)
        if deciding is not None and deciding.command is not None:
            await self.promises.promise(deciding.runner_id, deciding.command, session_id=session_id)
        return won

    async def take_back(self, session_id: str, approval_id: str, entry: Any = None) -> bool:
        return False

    async def unconfirmed(self, session_id: str) -> list[Decision]:
        return [s for key, s in self.standing.items() if key[0] == session_id and key not in self.confirmed]

    async def confirm(
        self,
        session_id: str,
        approval_id: str,
        decision: str,
        resolved_by: str | None,
        note: str | None,
        at_ms: int,
        deciding: Deciding | None = None,
    ) -> None:
        key = approval_key(session_id, approval_id)
        standing = self.standing.get(key)
        if standing is not None and standing.decision != decision:
            self.standing[key] = attrs.evolve(standing, decision=decision, resolved_by=resolved_by, note=note)
        self.confirmed.add(key)


class NoAudit:
    """Audit port that records nothing."""

    def note(self, *_: Any, **__: Any) -> None:
        return None


class NoRules:
    """Villages without rules."""

    async def of(self, session: Any, asked: Any) -> VillageRuling:
        await trio.lowlevel.checkpoint()
        return VillageRuling()

    async def outdated(self, session: Any, asked: Any, by: str | None, ruling: VillageRuling) -> None:
        raise AssertionError("there are no rules")


class RecordingLink(TrioActor):
    """Where a runner's connection would be."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        self.received.append(message)


@attrs.define
class Cast:
    """What a test holds in its hands."""

    context: Context
    root: Ref
    out: Recorder
    clock: Clock
    log: EventLog

    async def session(self, session_id: str = "s1", village: str = "demo", runner: str = "r1") -> Ref:
        return await self.context.router_call(m.EnsureSession(session_id, village, runner))

    async def settle(self) -> None:
        """Until everybody has nothing left to do but wait (threads included)."""
        for _ in range(50):
            await trio.sleep(0.002)
            await trio.testing.wait_all_tasks_blocked(0.001)
            if not any(_busy(node) for node in [self.root]):
                return


def _busy(ref: Ref) -> bool:
    def depth(node: Any) -> int:
        own = node.mailbox.depth if node.mailbox else 0
        return own + (1 if node.in_hand else 0) + sum(depth(child) for child in node.children)

    return depth(tree(ref)) > 0


@asynccontextmanager
async def open_cast(
    path: Path, prepare: Callable[[EventLog, Context], object] = lambda _log, _context: None
) -> AsyncIterator[Cast]:
    """The tree of the product, running. `prepare` comes first, in a thread: `app.restore.restore` for a second life."""
    out, clock = Recorder(), Clock()
    with EventLog.open(path / "journal.db") as log:
        async with open_world():
            decisions = MemoryDecisions()
            context = Context(log, out, clock, decisions, decisions.promises, NoAudit(), NoRules())
            await trio.to_thread.run_sync(prepare, log, context)
            specs = cast.tree(context, LimitsSettings(), lambda _n, _s: None)
            root = Supervisor.start(specs, name=cast.ROOT, intensity=10)
            await root.ping()
            yield Cast(context, root, out, clock, log)
            await root.stop()


def event(kind: str, seq: int, session: str = "s1", **fields: Any) -> dict[str, Any]:
    """A runner event as on the wire, with an envelope."""
    return {"type": kind, "sessionId": session, "orgId": "demo", "ts": 1_764_000_000_000 + seq, "seq": seq, **fields}


def batch(link: Ref, *events: dict[str, Any], lenient: bool = False) -> m.Batch:
    """What a link makes of events."""
    bodies = [json.dumps(one).encode() for one in events]
    return m.Batch(link, [m.IncomingEvent(decode_event(body), body) for body in bodies], lenient)
