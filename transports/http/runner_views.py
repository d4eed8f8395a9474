"""Runners as they are now: their rows in the tables together with what their actors see."""

from collections.abc import Iterable
from typing import Any

import trio
from sqlalchemy import Connection

from townwatch.actors import messages as m
from townwatch.actors.placement import Candidate
from townwatch.actors.runner import RunnerState
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.link import Capabilities
from townwatch.runtime import ActorDeadError
from townwatch.store import runners
from townwatch.store.runner_grants import RunnerGrant
from townwatch.store.runners import RunnerRow
from townwatch.transports.http.deps import Api

DESCRIBE_SECONDS = 2.0
_capabilities: Decoder[Capabilities] = Decoder(Capabilities)


async def seen(api: Api, runner_ids: Iterable[str]) -> dict[str, RunnerState]:
    """Ask the runners' actors for their state; runners without an actor, or with a silent one, are missing."""
    found: dict[str, RunnerState] = {}

    async def ask(runner_id: str) -> None:
        ref = api.context.directory.alive(api.context.directory.runners, runner_id)
        if ref is None:
            return
        try:
            found[runner_id] = await ref.call(m.Describe(), timeout=DESCRIBE_SECONDS)
        except (ActorDeadError, trio.TooSlowError):
            return

    async with trio.open_nursery() as nursery:
        for runner_id in set(runner_ids):
            nursery.start_soon(ask, runner_id)
    return found


def status_of(runner: RunnerRow | None, state: RunnerState | None) -> rest.RunnerStatus:
    """Return `offline` where it is not connected, else what people want of it (draining …), else its own status."""
    if state is None or state.status == "offline":
        return "offline"
    if runner is not None and runner.state != "active":
        return runner.state
    return state.status


def capabilities_of(runner: RunnerRow | None, state: RunnerState | None) -> Capabilities:
    """Return the capabilities it sent when it connected, else those it registered."""
    if state is not None and state.hello is not None:
        return state.hello.capabilities
    try:
        return _capabilities.convert(runner.capabilities if runner is not None else {})
    except ContractError:  # registered by another version
        return Capabilities()


def live_sessions(api: Api, runner_id: str) -> int:
    """Return the sessions of a runner that have not ended."""
    return sum(not state.ended for state in api.context.board.of_runner(runner_id))


def all_live(api: Api, runner_id: str) -> list[SessionState]:
    """The sessions of a runner and of its slots (``r1.run-2``) that have not ended."""
    slots = f"{runner_id}."
    return [
        state
        for state in api.context.board
        if not state.ended and (state.runner_id == runner_id or state.runner_id.startswith(slots))
    ]


def candidate(api: Api, runner: RunnerRow, state: RunnerState | None) -> Candidate:
    """The runner as placement sees it."""
    capabilities = capabilities_of(runner, state)
    heartbeat = state.heartbeat if state is not None else None
    return Candidate(
        runner_id=runner.runner_id,
        status=status_of(runner, state),
        connected=state is not None and state.connected,
        providers=frozenset(capabilities.providers),
        labels=labels_of(runner, state),
        sessions=live_sessions(api, runner.runner_id),
        max_sessions=min(capabilities.max_concurrent_sessions, api.context.allowances.sessions_per_runner),
        cpu_percent=heartbeat.load.cpu_percent if heartbeat is not None else 0,
        features=frozenset(capabilities.features),
    )


def labels_of(runner: RunnerRow, state: RunnerState | None) -> dict[str, str]:
    """The runner's own, over those it was registered with."""
    own = state.hello.labels if state is not None and state.hello is not None else {}
    return {**runner.labels, **own}


def view(api: Api, runner: RunnerRow, state: RunnerState | None, *, villages: Iterable[RunnerGrant]) -> rest.RunnerView:
    """The runner as REST shows it. `villages`: those of its grants that the caller may know of."""
    hello: Any = state.hello if state is not None else None
    heartbeat = state.heartbeat if state is not None else None
    heard = state.heard_at if state is not None else None
    return rest.RunnerView(
        runner_id=runner.runner_id,
        name=hello.name if hello is not None else runner.name,
        villages=[one.public_id for one in villages],
        hostname=runner.hostname,
        version=hello.version if hello is not None else runner.version,
        mode=hello.mode if hello is not None else runner.mode,
        status=status_of(runner, state),
        wanted=runner.state,
        connected=state is not None and state.connected,
        heard_at=heard if heard is not None else runner.last_seen_ms,
        created_at=runner.created_ms,
        capabilities=capabilities_of(runner, state),
        labels=labels_of(runner, state),
        metadata=runner.details,
        active_sessions=(own := live_sessions(api, runner.runner_id)),
        sessions_beside=len(all_live(api, runner.runner_id)) - own,
        load=heartbeat.load if heartbeat is not None else None,
        spool=heartbeat.spool if heartbeat is not None else None,
        clock_offset_ms=state.clock_offset_ms if state is not None else None,
    )


async def statuses(api: Api, runner_ids: set[str]) -> dict[str, rest.RunnerStatus]:
    """The status of each of these runners."""
    states = await seen(api, runner_ids)
    rows = await api.database.read(_rows, runner_ids)
    return {runner_id: status_of(rows.get(runner_id), states.get(runner_id)) for runner_id in runner_ids}


def _rows(connection: Connection, runner_ids: set[str]) -> dict[str, RunnerRow]:
    found = (runners.get(connection, runner_id) for runner_id in runner_ids)
    return {runner.runner_id: runner for runner in found if runner is not None}
