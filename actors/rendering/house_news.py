"""Changes in the houses of a village since people were told: `house_changed`, at most once a second a house."""

import math
from collections.abc import Iterable

import attrs

from townwatch.actors.context import Context
from townwatch.actors.rendering import shown
from townwatch.actors.session.state import SessionState
from townwatch.contracts.lists import HouseChanged
from townwatch.contracts.village_ids import name_of

SOON_MS = 50.0
"""After the first change: others of the same moment go with it."""
APART_MS = 1000.0


@attrs.frozen
class ListsChanged:
    """To a village: what lists say of a session changed by what a person did."""

    session_id: str


class HouseNews:
    """Collects the agents that changed and says when their houses are due. Times are of the service's clock, but a
    clock that is set back delays nothing: what is due later than `APART_MS` from now is due.
    """

    def __init__(self, context: Context, village_id: str) -> None:
        self._context = context
        self._village_id = village_id
        self._changed: dict[str, dict[str, None]] = {}
        """repo → its agents that changed"""
        self._due: dict[str, float] = {}

    def note(self, state: SessionState) -> float:
        """Note that something changed in a session. Return the seconds until its house is due."""
        now = self._context.clock.now_ms()
        agents = self._changed.setdefault(state.repo_id, {})
        if not agents:
            due = self._due.get(state.repo_id, 0.0)
            self._due[state.repo_id] = max(now + SOON_MS, due if due <= now + APART_MS else 0.0)
        agents[state.agent_id] = None
        return (self._due[state.repo_id] - now) / 1000

    def take(self) -> Iterable[HouseChanged]:
        """The messages that are due."""
        now = self._context.clock.now_ms()
        for repo_id in [one for one in self._changed if not now < self._due[one] <= now + APART_MS]:
            agents = self._changed.pop(repo_id)
            self._due[repo_id] = now + APART_MS
            yield self._message(repo_id, agents, now)

    def next_seconds(self) -> float:
        """Return the seconds until the next one is due; infinite where nothing changed."""
        now = self._context.clock.now_ms()
        return min((max(0.0, self._due[one] - now) / 1000 for one in self._changed), default=math.inf)

    def _message(self, repo_id: str, agents: Iterable[str], now: int) -> HouseChanged:
        board = self._context.board
        here = board.of_house(self._village_id, repo_id)
        latest = [board.of_agent(self._village_id, agent_id) for agent_id in agents]
        told = [
            shown.agent_shown(
                state, self._context.open_alerts(state), self._context.seen_failures.get(state.session_id), now
            )
            for state in latest
            if state is not None and state.repo_id == repo_id
        ]
        return HouseChanged(
            repo_id=repo_id, village_id=name_of(self._village_id), ts=now, last_test=shown.roof(here), agents=told
        )
