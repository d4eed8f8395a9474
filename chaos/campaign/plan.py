"""Plan of faults, all of it from one seed, so that a run that found something can be repeated."""

from collections.abc import Iterator, Sequence
from random import Random

import attrs

WEIGHTS = {
    "kill-actor": 40,
    "cut-runner": 14,
    "cut-client": 8,
    "flood": 6,
    "kill-router": 6,
    "kill-journal": 4,
    "kill-supervisor": 4,
    "kill-process": 4,
    "kill-listener": 3,
    "freeze-runner": 3,
    "freeze-client": 3,
    "slow-client": 3,
    "slow-disk": 3,
    "full-disk": 2,
    "block-loop": 2,
    "half-open-client": 2,
    "half-open-runner": 1,
    "wedge-actor": 1,
}
OTHERS = 2
"""The weight of a fault that is not in `WEIGHTS`."""
PAUSE_SECONDS = (0.1, 1.0)
LASTING_SECONDS = (0.2, 1.5)
NEEDS_A_KEEPER = frozenset({"kill-process"})


class UnknownFault(Exception):
    """The service does not offer what was asked for; the message is one line."""


@attrs.frozen(kw_only=True)
class PlannedFault:
    """One fault to come. `pause`: seconds of quiet before it. `seconds`: how long it lasts, where it lasts. `dice`:
    what chooses its target; `seed`: what the service chooses by.
    """

    fault: str
    pause: float
    seconds: float
    dice: float
    seed: int


def choose(wanted: Sequence[str], offered: Sequence[str], kept: bool) -> list[str]:
    """The faults of a run: those named, or all the service offers; kill -9 only where a supervisor starts the process
    again.

    Raises `UnknownFault`.
    """
    for name in wanted:
        if name not in offered:
            raise UnknownFault(f"the service offers no fault {name!r}; it offers {', '.join(offered)}")
        if name in NEEDS_A_KEEPER and not kept:
            raise UnknownFault(f"{name}: nothing would start the service again; run it with --keep, or under systemd")
    return list(wanted) or [name for name in offered if kept or name not in NEEDS_A_KEEPER]


def plan(seed: int, faults: Sequence[str], *, even: bool = False) -> Iterator[PlannedFault]:
    """Yield faults without end: first each once, in an order of the seed's, then by weight (`even`: all the same)."""
    dice = Random(seed)
    first = dice.sample(faults, len(faults))
    weights = [1 if even else WEIGHTS.get(name, OTHERS) for name in faults]
    while True:
        name = first.pop() if first else dice.choices(faults, weights)[0]
        yield PlannedFault(
            fault=name,
            pause=dice.uniform(*PAUSE_SECONDS),
            seconds=round(dice.uniform(*LASTING_SECONDS), 2),
            dice=dice.random(),
            seed=dice.getrandbits(31),
        )
