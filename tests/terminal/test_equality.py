"""Live, late, returning and after-restart viewers have the terminal that xterm.js makes of every byte, cell by cell."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import make_widths
from tests.terminal.comparing import differences
from tests.terminal.generator import program
from tests.terminal.oracle import Oracle, Step, described, difference, model
from tests.terminal.programs import PROGRAMS
from townwatch.contracts.vt.snapshot import snapshot
from townwatch.contracts.vt.widths_table import RANGES

pytestmark = pytest.mark.node
RECORDINGS = Path(__file__).parent / "recordings"
SEEDS = 100
RARE_SEEDS = 60


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


def test_hand_written_programs_are_equal_for_every_viewer(oracle: Oracle) -> None:
    found = differences(oracle, list(PROGRAMS.values()), seed=7)
    assert {name: bad for name, bad in zip(PROGRAMS, found, strict=True) if bad} == {}


def test_random_programs_are_equal_for_every_viewer(oracle: Oracle) -> None:
    """The seeds are those of this machine's first runs: `python -m tests.terminal` tries others."""
    found = differences(oracle, [program(seed, sizes=False) for seed in range(SEEDS)], seed=1)
    assert {seed: bad for seed, bad in enumerate(found) if bad} == {}


def test_what_few_programs_print_is_equal_for_every_viewer(oracle: Oracle) -> None:
    found = differences(oracle, [program(seed, sizes=False, rare=True) for seed in range(RARE_SEEDS)], seed=1)
    assert {seed: bad for seed, bad in enumerate(found) if bad} == {}


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.json")), ids=lambda path: path.stem)
def test_real_programs_are_equal_for_every_viewer(oracle: Oracle, path: Path) -> None:
    recorded = json.loads(path.read_text())
    steps: list[Step] = [step if isinstance(step, str) else (step[0], step[1]) for step in recorded["steps"]]
    cols, rows = recorded["size"]
    assert differences(oracle, [(steps[: len(steps) // 2], (cols, rows)), (steps, (cols, rows))], seed=3) == [{}, {}]


def test_a_snapshot_of_a_snapshot_is_the_same_terminal() -> None:
    for seed in range(60):
        steps, size = program(seed, sizes=False)
        first = model([*steps, "\x1b\\"], size)
        again = model([snapshot(first)], size)
        assert difference(described(first), described(again)) is None, seed


def test_runner_service_and_page_count_the_same_cells() -> None:
    scope: dict[str, str] = {}
    exec(make_widths.table(), scope)
    assert scope["RANGES"] == RANGES
