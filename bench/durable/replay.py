"""Reading back: pages over REST, and what a Socket.IO client missed (`since`), as a client sees them."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench.durable.people import Person
from bench.durable.recovery import fill
from bench.durable.town import Town

SESSIONS, EACH = 10, 4_000
"""Within what a join replays of a session; what goes beyond becomes a gap."""


def replay(home: Path, rounds: int) -> None:
    """The table."""
    state = home / "replay"
    Town.start(state).stop()
    fill(state / "journal.db", SESSIONS * EACH, SESSIONS)
    town = Town.start(state)
    try:
        town.token()
        print(f"\n{'replay':28} {'events/s':>9} {'CPU s/100k':>10}")
        names = [f"stored-{SESSIONS * EACH}-{i:04d}" for i in range(SESSIONS)]
        _row("REST, pages of 1000", town, rounds, lambda: sum(_pages(town, name) for name in names))
        _row("Socket.IO, join with since", town, rounds, lambda: _since(town, names))
    finally:
        town.stop()


def _row(name: str, town: Town, rounds: int, read: Callable[[], int]) -> None:
    rates, costs = list[float](), list[float]()
    for _ in range(rounds):
        began, before = time.perf_counter(), town.cpu()
        count = read()
        rates.append(count / (time.perf_counter() - began))
        costs.append((town.cpu() - before) / count * 100_000)
    print(f"{name:28} {statistics.median(rates):9,.0f} {statistics.median(costs):10.2f}", flush=True)


def _pages(town: Town, session: str) -> int:
    after, count = 0, 0
    while True:
        page = town.ask(f"/api/runner/sessions/{session}/events?after={after}&limit=1000")
        count += len(page["items"])
        if page["next"] is None:
            return count
        after = page["next"]


def _since(town: Town, names: list[str]) -> int:
    """Join the village as somebody who has seen each session's first event, until the join is acknowledged."""
    person = Person(town)
    person.ask("join_village", {"villageId": "demo", "since": dict.fromkeys(names, 1)})
    kinds = re.compile(rb'42\["work_stream_event"|431\[|42\["gap"')
    count, tail = 0, b""
    while True:
        data = tail + person.receive()
        end = 0
        for found in kinds.finditer(data):
            end = found.end()
            if found[0] == b"431[":
                person.close()
                return count
            assert b"gap" not in found[0], "the replay has a gap"
            count += 1
        tail = data[max(end, len(data) - 40) :]
