"""A spool whose writer is killed with -9: what it said is there, without a hole, and no number is used twice."""

import json
import subprocess
import sys
from pathlib import Path

from townwatch.runner.spool.spool import Spool

WRITER = """
import sys
from pathlib import Path
from townwatch.runner.spool.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.open_session("s1", village="demo", provider="command", started_ms=1)
event = {"type": "TERMINAL_CHUNK", "sessionId": "s1", "orgId": "demo", "ts": 1, "data": "x", "stream": "stdout"}
while True:
    print(spool.append([("s1", event)] * 3)[-1].seq, flush=True)
"""
LIVES, LINES = 3, 10


def test_whoever_is_killed_the_numbers_go_on(tmp_path: Path) -> None:
    path, last = tmp_path / "spool.db", 0
    for _ in range(LIVES):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(LINES)]
            writer.kill()
        assert said[0] > last
        spool = Spool(path)
        numbers = [json.loads(one.body)["seq"] for one in spool.unacked("s1", 0, 1_000_000)]
        (session,) = spool.sessions()
        spool.close()
        assert numbers == list(range(1, session.last_seq + 1))
        assert session.last_seq >= said[-1]
        last = session.last_seq
