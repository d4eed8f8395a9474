"""Invariants of the whole: looked at while a run goes on, when it has come to rest, and after its end."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from tests.simulation.history import LINES, same_event
from tests.simulation.service import LIMITS
from townwatch.actors.session.fold import fold_all
from townwatch.actors.session.state import SessionState
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.ui import default_agent_id
from townwatch.runtime.testing import leftovers
from townwatch.supervision import tree

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 1.0
FILES = Path("/proc/self/fd")


class Watcher:
    """Looks at the living service every now and then. What may be exceeded for an instant has a high-water mark."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        house = self._world.machine.house
        if house is None or house.gone:
            return
        check = self._world.history.check
        self._mailboxes(tree(house.root))
        for name, wanted in self._world.truth.decisions.items():
            check(len(wanted) == 1, f"{name}: recorded as decided {wanted}")

    def _mailboxes(self, node: Any) -> None:
        mailbox = node.mailbox
        if mailbox is not None:
            within = mailbox.high_water <= mailbox.capacity
            self._world.history.check(within, f"{node.path}: {mailbox.high_water} messages of {mailbox.capacity}")
        for child in node.children:
            self._mailboxes(child)


def check_limits(world: "World") -> None:
    """At the moment when somebody was let in: nobody has more connections than he may."""
    house = world.machine.house
    if house is None:
        return
    found: Counter[str] = Counter()
    for ref in house.context.directory.clients.values():
        actor = ref._actor_weakref()  # pyright: ignore[reportPrivateUsage]
        if actor is not None and ref.is_alive():
            found[actor.subject.user_id or "anonymous"] += 1
    most = LIMITS.connections_per_user
    world.history.check(all(count <= most for count in found.values()), f"more than {most} connections: {found}")
    world.history.check(found.total() <= LIMITS.connections, f"{found.total()} connections of {LIMITS.connections}")


def check_rest(world: "World") -> None:
    """At rest: everything that was said is stored once and in order, and everybody sees the same."""
    truth, check = world.truth, world.history.check
    house = world.machine.house
    assert house is not None
    for session_id, bodies in truth.spooled.items():
        stored = truth.stored[session_id]
        check([seq for seq, _ in stored] == list(range(1, len(bodies) + 1)), f"{session_id}: stored {stored}")
        same = len(stored) == len(bodies) and all(map(same_event, (body for _, body in stored), bodies))
        check(same, f"{session_id}: what is stored is not what the runner said")
        read = house.log.read(session_id, 0, 10_000, 1 << 30)
        check([(one.seq, one.body) for one in read] == stored, f"{session_id}: the log reads back something else")
        _check_session(world, session_id, [body for _, body in stored])
    for session_id, bodies in truth.ungranted.items():
        stored, known = truth.stored.get(session_id), house.context.board.session(session_id)
        check(not stored, f"{session_id} is in a village that its runner was not granted, and stored: {stored}")
        check(known is None, f"{session_id} is in a village that its runner was not granted, and on the board: {known}")
        if bodies:
            world.history.count("ungranted session")
    for machine in world.runners:
        runner = house.context.directory.runners.get(machine.name)
        check(runner is not None and runner.is_alive(), f"{machine.name} is connected, and has no actor")


def _check_session(world: "World", session_id: str, bodies: list[bytes]) -> None:
    check = world.history.check
    events = [json.loads(body) for body in bodies]
    lines = [event["seq"] for event in events if event["type"] in LINES]
    for page in world.pages:
        shown, wanted = [seq for seq, _ in page.view.lines[session_id]], lines
        if session_id in page.view.watched:  # while it watched the terminal, the text came as terminal output alone
            output = {event["seq"] for event in events if event["type"] == "TERMINAL_CHUNK"}
            shown, wanted = ([seq for seq in some if seq not in output] for some in (shown, lines))
        check(shown == wanted, f"{page.name}: {session_id} shows {shown}, not {wanted}")
    states = [event["newState"] for event in events if event["type"] == "SESSION_STATE_CHANGED"]
    house = world.machine.house
    assert house is not None
    known = house.context.board.session(session_id)
    check(known is not None and known.state == states[-1], f"{session_id}: the board says {known}, not {states[-1]}")
    if known is not None:
        check(known == _folded(known, bodies), f"{session_id}: the board says {known}, which its events do not")
    for page in world.pages:
        status = page.view.statuses.get(default_agent_id(session_id), states[-1])
        check(status == states[-1], f"{page.name}: {session_id} is said to be {status}, and is {states[-1]}")
        shown = page.view.states.get(session_id)
        check(shown == states[-1], f"{page.name}: {session_id} is shown as {shown}, and is {states[-1]}")
    _check_approvals(world, session_id, events)


