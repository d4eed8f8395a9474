"""The same from a shell: `townwatch changes`, `commit`, `branch`, `push`, `pr`, `merge`, `discard`."""

import json
import subprocess
import sys

import pytest
import trio

from tests.integration.landing.conftest import Yard, git
from tests.integration.landing.test_landing_rules import approval

pytestmark = pytest.mark.timeout(150)

ASK = {"id": "asks", "effect": "ask", "command": "git push *"}


async def townwatch(yard: Yard, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-P", "-m", "townwatch", *words]
    where = [f"--url={yard.ruled.town.url}", f"--token={yard.ruled.town.token}", f"--state-dir={yard.folder / 'cli'}"]
    done: subprocess.CompletedProcess[bytes] = await trio.run_process(
        [*command, *where], capture_stdout=True, capture_stderr=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_a_shell_lands_what_a_live_session_changed_and_waits_for_people(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    (yard.work / "one").write_text("x\n")
    (yard.work / "two").write_text("x\n")
    status, out, _ = await townwatch(yard, "changes", session)
    assert (status, "2 files are not committed" in out, "  added one" in out) == (0, True, True), out
    made = await townwatch(yard, "branch", session, "feature/x", "--create")
    assert made[0] == 0, made
    status, out, _ = await townwatch(yard, "commit", session, "-m", "First", "--path", "one", "--json")
    assert (status, json.loads(out)["outcome"]["files"]) == (0, ["one"]), out
    again = await townwatch(yard, "commit", session, "-m", "First", "--path", "one")
    assert (again[0], "one: not changed" in again[2]) == (1, True), again

    await yard.rules(ASK)
    status, out, said = await townwatch(yard, "push", session, "--no-wait")
    assert (status, "asks people" in said, "townwatch approve ap_" in said) == (3, True, True), said
    await yard.ruled.decide("ann", "deny", session, (await approval(yard))["approvalId"])
    found: list[tuple[int, str, str]] = []

    async def push() -> None:
        found.append(await townwatch(yard, "push", session))

    for decision in ("deny", "allow"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            with trio.fail_after(60):
                while not await yard.ruled.waiting():
                    await trio.sleep(0.05)
            await yard.ruled.decide("bob", decision, session, (await approval(yard))["approvalId"])
    assert [one[0] for one in found] == [1, 0], found
    assert ("not done: denied by Bob" in found[0][2], "pushed feature/x" in found[1][1]) == (True, True), found
    assert git(yard.remote, "rev-parse", "feature/x") == git(yard.work, "rev-parse", "HEAD")
    opened = await townwatch(yard, "pr", session, "--title", "Say more")
    assert opened[:2] == (0, "https://github.example/acme/app/pull/7\n"), opened


async def test_a_shell_merges_and_discards_what_an_ended_session_left(yard: Yard) -> None:
    session = await yard.ended("echo x > new; git add new; git commit -qm more; echo y > left")
    await yard.rules({"id": "merges", "effect": "ask", "category": "merge"})
    asked = await townwatch(yard, "merge", session, "--into", "main")
    assert (asked[0], "--confirm merges" in asked[2]) == (1, True), asked
    merged = await townwatch(yard, "merge", session, "--into", "main", "--confirm", "merges")
    assert (merged[0], "merged agent/one into main" in merged[1]) == (0, True), merged
    kept = await townwatch(yard, "discard", session)
    assert (kept[0], "--force loses it" in kept[2]) == (1, True), kept
    gone = await townwatch(yard, "discard", session, "--force")
    assert gone[0] == 0, gone
    assert (yard.work / "new").exists()
