"""A machine's runner processes, in slots of one state directory, hold the same rules."""

from pathlib import Path

import trio

from tests.integration.policy.house import open_ruled
from townwatch.runner import identity
from townwatch.runner.opening import open_runner


async def test_every_runner_process_of_a_machine_takes_the_rules_of_its_service(tmp_path: Path) -> None:
    async with open_ruled(tmp_path / "service") as ruled:
        known = identity.load(ruled.town.state)
        for number, slot in enumerate(("main", "demo", None, "main")):
            async with open_runner(known, tmp_path / "runner", slot=slot) as runner:
                with trio.fail_after(20):
                    await runner.link.connected.wait()
                    await ruled.rules({"id": f"no-push-{number}", "effect": "deny", "command": "git push *"})
                    while [one.id for one in runner.policies.of("demo").rules] != [f"no-push-{number}"]:
                        await trio.sleep(0.05)
