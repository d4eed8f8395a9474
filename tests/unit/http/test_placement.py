"""Placement: online, connected, has the provider, matches the labels, below 80 %; the least loaded first."""

import attrs
import pytest

from townwatch.actors.placement import Candidate, NoRunner, choose

FREE = Candidate(
    runner_id="a",
    status="online",
    connected=True,
    providers=frozenset({"codex"}),
    labels={"os": "linux"},
    sessions=0,
    max_sessions=10,
)


def but(**changes):
    return attrs.evolve(FREE, **changes)


def test_a_free_runner_gets_the_session():
    assert choose([FREE], "codex") == "a"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "offline"}, "a is offline"),
        ({"status": "draining"}, "a is draining"),
        ({"status": "maintenance"}, "a is maintenance"),
        ({"connected": False}, "a is not connected"),
        ({"providers": frozenset()}, "a does not have the provider codex"),
        ({"labels": {"os": "macos"}}, "a is not labelled os=linux"),
        ({"sessions": 8}, "a is full (8 of 10 sessions)"),
        ({"max_sessions": 0}, "a is full (0 of 0 sessions)"),
    ],
)
def test_what_stands_in_the_way_is_said(changes, why):
    assert choose([but(**changes)], "codex", {"os": "linux"}) == NoRunner(why)


def test_the_eighth_of_ten_is_the_last_that_is_placed():
    assert choose([but(sessions=7)], "codex") == "a"


def test_a_runner_that_is_named_may_be_filled_up():
    assert choose([but(sessions=9)], "codex", runner_id="a") == "a"
    assert choose([but(sessions=10)], "codex", runner_id="a") == NoRunner("a is full (10 of 10 sessions)")


def test_the_least_loaded_comes_first_then_the_idlest_then_the_name():
    busy, half = but(runner_id="x", sessions=6), but(runner_id="y", sessions=5)
    assert choose([busy, half], "codex") == "y"
    assert choose([but(runner_id="y", cpu_percent=50), but(runner_id="x", cpu_percent=90)], "codex") == "y"
    assert choose([but(runner_id="y"), but(runner_id="x")], "codex") == "x"
    assert choose([but(runner_id="big", sessions=10, max_sessions=100), but(sessions=2)], "codex") == "big"


def test_any_runner_runs_a_command():
    assert choose([but(providers=frozenset())], "command") == "a"


def test_nobody_there():
    assert choose([], "codex") == NoRunner("there is no runner yet")
    assert choose([FREE], "codex", runner_id="b") == NoRunner("there is no runner b")


def test_a_long_refusal_is_cut():
    fleet = [but(runner_id=f"r{i}", status="offline") for i in range(9)]
    found = choose(fleet, "codex")
    assert isinstance(found, NoRunner)
    assert found.reason.endswith("r4 is offline and 4 more")
