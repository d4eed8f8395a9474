"""Three services on one PostgreSQL: whichever is frozen beyond its lease, killed or stopped, and however PostgreSQL is
restarted, nothing acknowledged is lost, nothing is doubled, and no write of a replaced process is accepted.

Two `townwatch runner` with real programs that write numbered lines and ask for approval, official clients, people who
decide against each other, all behind a proxy that sends each connection to the next one of the three: most of them come
to one that does not lead, which hands them on. By hand, for longer, with more of all of them and cut networks as well:

python -m tests.chaos.nemesis --faults 500 --seed 2
"""

import os
from pathlib import Path

import pytest

from tests.chaos.nemesis.pair import plan_of
from tests.chaos.nemesis.replicas import Campaign, wage
from tests.support import postgres

pytestmark = pytest.mark.node
DEEDS = int(os.environ.get("TOWNWATCH_KILLS", "3"))
SEED = int(os.environ.get("TOWNWATCH_SEED", "1"))


@pytest.mark.timeout(240 + 30 * DEEDS)
async def test_whichever_leader_goes_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgres.server() as server:
        url = server.fresh_schema("pair")
        monkeypatch.setenv("TOWNWATCH_DATABASE_URL", url)
        outcome = await wage(Campaign(plan=plan_of(DEEDS, SEED), seed=SEED), tmp_path, server, url)
    print(f"\nseed {SEED}, {outcome.figures}")
    assert not outcome.findings, "\n".join(outcome.findings[:60])
