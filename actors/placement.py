"""Placement of new sessions: a pure function over the runners' states (CONTRACT section 6).

Online runners that have the provider, match the labels and are below 80 % of their sessions; the least loaded first.
"""

from collections.abc import Mapping, Sequence

import attrs

from townwatch.actors.runner import Status
from townwatch.contracts.tasks import NO_COMMANDS

FULL_AT = 0.8
"""Above this share of its sessions a runner gets no new one unless it is asked for by name."""
ANY_PROVIDER = "command"
"""Every runner can run a command line and need not say so, but those that say that they cannot."""


@attrs.frozen(kw_only=True)
class Candidate:
    """A runner as placement sees it. `sessions`: those it has that have not ended. `cpu_percent`: of its last
    heartbeat.
    """

    runner_id: str
    status: Status
    connected: bool
    providers: frozenset[str] = frozenset()
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    sessions: int = 0
    max_sessions: int = 0
    cpu_percent: float = 0
    features: frozenset[str] = frozenset()

    @property
    def load(self) -> float:
        """Share of its sessions that are taken; 1 for a runner that takes none."""
        return self.sessions / self.max_sessions if self.max_sessions > 0 else 1.0


@attrs.frozen
class NoRunner:
    """No runner can take the session: one line, with the obstacle of each runner."""

    reason: str


def choose(
    candidates: Sequence[Candidate],
    provider_id: str,
    labels: Mapping[str, str] | None = None,
    runner_id: str | None = None,
    features: Sequence[str] = (),
) -> str | NoRunner:
    """The runner's id. One that was asked for by name may be filled to the last place. `features`: what the session
    needs of its runner; one that does not know of it would leave it out.
    """
    asked = [one for one in candidates if runner_id in (None, one.runner_id)]
    if not asked:
        return NoRunner("there is no runner yet" if runner_id is None else f"there is no runner {runner_id}")
    limit = FULL_AT if runner_id is None else 1.0
    obstacles = {one.runner_id: obstacle(one, provider_id, labels or {}, limit, features) for one in asked}
    free = [one for one in asked if obstacles[one.runner_id] is None]
    if free:
        return min(free, key=lambda one: (one.load, one.cpu_percent, one.runner_id)).runner_id
    told = [f"{name} {why}" for name, why in obstacles.items()]
    more = f" and {len(told) - 5} more" if len(told) > 5 else ""
    return NoRunner("; ".join(told[:5]) + more)


def obstacle(
    one: Candidate, provider_id: str, labels: Mapping[str, str], limit: float, features: Sequence[str] = ()
) -> str | None:
    """Return the reason why this runner cannot take the session, or None if it can."""
    missing = [f"{key}={value}" for key, value in labels.items() if one.labels.get(key) != value]
    if one.status != "online":
        return f"is {one.status}"
    if not one.connected:
        return "is not connected"
    if provider_id == ANY_PROVIDER and NO_COMMANDS in one.features:
        return "runs agents only, no command lines"
    if provider_id != ANY_PROVIDER and provider_id not in one.providers:
        return f"does not have the provider {provider_id}"
    if missing:
        return f"is not labelled {', '.join(missing)}"
    if unknown := [name for name in features if name not in one.features]:
        return f"is of a version without {', '.join(unknown)}"
    if one.load >= limit:
        return f"is full ({one.sessions} of {one.max_sessions} sessions)"
    return None
