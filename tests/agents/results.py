"""Results of the runs by hand, kept beside the CLIs: which cell, with which version, and what became of it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from tests.integration.agents.test_matrix import CELLS
from tests.support.agents.provide import ALL, BY_HAND, CACHE, Cli

KEPT = CACHE / "results.jsonl"
CLIS: dict[str, Cli] = {cli.name: cli for cli in (*ALL, *BY_HAND)}
NEWLINE = "\n"
COMMON = "common"
"""Of a test that is about no one CLI."""
SIGNS = {"passed": "yes", "skipped": "cannot", "failed": "**failed**", "timeout": "**no end**"}


@attrs.frozen
class Result:
    """`began`: no outcome yet: it runs, or was killed."""

    cell: str
    outcome: str
    why: str = ""
    seconds: float = 0.0
    version: str = ""
    at: float = 0.0


def agent_of(cell: str) -> str:
    """Return the CLI that a test is about: what its parameters say, else its name, else its file's."""
    file, _, name = cell.rpartition("::")
    name, _, parameters = name.partition("[")
    for text in (parameters, name, file.rpartition("/")[2]):
        if found := [agent for agent in CLIS if agent in text]:
            return found[0]
    return COMMON


def version_of(agent: str) -> str:
    """Return the version that is pinned now."""
    return CLIS[agent].version if agent in CLIS else ""


def events(path: Path, since: int = 0) -> Iterator[dict[str, object]]:
    """Yield the lines behind a position. A last one that is half written is left out."""
    if path.exists():
        with path.open() as file:
            file.seek(since)
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)


def known(path: Path = KEPT) -> dict[str, Result]:
    """Return the latest result of each cell that was seen with the version of today."""
    found: dict[str, Result] = {}
    for line in events(path):
        if "cell" not in line:
            continue
        one = Result(**{name: line[name] for name in attrs.fields_dict(Result) if name in line})  # type: ignore[arg-type]
        if one.version == version_of(agent_of(one.cell)):
            found[one.cell] = one
    return found


def table(results: Iterable[Result]) -> str:
    """Return the matrix as a table, then what is not in it, then each that failed."""
    found = {one.cell: one for one in results}
    rows = [f"| who, where, first | {' | '.join(f'{name} {cli.version}' for name, cli in CLIS.items())} |"]
    rows.append("|---" * (len(CLIS) + 1) + "|")
    matrix: set[str] = set()
    for cell in CELLS:
        name = "-".join(cell)
        of = {agent_of(id_): one for id_, one in found.items() if "test_a_cell[" in id_ and name in id_}
        matrix |= {one.cell for one in of.values()}
        signs = [SIGNS[of[agent].outcome] if agent in of else "not run" for agent in CLIS]
        rows.append(f"| {', '.join((cell[1], *cell[::2]))} | {' | '.join(signs)} |")
    others = [one for one in found.values() if one.cell not in matrix]
    lines = [*rows, ""]
    for agent in (*CLIS, COMMON):
        mine = [one for one in others if agent_of(one.cell) == agent]
        counts = ", ".join(f"{sum(one.outcome == o for one in mine)} {o}" for o in SIGNS)
        lines.append(f"Beside the table, {agent}: {counts}")
    lines += [
        f"{one.outcome}: {one.cell}: {one.why.partition(NEWLINE)[0][:300]}"
        for one in found.values()
        if one.outcome in ("failed", "timeout")
    ]
    return "\n".join(lines)
