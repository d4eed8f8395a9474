"""`python -m bench.fanout.idle [--clients 10000] [--minutes 10]`: many who only stay, and many who come back at once.

The clients answer the server's pings of both kinds and do nothing else. Goals: no growth of memory, every ping answered
and nobody cut, less than a tenth of a core; then a storm: 5000 connections are lost at once and dial again, and all of
them have joined within ten seconds.
"""

import argparse
import sys
import time

from bench.fanout.contenders import CONTENDERS
from bench.fanout.load import Load
from bench.fanout.machine import compiled, raise_open_files, resident_bytes
from bench.fanout.rounds import LOAD_CORE, SERVER_CORE

MIB = 1 << 20
SETTLE_SECONDS = 30.0
"""After the connecting, before growth is counted: handshakes leave memory behind that is used again."""
PING_SECONDS = 25.0
CORE_SHARE, STORM_SECONDS, GROWTH_SHARE = 0.10, 10.0, 0.02
"""The goals: of a core, of the storm, of the resident memory."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout.idle", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--storm", type=int, default=5_000, help="clients that come back at once")
    parser.add_argument("--minutes", type=float, default=10.0)
    return parser.parse_args()


def stay(load: Load, pid: int, clients: int, minutes: float) -> bool:
    """Idle, a line a minute; whether the goals are met."""
    before = resident_bytes(pid)
    opened = load.ask(f"open {clients}")
    print(f"{clients} clients joined in {opened['seconds']:.1f} s", flush=True)
    load.ask(f"idle {SETTLE_SECONDS}")
    settled = resident_bytes(pid)
    print(f"{(settled - before) / clients / 1024:.1f} KiB of resident memory a connection", flush=True)
    begun, cpu, pings, cut = time.monotonic(), _cpu(pid), 0, 0
    while (left := begun + minutes * 60 - time.monotonic()) > 0.5:
        answer = load.ask(f"idle {min(60.0, left)}")
        pings, cut = pings + answer["pings"], answer["cut"]
        resident = resident_bytes(pid) / MIB
        print(f"  {time.monotonic() - begun:4.0f} s: {resident:.1f} MiB, {pings} pings answered, {cut} cut", flush=True)
    seconds = time.monotonic() - begun
    share = (_cpu(pid) - cpu) / seconds
    grown = (resident_bytes(pid) - settled) / settled
    due = clients * int(seconds / PING_SECONDS)
    print(f"{share:.1%} of a core, memory {grown:+.1%}, {pings} pings answered ({due} due), {cut} cut")
    return share < CORE_SHARE and grown < GROWTH_SHARE and pings >= due and not cut


def storm(load: Load, clients: int) -> bool:
    """Everybody is lost at once and dials again."""
    load.ask(f"open {clients}")
    load.ask("close")
    seconds = load.ask(f"open {clients}")["seconds"]
    print(f"storm: {clients} clients were back in {seconds:.1f} s")
    return seconds < STORM_SECONDS


def _cpu(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)


def main() -> int:
    given = arguments()
    raise_open_files()
    program = compiled("load.c")
    with CONTENDERS["townwatch"].running(SERVER_CORE) as server:
        load = Load(program, server, LOAD_CORE)
        try:
            good = stay(load, server.pid, given.clients, given.minutes) if given.minutes else True
            load.ask("close")
            good = storm(load, given.storm) and good
        finally:
            load.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
