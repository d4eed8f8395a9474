"""Reading back: pages over REST, and what a Socket.IO client missed (`since`), as a client sees them."""

import json
import re
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

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
    place = urlsplit(town.url)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 80), 30) as connection:
        connection.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b'0{"sid"' not in _receive(connection):
            pass
        _say(connection, "40" + json.dumps({"token": town.token()}))
        join = ["join_village", {"villageId": "demo", "since": dict.fromkeys(names, 1)}]
        _say(connection, "421" + json.dumps(join))
        kinds = re.compile(rb'42\["work_stream_event"|42\["usage_tick"|431\[|42\["gap"')
        count, tail = 0, b""
        while True:
            data = tail + _receive(connection)
            ends = 0
            for found in kinds.finditer(data):
                ends = found.end()
                if found[0] == b"431[":
                    assert b'"ok":true' in data[ends:] or not data.endswith(b"]"), data[ends:]
                    return count
                assert b"gap" not in found[0], "the replay has a gap"
                count += 1
            tail = data[max(ends, len(data) - 40) :]


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 18)
    assert data, "the service closed the connection"
    return data


def _say(connection: socket.socket, text: str) -> None:
    """A text frame; the mask is zero."""
    data = text.encode()
    assert len(data) < 1 << 16
    head = bytes((0x81, 0x80 | len(data))) if len(data) < 126 else b"\x81\xfe" + len(data).to_bytes(2, "big")
    connection.sendall(head + b"\0\0\0\0" + data)
