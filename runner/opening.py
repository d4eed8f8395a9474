"""Opening a runner in its slot and closing it: its services in order, and what an earlier process left behind."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from townwatch.runner.account import Account, acting
from townwatch.runner.agents.shared_files import remove_directory
from townwatch.runner.identity import Identity, load
from townwatch.runner.link.link import Link
from townwatch.runner.policies import PolicyShelf
from townwatch.runner.runner import Runner
from townwatch.runner.slots import DRAIN_SECONDS, Slot, drain_others, take_slot
from townwatch.runner.spool.spool import DEFAULT_LIMIT_BYTES, Spool

DEFAULT_SESSIONS = 8
LOOK_SECONDS = 0.2
"""Between two looks at the orders of a slot that is drained."""
GOODBYE_SECONDS, NOBODY_SECONDS = 2.0, 0.3
"""How long the end waits for the last events to be acknowledged, where the service is there and where it is not."""


def _in_slot(identity: Identity, slot: str) -> Identity:
    """The main slot is the machine's runner; one beside it is told apart by its slot: ``r1.run-2``."""
    return identity if slot == "main" else attrs.evolve(identity, runner_id=f"{identity.runner_id}.{slot}")


@asynccontextmanager
async def open_runner(
    identity: Identity,
    state_dir: Path,
    *,
    slot: str | None = None,
    dispatch: bool = True,
    max_sessions: int = DEFAULT_SESSIONS,
    spool_bytes: int = DEFAULT_LIMIT_BYTES,
    account: Account | None = None,
    agents: bool = True,
) -> AsyncGenerator[Runner, None]:
    """A runner at work. Leaving the block ends its sessions truly; what the service has not, the spool keeps.
    `agents`: whether a session of it has an agent's adapter.

    Raises `SlotTaken`.
    """
    taken = await trio.to_thread.run_sync(take_slot, state_dir, slot)
    try:
        most = max_sessions if dispatch else 0
        opened = _open_in(taken, identity, state_dir, most, spool_bytes, account, agents)
        async with opened as runner, trio.open_nursery() as nursery:
            drain = partial(_drain, identity, state_dir, account, runner.link)
            nursery.start_soon(drain_others, state_dir, taken.name, drain)
            yield runner
            nursery.cancel_scope.cancel()
    finally:
        taken.release()


@asynccontextmanager
async def _open_in(
    slot: Slot,
    identity: Identity,
    state_dir: Path,
    max_sessions: int,
    spool_bytes: int = DEFAULT_LIMIT_BYTES,
    account: Account | None = None,
    agents: bool = False,
) -> AsyncGenerator[Runner, None]:
    """A runner on a slot that is taken."""
    name = slot.name
    policies = await trio.to_thread.run_sync(PolicyShelf, state_dir, identity.runner_id)
    spool = await trio.to_thread.run_sync(Spool, slot.directory / "spool.db", spool_bytes)
    try:
        async with trio.open_nursery() as services, trio.open_nursery() as sessions:
            runner = Runner(
                _in_slot(identity, name), spool, sessions, directory=slot.directory, max_sessions=max_sessions,
                own_directories=[state_dir], account=account, policies=policies,
            )  # fmt: skip
            runner.link.renew = lambda: _in_slot(load(state_dir), name)
            await services.start(runner.asks.run)
            if agents:
                await services.start(runner.agent_http.run)
                runner.hears_agents = True
            services.start_soon(runner.recorder.run)
            was = acting.set(account)  # of the shared observers too: their git never has the runner's rights
            await trio.to_thread.run_sync(remove_directory, runner.agent_files)
            if max_sessions:
                runner.discovery.start(services, os.environ if account is None else account.environment())
            await services.start(runner.shared.trees.run)
            services.start_soon(runner.shared.processes.run)
            acting.reset(was)
            await runner.report_lost()
            services.start_soon(runner.link.run)
            try:
                yield runner
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(30):
                    await runner.stop_all()
                    sessions.cancel_scope.cancel()
                    for session in list(runner.sessions.values()):
                        await session.over.wait()
                    runner.told = await runner.sent_all(GOODBYE_SECONDS if runner.link.online else NOBODY_SECONDS)
                services.cancel_scope.cancel()
    finally:
        spool.close()


async def _drain(identity: Identity, state_dir: Path, account: Account | None, link: Link, slot: Slot) -> bool:
    """Tell the service what a runner process that is gone has left in its spool, and end what it left running. Returns
    whether nothing is left.
    """
    left = await trio.to_thread.run_sync(slot.left_behind)
    if left.live or ((left.events or left.orders) and link.online):
        async with _open_in(slot, identity, state_dir, 0, account=account) as runner:
            if link.online:
                await runner.sent_all(DRAIN_SECONDS)
                await _answered(slot)
        left = await trio.to_thread.run_sync(slot.left_behind)
    return left.nothing


async def _answered(slot: Slot) -> None:
    """Wait until the service has asked for the outcome of each order that was begun here, within a time."""
    with trio.move_on_after(DRAIN_SECONDS):
        while (await trio.to_thread.run_sync(slot.left_behind)).orders:  # noqa: ASYNC110 - files of another process
            await trio.sleep(LOOK_SECONDS)
        await trio.sleep(LOOK_SECONDS)  # the answer is on its way
