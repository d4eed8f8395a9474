"""How long clients are away when a leader goes: `python -m bench.rolling [--rounds 10] [--how stop] [--clients 20]`

Two replicas on one PostgreSQL behind HAProxy (the shipped configuration; without a haproxy, a proxy of the tests'),
two runners with programs, official clients. One round: the leader is told to end (`--how stop`), as a rolling restart
does, or killed (`--how kill`), and started again. A client is away from the end of its connection until it is in all of
its rooms again, with what it missed. `--delay`: reconnectionDelay of the clients in ms; the official default is 1000,
of which they wait half to one and a half. In the end the judge of the tests looks at what each saw: lost, doubled, out
of order.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import trio

from tests.chaos.nemesis import haproxy
from tests.chaos.nemesis.replicas import Campaign, wage
from tests.support import postgres


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--how", choices=("stop", "kill"), default="stop")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--delay", type=int, default=50)
    chosen = parser.parse_args()
    campaign = Campaign(
        plan=[chosen.how] * chosen.rounds,
        replicas=2,
        runners=2,
        sessions_each=1,
        clients=chosen.clients,
        delay_ms=chosen.delay,
        haproxy=haproxy.program() is not None,
        tell=lambda line: print(line, flush=True),
    )
    with tempfile.TemporaryDirectory(prefix="tw-rolling-") as folder, postgres.server() as server:
        url = server.fresh_schema("rolling")
        os.environ["TOWNWATCH_DATABASE_URL"] = url
        outcome = trio.run(wage, campaign, Path(folder), server, url)
    front = "HAProxy" if campaign.haproxy else "a proxy of the tests"
    away = sorted(outcome.away)
    print(f"\nbehind {front}, load {os.getloadavg()[0]:.0f}: {outcome.figures}")
    if away:
        half, most = away[len(away) // 2], away[round(0.99 * (len(away) - 1))]
        late = sum(one > 2 for one in away)
        print(f"away {len(away)} times: p50 {half:.2f} s, p99 {most:.2f} s, worst {away[-1]:.2f} s, over 2 s: {late}")
    print("\n".join(outcome.findings[:50]) or "nothing lost, nothing doubled, nothing out of order")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
