"""Meters of what a session uses: each tick tells what came since the last one, so the ticks add up to the total."""

import time
from collections.abc import Callable

import attrs

from townwatch.contracts.events import UsageMetrics

MOST_TOKENS, MOST_USD = 10**12, 1e9
"""Of one report: programs say what they want to, and what no event can hold would keep the session from ending."""


@attrs.frozen
class Spent:
    """`unpriced`: tokens that came without a price. What they cost is not known."""

    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def plus(self, tokens: int, usd: float | None) -> "Spent":
        """Return the sum; `usd`: None where their price is not known."""
        return Spent(self.tokens + tokens, self.usd + (usd or 0.0), self.unpriced + (tokens if usd is None else 0))


class UsageMeter:
    """Counts as it goes; `take` gives the units since the last take and the time they cover (ms)."""

    def __init__(self) -> None:
        self.total = UsageMetrics.zero()
        self._since = 0.0
        self._terminal_bytes = 0
        self._files = 0
        self._commands = 0
        self._approvals = 0
        self._tokens: tuple[int, int] | None = None
        self._cost: float | None = None
        self._listed, self._unpriced = 0.0, 0
        self._as_of: str | None = None
        self._before = 0.0
        """Seconds of the session before the last pause, or before this one."""
        self._paused_at: float | None = None
        self._began = time.monotonic()
        self.spent = Spent()
        """All that the agent's model has used, told and not yet told."""
        self.grown: Callable[[], object] = lambda: None
        """Called at once when tokens were used."""

    @property
    def seconds(self) -> float:
        """Return how long the session has run; time in which it is paused does not count."""
        return self._before + (0.0 if self._paused_at is not None else time.monotonic() - self._began)

    @property
    def untold(self) -> bool:
        """Return whether tokens were used that no tick has told."""
        return self._tokens is not None

    def pause(self) -> None:
        """Stop the clock."""
        if self._paused_at is None:
            self._before = self.seconds
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Let the clock go on."""
        if self._paused_at is not None:
            self._paused_at, self._began = None, time.monotonic()

    def terminal(self, count: int) -> None:
        self._terminal_bytes += count

    def file(self) -> None:
        self._files += 1

    def command(self) -> None:
        self._commands += 1

    def approval(self) -> None:
        self._approvals += 1

    def tokens(self, received: int, sent: int, cost_usd: float | None, as_of: str | None = None) -> None:
        """Tokens that the model read and wrote, and what they cost; None: not known. `as_of`: the day of the table that
        the price is from; None: the agent said it.
        """
        received, sent = min(received, MOST_TOKENS), min(sent, MOST_TOKENS)
        cost_usd = None if cost_usd is None else min(cost_usd, MOST_USD)
        before = self._tokens or (0, 0)
        self._tokens = (before[0] + received, before[1] + sent)
        if cost_usd is not None:
            self._cost = (self._cost or 0.0) + cost_usd
        else:
            self._unpriced += received + sent
        if cost_usd is not None and as_of is not None:
            self._listed, self._as_of = self._listed + cost_usd, as_of
        self.spent = self.spent.plus(received + sent, cost_usd)
        self.grown()

    def take(self) -> tuple[UsageMetrics, int]:
        """(units since the last take, milliseconds since then)."""
        now = self.seconds
        seconds = now - self._since
        tokens, listed = self._tokens, self._as_of is not None
        units = UsageMetrics(
            agent_seconds=round(seconds, 3),
            terminal_kb=round(self._terminal_bytes / 1000, 3),
            files_touched=self._files,
            commands_run=self._commands,
            approvals_requested=self._approvals,
            input_tokens=tokens[0] if tokens else None,
            output_tokens=tokens[1] if tokens else None,
            cost_usd=round(self._cost, 6) if self._cost is not None else None,
            source=None if tokens is None else "price_table" if listed else "none" if self._cost is None else "agent",
            listed_usd=round(self._listed, 6) if listed else None,
            unpriced_tokens=self._unpriced or None,
            prices_as_of=self._as_of,
        )
        self._listed, self._unpriced, self._as_of = 0.0, 0, None
        self._since, self._terminal_bytes, self._files = now, 0, 0
        self._commands, self._approvals, self._tokens, self._cost = 0, 0, None, None
        self.total = self.total.plus(units)
        return units, int(seconds * 1000)
