"""Four viewers of one program against the terminal that had every byte: what each of them is sent."""

import random
from collections.abc import Sequence
from typing import Any

import attrs

from tests.terminal.generator import cut
from tests.terminal.oracle import Oracle, Step, described, difference, model
from townwatch.contracts.vt.filter import ViewerFilter
from townwatch.contracts.vt.lazy import LazyScreen, restored

END: Step = "\x1b\\\x1b\\"
"""Ends every program: what a query left behind in the parser does not count."""


@attrs.frozen
class Sent:
    """Steps for a fresh terminal of this size."""

    steps: list[Step]
    size: tuple[int, int]


def pieces_of(steps: Sequence[Step], seed: int) -> list[Step]:
    """The same program, its text cut anywhere."""
    rnd = random.Random(seed)
    whole: list[Step] = []
    for step in steps:
        if isinstance(step, str) and len(step) < 5000:
            whole += cut(step, rnd)
        else:
            whole.append(step)
    return whole


def viewers(steps: Sequence[Step], size: tuple[int, int], seed: int) -> dict[str, Sent]:
    """What each viewer is sent. The join and the restart are at a place that `seed` says."""
    pieces = pieces_of(steps, seed)
    viewer_filter, shown = ViewerFilter(), list[Step]()
    for piece in pieces:
        shown.append(viewer_filter.feed(piece) if isinstance(piece, str) else piece)
    at = random.Random(seed).randint(0, len(shown))
    late, half = _screen(shown, size), _screen(shown[:at], size)
    again = restored(half.snapshot(), (half.screen.cols, half.screen.rows))
    for step in shown[at:]:
        again.write(step) if isinstance(step, str) else again.resize(*step)
    again.finish()
    return {
        "live": Sent([step for step in shown if step], size),
        "late": Sent([late.snapshot()], (late.screen.cols, late.screen.rows)),
        "late and on": Sent([half.snapshot(), *filter(None, shown[at:])], (half.screen.cols, half.screen.rows)),
        "after a restart": Sent([again.snapshot()], (again.screen.cols, again.screen.rows)),
    }


def _screen(steps: Sequence[Step], size: tuple[int, int]) -> LazyScreen:
    lazy = LazyScreen()
    lazy.resize(*size)
    for step in steps:
        lazy.write(step) if isinstance(step, str) else lazy.resize(*step)
    lazy.finish()
    return lazy


def differences(
    oracle: Oracle, programs: Sequence[tuple[Sequence[Step], tuple[int, int]]], seed: int
) -> list[dict[str, str]]:
    """For each program: viewer → how it differs, for those that do."""
    wholes = [([*steps, END], size) for steps, size in programs]
    wanted = oracle.states(wholes)
    # Behind a wide character at the margin, without wrapping, xterm.js depends on where the text was cut.
    wanted_cut = oracle.states([(pieces_of(steps, seed + index), size) for index, (steps, size) in enumerate(wholes)])
    sent = [viewers(steps, size, seed + index) for index, (steps, size) in enumerate(wholes)]
    names = ("live", "late", "late and on", "after a restart")
    got = iter(oracle.states([(one[name].steps, one[name].size) for one in sent for name in names]))
    found: list[dict[str, str]] = []
    for (steps, size), want, want_cut in zip(wholes, wanted, wanted_cut, strict=True):
        bad: dict[str, str] = {}
        states: list[tuple[str, Any, Any]] = [("model", want, described(model(steps, size)))]
        states += [(name, want_cut, next(got) | {"answers": want_cut["answers"]}) for name in names]
        for name, right, state in states:
            if (text := difference(right, state)) is not None:
                bad[name] = text[:300]
        found.append(bad)
    return found
