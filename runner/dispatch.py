"""Programs that a runner starts: the command of an order, and the host of an agent beside its command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from townwatch.contracts.codec import ContractError
from townwatch.contracts.landing import LAND, LAND_OUTCOMES
from townwatch.contracts.link import CONVERSATIONS, POLICY_ENFORCEMENT, SHARED_BUDGETS, SIGNED_POLICIES
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.account import Account
from townwatch.runner.agents import catalog
from townwatch.runner.session import requests, workspace
from townwatch.runner.session.agent_socket import TOKEN_VARIABLE
from townwatch.runner.session.environment import TRACEPARENT
from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session

if TYPE_CHECKING:
    from townwatch.contracts.lists import Conversations
    from townwatch.runner.agents.adapter import Adapter
    from townwatch.runner.agents.host import AgentHost
    from townwatch.runner.agents.http import AgentHttp

DISPATCHED_COLS, DISPATCHED_ROWS = 120, 32
"""The terminal of a session that is started from afar."""
FEATURES = [
    *("resize", "pause", "ask", "worktree", "model", "resume_of", "diff"),
    *(CONVERSATIONS, LAND, LAND_OUTCOMES, POLICY_ENFORCEMENT, SHARED_BUDGETS, SIGNED_POLICIES),
]
"""What a runner says that it can do."""
LIST_SECONDS = 20.0
_lists = trio.CapacityLimiter(1)
"""One look at the stores of conversations at a time, also where one hangs on a slow disk."""


async def plan_for(
    config: SessionConfig, directory: Path, account: Account | None, busy: Collection[str], traceparent: str | None
) -> SessionSpec:
    """Return what to run for an order, its directory and its worktree made. `busy`: worktrees that sessions are in.
    `traceparent`: place of the order in a trace, which its processes find in their environment.

    Raises `ContractError`, `NotPossible`, `git.GitError`.
    """
    path = None if account is None else account.environment()["PATH"]
    command = command_line(config, path)
    adapter = adapter_for(config)
    if adapter is None and (config.model is not None or config.cli_session_id is not None):
        raise ContractError("config.providerId", "a model, or a session that goes on, needs the agent's adapter, which "
                            f"{config.provider_id} does not have here")  # fmt: skip
    if config.cli_session_id is not None and config.resume_of is None:
        await _check_not_open(config, account)
    where, tree = await workspace.prepare(config, directory, busy)
    return SessionSpec(
        session_id=config.session_id,
        village=config.org_id,
        command=command,
        directory=where,
        tree=tree,
        provider=config.provider_id,
        adapter=adapter,
        order=config,
        cols=DISPATCHED_COLS,
        rows=DISPATCHED_ROWS,
        agent_id=config.agent_id,
        agent_name=config.agent_name,
        room_path=config.room_path,
        env=config.env if traceparent is None else {TRACEPARENT: traceparent, **config.env},
    )


def check_not_twice(config: SessionConfig, living: Iterable[SessionSpec]) -> None:
    """Raises `NotPossible` where a session that lives here goes on with the same conversation already."""
    for plan in living if config.cli_session_id is not None else ():
        if plan.order is not None and plan.order.cli_session_id == config.cli_session_id:
            raise NotPossible(
                f"session {plan.session_id} goes on with the conversation {config.cli_session_id} already"
            )


async def _check_not_open(config: SessionConfig, account: Account | None) -> None:
    """Raises `NotPossible` where a conversation that began outside is open in another process: two overwrite it."""
    from townwatch.runner.agents.adopting import open_in

    program, name = catalog.PROGRAMS.get(config.provider_id, ""), config.cli_session_id or ""
    env = {**_environment(account), **config.env}
    pid = await trio.to_thread.run_sync(open_in, program, name, env)
    if pid is not None:
        raise NotPossible(f"the conversation {name} is open in process {pid}; end that one first, as two overwrite it")


async def conversations(account: Account | None) -> Conversations:
    """Return the conversations that the agents' CLIs of this machine keep for the sessions' user. Raises `NotPossible`
    where that takes too long.
    """
    from townwatch.runner.agents.earlier import listing

    with trio.move_on_after(LIST_SECONDS):
        look = partial(listing.conversations, _environment(account))
        return await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=_lists)
    raise NotPossible(f"looking for conversations took longer than {LIST_SECONDS:.0f} s")


def _environment(account: Account | None) -> Mapping[str, str]:
    return os.environ if account is None else account.environment()


def plain_telemetry(plan: SessionSpec, http: AgentHttp, env: dict[str, str]) -> Callable[[Session], None] | None:
    """Say in `env` where a command without an adapter sends its telemetry; return what counts that of its session."""
    if plan.adapter is not None:
        return None
    from townwatch.runner.agents.otlp import plain

    token = env[TOKEN_VARIABLE]
    env |= plain.environment(plan, http, token, os.environ if plan.account is None else plan.account.environment())
    return lambda session: plain.count(session, http, token)


def host_for(session: Session, directory: Path, http: AgentHttp) -> AgentHost:
    """Return the host of the agent that a session's plan names an adapter for. `directory`: for the files of agents."""
    from townwatch.runner.agents.adapter import Launch
    from townwatch.runner.agents.host import AgentHost

    plan = session.plan
    assert plan.adapter is not None
    launch = Launch(
        session_id=plan.session_id,
        command=plan.command,
        cwd=plan.directory,
        directory=directory / plan.session_id,
        env=session._env,
        order=plan.order,
    )
    return AgentHost(session, launch, plan.adapter, http)


def agent_of(session: Session) -> AgentHost:
    """Raises `NotPossible` for a session that runs no agent that takes prompts."""
    if session.agent is None:
        raise NotPossible("this session runs no agent that takes prompts; type into its terminal")
    return session.agent


async def answer_process(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    """Do what a process of the session asks for: `townwatch ask`, `alert`, `usage`. Raises `ContractError`."""
    match request.get("action"):
        case "ask":
            return await session.approvals.ask(requests.question(request))
        case "alert":
            await session.alert(request)
        case "usage":
            await session.used(request)
        case other:
            raise ContractError("action", f"{other!r} is none of ask, alert, usage")
    return {"ok": True}


def adapter_for(config: SessionConfig) -> type[Adapter] | None:
    """Return the adapter for an order: of an agent without a command line of its own, or of any ACP agent."""
    return catalog.for_order(config.provider_id) if not config.command or config.provider_id == "acp" else None


def command_line(config: SessionConfig, path: str | None = None) -> list[str]:
    """Return what to run for a provider, looked for in `path` (None: our own). An adapter gives its agent the task;
    else that is on the command line. Raises `ContractError` where it is not on this machine.
    """
    if config.provider_id in ("command", "acp"):
        if not config.command:
            raise ContractError("config.command", f"is required for the provider {config.provider_id}")
        return config.command
    name = catalog.PROGRAMS.get(config.provider_id, config.provider_id)
    program = shutil.which(name, path=config.env.get("PATH", path))
    if program is None:
        raise ContractError("config.providerId", f"{name} is not installed on this machine")
    if catalog.for_order(config.provider_id) is not None and not config.command:
        return [program]
    return [program, *(config.command or ["\n\n".join(config.task.words)])]
