"""What a session uses, metered: each tick tells what came since the last one, so that the ticks add up to the total."""

import time

from townwatch.contracts.events import UsageMetrics


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
