"""Leases on their way to runners: what each connection was told, and what its runner says it holds."""

from collections.abc import Callable, Mapping

import attrs

from townwatch.actors import messages as m
from townwatch.actors.directory import tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.contracts.budgets import SessionAllowances
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.link import Allowances


@attrs.define(eq=False)
class _Line:
    """A connected runner. `held`: whether it said that it holds what it was told last; `counted`: session → the event
    by which all is told that it used before that.
    """

    link: Ref
    version: int = 0
    told: Mapping[str, SessionAllowances] = attrs.field(factory=dict[str, SessionAllowances])
    held: bool = True
    counted: Mapping[str, int] = attrs.field(factory=dict[str, int])


class LeaseDesk:
    """`townwatch.transports.runners.ports.Allowing`. Links come and go here; the accountant says what they are told."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._version = epoch_ms()
        """Grows, also over a restart: an answer to an earlier process is no answer to this one."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a runner came, went or answered."""

    def linked(self, runner_id: str, link: Ref) -> None:
        self._lines[runner_id] = _Line(link)
        self.changed()

    def unlinked(self, runner_id: str, link: Ref) -> None:
        if runner_id in self._lines and self._lines[runner_id].link is link:
            del self._lines[runner_id]
            self.changed()

    def for_runner(self, runner_id: str) -> Allowances | None:
        line = self._lines.get(runner_id)
        if line is None or line.version == 0:
            return None
        return Allowances(version=line.version, sessions=list(line.told.values()))

    def held(self, runner_id: str, version: int, counted: Mapping[str, int]) -> None:
        line = self._lines.get(runner_id)
        if line is not None and line.version == version and not line.held:
            line.held, line.counted = True, counted
            self.changed()

    def reachable(self, runner_id: str) -> bool:
        """Return whether the runner is connected, and takes leases."""
        line = self._lines.get(runner_id)
        return line is not None and line.link.is_alive()

    def holds(self, runner_id: str, session_id: str, seq: int) -> bool:
        """Return whether the runner holds what it was told last, and nothing earlier, and all that the session used
        until then is told by the events up to `seq`.
        """
        line = self._lines.get(runner_id)
        return line is not None and line.held and line.version > 0 and seq >= line.counted.get(session_id, 0)

    def tell(self, runner_id: str, sessions: Mapping[str, SessionAllowances]) -> None:
        """Send a runner its allowances, where they are others than it was told last."""
        line = self._lines.get(runner_id)
        if line is None or (line.version and line.told == sessions) or (not line.version and not sessions):
            return
        self._version += 1
        line.version, line.told, line.held = self._version, sessions, False
        tell_if_alive(line.link, m.PoliciesChanged(allowances=True))
