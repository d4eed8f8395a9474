"""Sets the stage and lets the agents begin."""

import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path

import attrs
import trio

from townwatch.contracts.events import RepoRef
from townwatch.contracts.tasks import SessionConfig, TaskSpec
from townwatch.runner.agents.claude.dispatched import ClaudeDispatched
from townwatch.runner.demo import repositories
from townwatch.runner.identity import Identity
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.slots import SlotTaken

CAST = (
    # role, house, the agent's name, seconds after the start
    ("cart", "shop", "Ada · fix the cart", 0.0),
    ("docs", "shop", "Grace · write the docs", 1.0),
    ("ledger", "payments", "Linus · two accounts", 2.0),
)
TALKER = ("talker", "payments", "Barbara · round half a cent", 1.5)
"""The one that talks as an agent's CLI does: plan, question, permission and cost."""
RUNS_ALREADY = 3
"""Exit status: another process plays this demo."""
SHELL = ("shop", "A shell for you")


async def run_demo(identity: Identity, state_dir: Path, seed: int) -> int:
    """Run until SIGTERM or SIGINT. The sessions' ids, actions and order follow from the place, the seed and the run."""
    state_dir = await trio.to_thread.run_sync(state_dir.absolute)
    try:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with open_runner(identity, state_dir, slot="demo") as runner, trio.open_nursery() as nursery:
                houses = await repositories.make(state_dir / "demo")
                number = await trio.to_thread.run_sync(_run_number, state_dir)
                nursery.start_soon(_play, runner, houses, seed, number)
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    break
    except SlotTaken:
        return RUNS_ALREADY
    return 0


async def _play(runner: Runner, houses: dict[str, Path], seed: int, run: int) -> None:
    shell = shutil.which("bash") or "/bin/sh"
    house, name = SHELL
    environment = {"PS1": r"\[\e[1;32m\]demo\[\e[0m\]:\W \$ ", "PYTHONDONTWRITEBYTECODE": "1"}
    interactive = [shell, "--norc", "--noprofile", "-i"] if shell.endswith("bash") else [shell, "-i"]
    plans = [
        (0.0, _plan(runner, seed, run, "shell", houses[house], name, interactive, environment)),
        *(
            (delay, _plan(runner, seed, run, role, houses[where], who, _script(role, seed), environment))
            for role, where, who, delay in CAST
        ),
        (TALKER[3], _talker(runner, seed, run, houses[TALKER[1]], environment)),
    ]
    began = trio.current_time()
    for delay, plan in sorted(plans, key=lambda one: one[0]):
        await trio.sleep_until(began + delay)
        runner.start(plan)
    await trio.sleep_forever()  # no deadline: the shell is there until the demo is told to end


class PlayedAgent(ClaudeDispatched):
    """The adapter of the played agent: Claude Code's protocol, and no CLI of Anthropic's."""

    provider = "command"
    programs = ()


def _talker(runner: Runner, seed: int, run: int, house: Path, env: dict[str, str]) -> SessionSpec:
    role, _, name, _ = TALKER
    command = [sys.executable, "-P", "-m", "townwatch.runner.demo.talker"]
    base = _plan(runner, seed, run, role, house, name, command, env)
    order = SessionConfig(
        session_id=base.session_id,
        org_id=base.village,
        agent_id=f"demo-{role}",
        provider_id="command",
        repo_ref=RepoRef(provider="local", path=str(house)),
        task=TaskSpec(title="Half a cent", goal="Book half a cent, and test it. Ask how it is to be rounded."),
    )
    return attrs.evolve(base, adapter=PlayedAgent, order=order)


def _script(role: str, seed: int) -> list[str]:
    return [sys.executable, "-P", "-m", "townwatch.runner.demo.afternoon", role, f"--seed={seed}"]


def _plan(
    runner: Runner, seed: int, run: int, role: str, house: Path, name: str, command: list[str], env: dict[str, str]
) -> SessionSpec:
    # The place is in it: two demos on one machine, each with its state, are not each other's sessions.
    digest = hashlib.sha256(f"{house}/{seed}/{run}/{role}".encode()).hexdigest()
    return SessionSpec(
        session_id=digest[:32],
        village=runner.identity.village,
        command=command,
        directory=house,
        agent_name=name,
        env=env,
        cols=100,
        rows=30,
    )


def _run_number(state_dir: Path) -> int:
    """Count this run of the demo and return its number: a session's id is never used twice."""
    counter = state_dir / "demo.count"
    number = int(counter.read_text()) + 1 if counter.exists() else 1
    part = counter.with_suffix(f".{os.getpid()}")
    part.write_text(str(number))
    part.replace(counter)
    return number
