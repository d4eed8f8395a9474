"""The runner's and the client's protocol as a state machine: Hypothesis writes programs, the real doors run them.

A rule adds a step to the program and to a model of what must be stored. At the end the whole program runs in one
trio.run on virtual time, so that a failing one shrinks to its few steps: Hypothesis has no asynchronous machines.
"""

import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio
import trio.testing
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.simulation.clients import Page
from tests.simulation.determinism import deterministic
from tests.simulation.disk import SimDecisions, Truth
from tests.simulation.faults import CAST, Armed, crashing
from tests.simulation.history import History, Seen
from tests.simulation.network import Network
from tests.simulation.peer import SESSION, Peer
from tests.simulation.service import Machine
from tests.simulation.world import MEMORY_DISK

Step = tuple[Any, ...]
KINDS = ("TERMINAL_CHUNK", "SESSION_STATE_CHANGED")
SETTLE_SECONDS = 90.0
"""Longer than the longest patience of a link."""

PROGRAM_SECONDS = 1000.0


class Watching(Seen):
    """Beside a peer that may skip numbers: what lies between two lines is the peer's business."""

    def _nothing_between(self, session_id: str, after: int, until: int) -> None:
        pass


class Protocols(RuleBasedStateMachine):
    """`wanted`: the numbers that must be stored. `refused`: those that may be refused, and no others."""

    def __init__(self) -> None:
        super().__init__()
        self.program: list[Step] = []
        self.wanted: list[int] = []
        self.refused: list[int] = []
        self.next = 1

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=12))
    def events(self, kinds: list[str]) -> None:
        self.program.append(("events", [(kind, self.next + n) for n, kind in enumerate(kinds)]))
        self.wanted += range(self.next, self.next + len(kinds))
        self.next += len(kinds)

    @rule(numbers=st.integers(1, 3))
    def skip(self, numbers: int) -> None:
        """A hole of the runner's own."""
        self.next += numbers
        self.program.append(("events", [("TERMINAL_CHUNK", self.next)]))
        self.wanted.append(self.next)
        self.next += 1

    @rule()
    def malformed(self) -> None:
        self.program.append(("events", [("FILE_TOUCHED", self.next)]))
        self.refused.append(self.next)
        self.next += 1

    @rule(count=st.integers(1, 6))
    def repeat(self, count: int) -> None:
        """What was said, and perhaps acknowledged, is said again."""
        self.program.append(("repeat", count))

    @rule(text=st.sampled_from(('{"type":"nonsense"}', "not json", '{"type":"hello"}', '{"type":"events"}')))
    def nonsense(self, text: str) -> None:
        self.program.append(("say", text))

    @rule()
    def hang_up(self) -> None:
        self.program.append(("hang up",))

    @rule(seconds=st.sampled_from((0.0, 0.001, 0.01, 1.0, 6.0)))
    def wait(self, seconds: float) -> None:
        self.program.append(("wait", seconds))

    @rule(victim=st.sampled_from(CAST), when=st.sampled_from(("before", "after", 1, 2)), times=st.integers(1, 2))
    def crash(self, victim: type, when: str | int, times: int) -> None:
        self.program.append(("crash", victim, when, times))

    @rule()
    def cut_the_page(self) -> None:
        self.program.append(("cut page",))

    def teardown(self) -> None:
        if self.wanted:
            run(self.program, self.wanted, self.refused)


def run(program: list[Step], wanted: list[int], refused: list[int]) -> None:
    """The program against the service, and the model against what is stored and shown then."""
    directory = Path(tempfile.mkdtemp(prefix="sim", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None))
    armed: dict[type, Armed] = {}
    truth = Truth()
    history = History(truth)
    try:
        with deterministic(1), ExitStack() as stack:
            for actor in CAST:
                stack.enter_context(patch.object(actor, "on_receive", crashing(actor.on_receive, armed)))
            clock = trio.testing.MockClock(autojump_threshold=0)
            peer = trio.run(_within_bounds, program, directory, armed, history, clock=clock)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    stored = [seq for seq, _ in truth.stored[SESSION]]
    assert stored == wanted, (stored, wanted)
    # One that was cut off before its refusal came is let go with the acknowledgement of a later one.
    assert set(peer.nacked) <= set(refused), (peer.nacked, refused)
    assert not peer.kept, f"never acknowledged: {sorted(peer.kept)}"
    assert not peer.problems, peer.problems
    assert not history.violations, history.violations


async def _within_bounds(program: list[Step], directory: Path, armed: dict[type, Armed], history: History) -> Peer:
    with trio.fail_after(PROGRAM_SECONDS):
        return await _main(program, directory, armed, history)


async def _main(program: list[Step], directory: Path, armed: dict[type, Armed], history: History) -> Peer:
    network = Network(random.Random(1), history.note)
    network.calm = True
    truth = history.truth
    machine = Machine(directory / "journal.db", network, truth, random.Random(2), SimDecisions(truth))
    peer = Peer(network, durable=lambda: truth.last(SESSION))
    view = Watching("page", history)
    page = Page("page", "ann", network, random.Random(3), history, _nobody_decides, view)
    async with trio.open_nursery() as nursery:
        house = await nursery.start(machine.live)
        nursery.start_soon(page.run)
        for step in program:
            await _step(step, peer, network, armed, nursery)
        armed.clear()
        for _ in range(3):  # a connection that was doomed already may end once more
            await peer.connect(nursery)
            await _rest(peer, page, truth)
        shown = [seq for seq, _ in view.lines[SESSION]]
        history.check(shown == [seq for seq, _ in truth.stored[SESSION]], f"the page shows {shown}")
        peer.hang_up()
        house.scope.cancel()
        await trio.sleep(15)
        nursery.cancel_scope.cancel()
    return peer


async def _nobody_decides(*_args: str) -> None:
    pass


async def _step(step: Step, peer: Peer, network: Network, armed: dict[type, Armed], nursery: trio.Nursery) -> None:
    match step:
        case ("events", events):
            await peer.connect(nursery)
            for kind, seq in events:
                peer.make(kind, seq)
            await peer.pump()
        case ("repeat", count):
            await peer.repeat(count)
        case ("say", text):
            await peer.say(text)
        case ("hang up",):
            peer.hang_up()
        case ("wait", seconds):
            await trio.sleep(seconds)
        case ("crash", victim, when, times):
            armed[victim] = Armed(when, times)
        case _:
            for wire in network.of("page"):
                wire.cut()


async def _rest(peer: Peer, page: Page, truth: Truth) -> None:
    """Until all is acknowledged and shown, or for as long as a link is patient."""
    with trio.move_on_after(SETTLE_SECONDS):
        while peer.kept or page.view.last.get(SESSION, 0) < truth.last(SESSION):
            if peer.frames is None and peer.kept:
                return
            await trio.sleep(0.5)


TestProtocols = Protocols.TestCase
TestProtocols.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
