"""Progress of a campaign: a line for each fault, and below, in a terminal, a live status."""

import shutil
import sys
from collections.abc import Callable
from typing import TextIO

import attrs
import trio

from townwatch.chaos.campaign.recovery_times import FaultEvent, seconds

STATUS_SECONDS = 0.5
PLAIN_SECONDS = 15.0
"""Between two lines of status where the output is no terminal."""


@attrs.define(eq=False)
class Progress:
    """`status`: the line that is always the last one."""

    out: TextIO = attrs.field(factory=lambda: sys.stdout)
    status: Callable[[], str] = lambda: ""

    @property
    def _live(self) -> bool:
        return self.out.isatty()

    async def run(self) -> None:
        """Write the status at regular times until cancelled."""
        try:
            while True:
                if self._live:
                    self._write(f"\r\x1b[2K{self._line()}")
                else:
                    self.say(self.status())
                await trio.sleep(STATUS_SECONDS if self._live else PLAIN_SECONDS)
        finally:
            if self._live:
                self._write("\r\x1b[2K")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._write(f"\r\x1b[2K{text}\n{self._line()}" if self._live else f"{text}\n")

    def fault_over(self, event: FaultEvent) -> None:
        """Print a line about a fault that is over."""
        flows = "NOT BACK" if event.flows is None else seconds(event.flows)
        answers = f"answers after {seconds(event.answers)}, " if event.answers is not None else ""
        self.say(
            f"{event.at:7.1f} s  {event.fault:17} {answers}flows after {flows}  {event.target[:70]}{_parts(event)}"
        )

    def _line(self) -> str:
        """Return as much of the status as one line holds: what wraps could not be wiped."""
        return self.status()[: shutil.get_terminal_size().columns - 1]

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def _parts(event: FaultEvent) -> str:
    """Return the phases of a recovery of a second or more, with their times."""
    if event.flows is None or event.flows < 1:
        return ""
    return " (" + ", ".join(f"{name} {seconds(took)}" for name, took in event.phases.items()) + ")"
