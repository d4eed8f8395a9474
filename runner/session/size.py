"""The terminal's size, told as a provider event ``terminal_resized`` {cols, rows}, in its place among the output."""

import attrs

from townwatch.runner.spool.recorder import now_ms


@attrs.frozen
class Size:
    """Columns and rows, from here in the output on."""

    cols: int
    rows: int

    def event(self, provider: str) -> dict[str, object]:
        """The provider event that tells it."""
        resized = {"type": "terminal_resized", "providerId": provider, "timestamp": now_ms()}
        return {**resized, "cols": self.cols, "rows": self.rows}
