"""Findings of the checks."""

from typing import Literal

import attrs

Level = Literal["ok", "warn", "fail"]


@attrs.frozen
class Finding:
    """One line: what was checked, how it is, the details, and what to do about it."""

    check: str
    level: Level
    text: str
    advice: str = ""

    def line(self) -> str:
        """Return the finding as it is printed."""
        return f"{self.level:4}  {self.check}: {self.text}" + (f" -> {self.advice}" if self.advice else "")
