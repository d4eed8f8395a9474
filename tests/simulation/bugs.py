"""Deliberate bugs: each patches one guard of the product away. The simulation must find every one of them."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any
from unittest.mock import patch

import attrs
import trio

import townwatch.runner.link.link
from tests.simulation.disk import SimDecisions, SimLog, SimPromises
from tests.simulation.place import Place, here
from tests.simulation.runners import SimSpool
from townwatch.actors import commands, messages as m, replay
from townwatch.actors.agent import AgentActor
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.journal import JournalActor
from townwatch.actors.ports import Promise
from townwatch.actors.runner import RunnerActor
from townwatch.actors.session.actor import SessionActor
from townwatch.actors.session.approvals import SessionApprovals
from townwatch.actors.village import VillageActor
from townwatch.app import supervision_tree as cast
from townwatch.contracts.link import Command, SpoolSize
from townwatch.runner.link.link import Link
from townwatch.runner.session.approvals import Approvals
from townwatch.supervision._child import Child
from townwatch.supervision.dynamic import DynamicSupervisor
from townwatch.supervision.limits import AdmissionLimits
from townwatch.transports.control import ControlClient
from townwatch.transports.runners.feeder import Feeder
from townwatch.transports.runners.flight import Flight
from townwatch.transports.runners.link import RunnerLink
from townwatch.transports.runners.ports import RunnerIdentity
from townwatch.transports.socketio.handlers import ClientHandlers
from townwatch.transports.socketio.recovery import RecoveryLog
from townwatch.transports.socketio.server import ReplayWriter, TrioServer
from townwatch.transports.websocket.socket import MessageSocket

Patch = tuple[Any, str, Any]
BUGS: dict[str, Callable[[], list[Patch]]] = {}
NO_SECOND_LOOK: Patch = (Context, "behind", lambda _self, _state: False)
"""Two guards hold a crash's loss: that it does not happen, and the router that looks for it. Without the second, the
first one's absence shows."""


