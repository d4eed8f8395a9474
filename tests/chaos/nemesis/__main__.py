"""The long fault run: `python -m tests.chaos.nemesis [--faults 500] [--seed 1]`

Three services on one PostgreSQL, six `townwatch runner` with programs, twenty official Socket.IO clients behind a
proxy that spreads connections. Faults: the leader frozen beyond its lease, killed, told to end; a follower killed,
frozen; PostgreSQL restarted, and crashed; the networks of clients and runners cut and frozen. Afterwards the judge
compares what programs wrote, what was stored, and what each client saw. The status is 1 where something was wrong.
"""

import argparse
import os
import sys
import tempfile
import time
from math import inf
from pathlib import Path

import trio

from tests.chaos.nemesis.pair import DEEDS, LEASE_SECONDS, NETWORK_DEEDS, plan_of
from tests.chaos.nemesis.replicas import Campaign, wage
from tests.support import postgres

NETWORK_SHARE = 6
"""How often each fault of a network is drawn for one of a process."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=inf, help="no more faults after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS, help="seconds; more on a busy machine")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--runners", type=int, default=6)
    parser.add_argument("--clients", type=int, default=20)
    chosen = parser.parse_args()
    kinds = (*DEEDS, *NETWORK_DEEDS * NETWORK_SHARE)
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True)

    campaign = Campaign(
        plan=plan_of(chosen.faults, chosen.seed, kinds),
        seed=chosen.seed,
        replicas=chosen.replicas,
        lease_seconds=chosen.lease,
        runners=chosen.runners,
        sessions_each=1,
        clients=chosen.clients,
        rage_seconds=chosen.minutes * 60,
        rest_seconds=300.0,
        patience=900.0,
        tell=tell,
    )
    with tempfile.TemporaryDirectory(prefix="tw-nemesis-") as folder, postgres.server() as server:
        url = server.fresh_schema("nemesis")
        os.environ["TOWNWATCH_DATABASE_URL"] = url
        outcome = trio.run(wage, campaign, Path(folder), server, url)
    print(f"\n{time.monotonic() - began:.0f} s, seed {chosen.seed}, {outcome.figures}")
    print("\n".join(outcome.findings[:100]) or "nothing lost, nothing doubled, nothing out of order")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
