"""Random lives of a supervisor, as data that both Erlang and Python can act out.

A scenario is what JSON can hold, so that the corpus says all by itself:
    {"strategy", "intensity", "auto", "children": [spec…], "steps": [[what, id or spec]…]}
A spec is [id, restart, significant, stop, plan]: stop is polite (ends when asked), deaf (ignores it and is cancelled at
its deadline) or brutal; plan says whether its first, second, … start succeeds.
"""

import random
from typing import Any

IDS = "abcde"
LATE_IDS = "abcdefg"
Scenario = dict[str, Any]


def scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    dice = random.Random(seed)
    auto = dice.choice(["never", "never", "any_significant", "all_significant"])
    children = [_spec(dice, id, auto, first_fails=0.05) for id in IDS[: dice.randint(1, 5)]]
    ids = [child[0] for child in children]
    return {
        "strategy": dice.choice(["one_for_one", "rest_for_one", "one_for_all"]),
        "intensity": dice.choice([0, 1, 2, 3, 5, 20]),
        "auto": auto,
        "children": children,
        "steps": [_step(dice, ids, auto) for _ in range(dice.randint(1, 9))],
    }


def _spec(dice: random.Random, id: str, auto: str, first_fails: float) -> list[Any]:
    restart = dice.choice(["permanent", "permanent", "transient", "temporary"])
    significant = auto != "never" and restart != "permanent" and dice.random() < 0.6
    stop = dice.choice(["polite"] * 8 + ["deaf", "brutal"])
    plan = ["ok"] + [dice.choice(["ok", "ok", "ok", "fail"]) for _ in range(6)]
    if dice.random() < first_fails:
        plan = ["fail"]
    return [id, restart, significant, stop, plan]


def _step(dice: random.Random, ids: list[str], auto: str) -> list[Any]:
    what = dice.choice(["crash"] * 5 + ["normal", "shutdown", "terminate", "terminate", "restart", "delete", "start"])
    if what == "start":
        return [what, _spec(dice, dice.choice(LATE_IDS), auto, first_fails=0.2)]
    return [what, dice.choice(LATE_IDS if dice.random() < 0.1 else ids)]


def as_erlang(one: Scenario) -> str:
    """The scenario as an Erlang term for oracle.erl."""
    children = ",".join(_erlang_spec(child) for child in one["children"])
    steps = ",".join(f"{{{what},{_erlang_spec(arg) if what == 'start' else arg}}}" for what, arg in one["steps"])
    return f"{{{one['strategy']},{one['intensity']},{one['auto']},[{children}],[{steps}]}}."


def _erlang_spec(spec: list[Any]) -> str:
    id, restart, significant, stop, plan = spec
    return f"{{{id},{restart},{str(significant).lower()},{stop},[{','.join(plan)}]}}"