def bug(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Its name is its description."""
    BUGS[make.__name__] = make
    return make


@contextmanager
def planted(name: str) -> Generator[None, None, None]:
    """While open, the product has this bug."""
    with ExitStack() as stack:
        for owner, attribute, value in BUGS[name]():
            stack.enter_context(patch.object(owner, attribute, value))
        yield


@bug
def the_runner_is_told_before_the_commit() -> list[Patch]:
    append = SessionActor._append

    async def early(self: Any, fresh: Sequence[m.IncomingEvent]) -> None:
        tell_if_alive(self._link, m.Acked(self._state.session_id, fresh[-1].event.seq))
        await append(self, fresh)

    return [(SessionActor, "_append", early)]


@bug
def an_event_is_shown_before_it_is_durable() -> list[Patch]:
    append = SessionActor._append

    async def early(self: Any, fresh: Sequence[m.IncomingEvent]) -> None:
        self._waiting.clear()
        await self._forward([incoming.event for incoming in fresh])
        await append(self, fresh)

    return [(SessionActor, "_append", early)]


@bug
def a_refused_write_counts_as_written() -> list[Patch]:
    async def careless(self: Any, work: Callable[[], Any]) -> None:
        with suppress(OSError):
            await trio.to_thread.run_sync(work, limiter=self._limiter)

    return [(JournalActor, "_write", careless)]


@bug
def the_village_forgets_what_it_has_shown() -> list[Patch]:
    """The dedupe of what people see."""
    publish = VillageActor._publish

    def forgetful(self: Any, state: Any, events: Any) -> None:
        if events:
            published = self._context.published
            published[state.session_id] = min(published.get(state.session_id, 0), events[0].seq - 1)
        publish(self, state, events)

    return [(VillageActor, "_publish", forgetful)]


@bug
def the_log_keeps_repeats() -> list[Patch]:
    """The dedupe of what is stored, in the session and in the log."""
    append = SimLog.append

    def twice(self: Any, batch: Any) -> object:
        result = append(self, batch)
        for record in batch:
            rows = self._truth.stored[record.session_id]
            if sum(seq == record.seq for seq, _ in rows) == 1 and (record.seq, record.body) != rows[-1]:
                rows.append((record.seq, record.body))
        return result

    return [(SimLog, "append", twice)]


@bug
def a_restarted_village_does_not_read_back() -> list[Patch]:
    async def nothing(self: Any, state: Any, until: int | None = None) -> None:
        pass

    return [(VillageActor, "_publish_from_journal", nothing)]


@bug
def a_restarted_session_does_not_read_its_tail() -> list[Patch]:
    async def nothing(self: Any) -> list[Any]:
        return []

    return [(SessionActor, "_read_tail", nothing)]


@bug
def a_restarted_session_does_not_ask_again() -> list[Patch]:
    """What was in its hands is gone, and nobody sends it again."""
    return [(Flight, "rewind", lambda _self, _after, _at: None)]


@bug
def resume_from_is_one_too_far() -> list[Patch]:
    welcome = RunnerLink._welcome

    async def off(self: Any) -> Any:
        said = await welcome(self)
        return attrs.evolve(said, sessions=[attrs.evolve(p, resume_from=p.resume_from + 1) for p in said.sessions])

    return [(RunnerLink, "_welcome", off)]


@bug
def the_runner_resumes_one_too_early_and_is_believed() -> list[Patch]:
    """Repeats reach the session, which takes them for new."""

    def take(self: Any, incoming: m.IncomingEvent) -> bool:
        self.last = max(self.last, incoming.event.seq)
        self.held.append(incoming)
        self.held_bytes += len(incoming.body)
        return True

    async def believe(self: Any, batch: m.Batch) -> None:
        self._link = batch.link
        self._accepted = batch.events[-1].event.seq
        self._waiting.extend(batch.events)
        await self._append(batch.events)

    return [(Flight, "take", take), (SessionActor, "_take", believe)]


@bug
def an_approval_is_decided_twice() -> list[Patch]:
    """The first decision does not stand."""
    record = SimDecisions.record

    async def again(self: Any, approval_id: str, *args: Any) -> Any:
        self.standing.pop(approval_id, None)
        return await record(self, approval_id, *args)

    return [(SimDecisions, "record", again)]


@bug
def a_decision_is_made_up() -> list[Patch]:
    """No answer in time is taken for a yes, by nobody."""
    decide = Approvals.decide

    async def yes(self: Any, approval_id: str, decision: Any, by: Any = None, note: Any = None) -> None:
        await decide(self, approval_id, "allow" if by == "timeout" else decision, by, note)

    return [(Approvals, "decide", yes)]


@bug
def decisions_are_not_repeated_to_a_runner_that_comes_back() -> list[Patch]:
    async def nothing(self: Any) -> None:
        pass

    link_up = RunnerActor._link_up

    def forget(self: Any, message: Any) -> None:
        self._waiting.clear()
        link_up(self, message)

    return [(RunnerActor, "_look", nothing), (RunnerActor, "_link_up", forget)]


@bug
def a_stop_is_kept_in_memory_only() -> list[Patch]:
    """It is told to its runner, now or at its next connection, unless the process dies before that."""
    promise, open_of = SimPromises.promise, SimPromises.open_of
    kept: dict[Place, list[tuple[str, Command]]] = {}

    async def remember(self: Any, runner_id: str, command: Command, **options: Any) -> Promise:
        if command.command != "stop":
            return await promise(self, runner_id, command, **options)
        kept.setdefault(here.get(), []).append((runner_id, command))
        return Promise(command=command)

    async def remembered(self: Any, runner_id: str) -> list[Command]:
        mine = [command for of, command in kept.get(here.get(), ()) if of == runner_id]
        return [*await open_of(self, runner_id), *mine]

    return [(SimPromises, "promise", remember), (SimPromises, "open_of", remembered)]


@bug
def a_command_id_does_not_name_its_session() -> list[Patch]:
    """The stop of one session is taken for the stop of another."""
    for_session = commands.for_session

    def unscoped(message: Any, session_id: str) -> Command:
        command = for_session(message, session_id)
        return attrs.evolve(command, command_id=command.command_id.replace(f":{command.session_id}", ""))

    return [(commands, "for_session", unscoped)]


@bug
def a_runner_without_grants_is_believed() -> list[Patch]:
    """It writes into whichever village its events name."""

    def named(_self: Any, event: Any) -> str:
        return event.org_id

    return [(Feeder, "_village_of", named), (RunnerIdentity, "may_use", lambda _self, _village_id: True)]


@bug
def what_a_runner_still_has_to_tell_counts_as_lost() -> list[Patch]:
    """A session that has ended at its runner, and whose end is in the runner's spool, is ended by the service."""
    look = RunnerActor._look_for_lost

    def hasty(self: Any, beat: Any) -> None:
        for _ in range(2):
            look(self, attrs.evolve(beat, spool=SpoolSize()))

    return [(RunnerActor, "_look_for_lost", hasty)]


@bug
def a_client_that_joins_again_is_not_told_what_it_missed() -> list[Patch]:
    async def nothing(*_args: Any) -> None:
        pass

    return [(replay, "missed", nothing)]


@bug
def a_replay_ends_one_too_early() -> list[Patch]:
    missed = replay.missed

    async def short(context: Any, out: Any, room: str, since: Any, positions: Any, shown: Any) -> None:
        await missed(context, out, room, since, {key: max(0, seq - 1) for key, seq in positions.items()}, shown)

    return [(replay, "missed", short)]


@bug
def a_replay_is_not_kept_apart_from_what_is_live() -> list[Patch]:
    """Nothing is held back while a client catches up."""

    @asynccontextmanager
    async def open_at_once(self: Any, sid: str) -> Any:
        yield ReplayWriter(self, self._socket(sid, None))

    return [(TrioServer, "catch_up", open_at_once)]


@bug
def recovery_is_off_by_one() -> list[Patch]:
    number = RecoveryLog._number

    def off(self: Any, offset: object) -> int | None:
        found = number(self, offset)
        return None if found is None else found + 1

    return [(RecoveryLog, "_number", off)]


@bug
def a_client_is_leaked() -> list[Patch]:
    """Its actor stays when its connection is gone, and keeps its place."""

    async def nothing(self: Any, sid: str, reason: str | None = None) -> None:
        pass

    return [(ClientHandlers, "_gone", nothing)]


@bug
def the_limit_is_checked_before_it_is_taken() -> list[Patch]:
    """Two at the same moment both find room."""
    bring_in = DynamicSupervisor._start_first

    def only_look(self: Any, keys: Any, _now: float) -> None:
        self.total.check()
        for kind, limit in self.counts.items():
            if kind in keys:
                limit.check(keys[kind])

    async def take_later(self: Any, child: Any, reply: Any) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.1)
        self._admission.total._taken[None] = self._admission.total.taken() + 1
        for kind, limit in self._admission.counts.items():
            key = child.spec.keys.get(kind)
            if key is not None:
                limit._taken[key] = limit.taken(key) + 1
        await bring_in(self, child, reply)

    return [(AdmissionLimits, "admit", only_look), (DynamicSupervisor, "_start_first", take_later)]


