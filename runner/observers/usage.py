"""What a session uses, metered: each tick tells what came since the last one, so that the ticks add up to the total."""

import time
from collections.abc import Callable

import attrs

from townwatch.contracts.events import UsageMetrics


@attrs.frozen
class Spent:
    """`unpriced`: tokens that came without a price. What they cost is not known."""

    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def plus(self, tokens: int, usd: float | None) -> "Spent":
        return Spent(self.tokens + tokens, self.usd + (usd or 0.0), self.unpriced + (tokens if usd is None else 0))


class UsageMeter:
    """Counts as it goes; `take` gives the units since the last take and the time they cover (ms)."""

    def __init__(self) -> None:
        self.total = UsageMetrics.zero()
        self._since = time.monotonic()
        self._terminal_bytes = 0
        self._files = 0
        self._commands = 0
        self._approvals = 0
        self._tokens: tuple[int, int] | None = None
        self._cost: float | None = None
        self.spent = Spent()
        """All that the agent's model has used, told and not yet told."""
        self.grown: Callable[[], object] = lambda: None
        """Called at once when tokens were used."""

    def terminal(self, count: int) -> None:
        self._terminal_bytes += count

    def file(self) -> None:
        self._files += 1

    def command(self) -> None:
        self._commands += 1

    def approval(self) -> None:
        self._approvals += 1

    def tokens(self, received: int, sent: int, cost_usd: float | None) -> None:
        """Tokens that the model read and wrote, and what they cost; None: not known."""
        before = self._tokens or (0, 0)
        self._tokens = (before[0] + received, before[1] + sent)
        if cost_usd is not None:
            self._cost = (self._cost or 0.0) + cost_usd
        self.spent = self.spent.plus(received + sent, cost_usd)
        self.grown()

    def take(self) -> tuple[UsageMetrics, int]:
        """(units since the last take, milliseconds since then)."""
        now = time.monotonic()
        seconds = now - self._since
        tokens = self._tokens
        units = UsageMetrics(
            agent_seconds=round(seconds, 3),
            terminal_kb=round(self._terminal_bytes / 1000, 3),
            files_touched=self._files,
            commands_run=self._commands,
            approvals_requested=self._approvals,
            input_tokens=tokens[0] if tokens else None,
            output_tokens=tokens[1] if tokens else None,
            cost_usd=round(self._cost, 6) if self._cost is not None else None,
        )
        self._since, self._terminal_bytes, self._files = now, 0, 0
        self._commands, self._approvals, self._tokens, self._cost = 0, 0, None, None
        self.total = self.total.plus(units)
        return units, int(seconds * 1000)
