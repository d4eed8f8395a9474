"""The terminal's size, told as a provider event ``terminal_resized`` {cols, rows}, for recordings and late viewers."""

from typing import Protocol

import trio

from runner.recorder import now_ms

QUIET_SECONDS = 0.2
"""A window that is being dragged changes its size many times: the last one is told."""


class Teller(Protocol):
    """Whoever tells events."""

    async def tell(self, kind: str, **fields: object) -> None: ...


class SizeReport:
    """`run` it beside the terminal; `now` may be called at any time."""

    def __init__(self, cols: int, rows: int) -> None:
        self._size = (cols, rows)
        self._changed = trio.Event()

    def now(self, cols: int, rows: int) -> None:
        """The terminal has this size now."""
        if (cols, rows) != self._size:
            self._size = (cols, rows)
            self._changed.set()

    async def run(self, teller: Teller, provider: str) -> None:
        """Tell the first size, and every other that lasts. Until it is cancelled."""
        told: tuple[int, int] | None = None
        while True:
            if self._size != told:
                told = self._size
                resized = {"type": "terminal_resized", "providerId": provider, "timestamp": now_ms()}
                resized |= {"cols": told[0], "rows": told[1]}
                await teller.tell("PROVIDER_EVENT_FORWARDED", providerEvent=resized)
            await self._changed.wait()
            await trio.sleep(QUIET_SECONDS)
            self._changed = trio.Event()