def _folded(known: SessionState, bodies: list[bytes]) -> SessionState:
    """The state that a session's events give it, whoever held it meanwhile and however often it died."""
    names = ("session_id", "village_id", "agent_id", "runner_id", "agent_name", "created_at")
    blank = SessionState(**{name: getattr(known, name) for name in names})
    return fold_all(blank, [decode_event(body) for body in bodies])


def _check_approvals(world: "World", session_id: str, events: list[dict[str, Any]]) -> None:
    check = world.history.check
    asked = [event["approval"]["approvalId"] for event in events if event["type"] == "APPROVAL_REQUESTED"]
    resolved = [event for event in events if event["type"] == "APPROVAL_RESOLVED"]
    counts = Counter(event["approvalId"] for event in resolved)
    check(all(count == 1 for count in counts.values()), f"{session_id}: resolved more than once: {counts}")
    check(set(counts) == set(asked), f"{session_id}: asked for {asked}, and resolved {sorted(counts)}")
    known = world.machine.house.context.board.session(session_id) if world.machine.house is not None else None
    check(known is None or not known.pending, f"{session_id}: the board says that somebody still waits: {known}")
    for page in world.pages:
        waits = [approval_id for approval_id, of in page.view.waiting.items() if of == session_id]
        check(not waits, f"{page.name}: {waits} of {session_id} are shown as waiting")
    for event in resolved:
        approval_id = event["approvalId"]
        check(approval_id in asked, f"{approval_id} was resolved and never asked for")
        recorded = world.truth.decisions.get(approval_id)
        said = (event["decision"], event.get("resolvedBy"))
        world.history.consistent(approval_id, {said})
        told = world.history.answers.get(approval_id, set())
        check(told <= {said}, f"{approval_id}: people were told {told}, and it ended as {said}")
        kept = world.machine.decisions.standing.get(approval_id)
        stands = None if kept is None else (kept[1].decision, kept[1].resolved_by)
        check(stands in (None, said), f"{approval_id}: {stands} is on record, and it ended as {said}")
        if event["decision"] == "allow":  # a yes is somebody's; a no may be the end of the session
            check(
                recorded is not None, f"{approval_id} was allowed by {event.get('resolvedBy')}, which nobody recorded"
            )
            if recorded:
                said = (event["decision"], event.get("resolvedBy"))
                check(said == recorded[0], f"{approval_id}: recorded as {recorded[0]}, and the runner heard {said}")


def check_end(world: "World") -> None:
    """After the end: nobody is left, and nothing is open."""
    left = [str(ref) for ref in leftovers()]
    world.history.check(not left, f"actors are left over: {left[:5]}")
    open_wires = [wire.name for wire in world.network.wires if not (wire.near.closed and wire.far.closed)]
    world.history.check(not open_wires, f"connections are left open: {open_wires}")
    spools = {f"{machine.name}.db" for machine in world.runners}
    kept = {"journal.db", "journal.db.lock", "journal-heads.0", "journal-heads.1", *spools}
    files = {path.name for path in world.directory.iterdir()} - kept  # a log that was closed has no -wal
    world.history.check(not files, f"files are left over: {sorted(files)}")
    held = [link for link in map(_pointed_to, FILES.iterdir()) if link.startswith(str(world.directory))]
    world.history.check(not held, f"files are still open: {held}")


def _pointed_to(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the listing's own
        return ""