@bug
def a_silent_runner_is_never_given_up() -> list[Patch]:
    async def patient(self: Any) -> None:
        pass

    async def patience(_stream: Any, _socket: Any) -> None:
        await trio.sleep_forever()

    return [
        (MessageSocket, "_pulse", patient),
        (MessageSocket, "_watch_stall", lambda _self: None),
        (townwatch.runner.link.link, "patrol", patience),
    ]


@bug
def the_journal_keeps_its_mailbox_over_a_crash() -> list[Patch]:
    """What waited behind a lost append is stored without it."""
    tree = cast.tree

    def keep(*args: Any) -> Any:
        specs = tree(*args)
        ledger = next(spec for spec in specs if spec.id == "ledger")
        children = [attrs.evolve(one, mailbox="keep") if one.id == "journal" else one for one in ledger.args[0]]
        changed = attrs.evolve(ledger, args=(children, "one_for_one"))
        return [changed if spec is ledger else spec for spec in specs]

    return [(cast, "tree", keep)]


@bug
def mailboxes_are_lost_on_a_restart() -> list[Patch]:
    ready = Child._prepare_mailbox

    def clear(self: Any, ref: Any) -> None:
        spec = self.spec
        self.spec = attrs.evolve(spec, mailbox="clear")
        ready(self, ref)
        self.spec = spec

    return [(Child, "_prepare_mailbox", clear), NO_SECOND_LOOK]


@bug
def what_waits_is_not_shown_to_who_comes_later() -> list[Patch]:
    """The pending approvals of a join."""
    return [(replay, "pending", lambda *_args: None)]


@bug
def a_second_connection_does_not_replace_the_first() -> list[Patch]:
    """The fencing: events of an old connection are still taken, and acknowledged to it alone."""

    def keep_both(self: Any, message: Any) -> None:
        self._link = self._link or message.link
        self._hello = message.hello
        self.actor_ref.watch(message.link)
        self._hear()

    return [(RunnerActor, "_link_up", keep_both)]


@bug
def sent_is_taken_for_acknowledged() -> list[Patch]:
    """A runner lets go of what it has sent."""
    send_some = Link._send_some

    async def let_go(self: Any) -> bool:
        sent = await send_some(self)
        for session_id, flight in self._flights.items():
            if flight.sent > flight.acked:
                self._spool.ack(session_id, flight.sent)
        return sent

    return [(Link, "_send_some", let_go)]


@bug
def programs_are_told_what_is_not_durable() -> list[Patch]:
    append = SessionActor._append

    async def early(self: Any, fresh: Sequence[m.IncomingEvent]) -> None:
        session_id = self._state.session_id
        self._context.subscriptions.tell(f"session:{session_id}", [(self._state, one.event) for one in fresh])
        await append(self, fresh)

    return [(SessionActor, "_append", early)]


@bug
def a_terminal_forgets_what_it_has_shown() -> list[Patch]:
    publish = AgentActor._publish

    def forgetful(self: Any, state: Any, events: Any) -> None:
        if events:
            shown = self._context.shown
            shown[state.session_id] = min(shown.get(state.session_id, 0), events[0].seq - 1)
        publish(self, state, events)

    return [(AgentActor, "_publish", forgetful)]


@bug
def a_program_that_is_gone_keeps_its_place() -> list[Patch]:
    return [(ControlClient, "on_gone", lambda _self: None)]


@bug
def a_runner_that_is_away_is_not_said_to_be() -> list[Patch]:
    return [(RunnerActor, "_check_later", lambda _self: None), (RunnerActor, "_check", lambda _self: None)]


@bug
def the_runners_word_on_an_approval_is_not_put_on_record() -> list[Patch]:
    async def nothing(self: Any, state: Any, resolved: Any) -> None:
        pass

    return [(SessionApprovals, "confirm", nothing)]


@bug
def a_killed_runners_approvals_are_left_open() -> list[Patch]:
    return [(SimSpool, "waiting", lambda _self, _session: [])]
