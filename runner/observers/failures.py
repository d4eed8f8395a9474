"""The text of what failed in a test run: cut out of what it printed, or out of its JUnit file. Pure."""

from collections.abc import Callable, Sequence

import attrs

from townwatch.runner.observers.testruns import visible
from townwatch.runner.observers.testtools import TOOLS
from townwatch.runner.observers.testtools.tool import last

FAILURE_CHARS = 12_000
"""Characters of a text that is told; of a longer one its beginning, for the first failure explains most."""
LAST_LINES = 40
"""Lines of a failed run that names no failure: it crashed, or did not begin."""

CleanLines = Callable[[Sequence[str]], list[str]]
"""Masks the lines of one text."""


@attrs.frozen
class FailureText:
    """`cut`: there is more of it than is told here."""

    text: str
    cut: bool


def printed_failures(tool: str, output: str, clean: CleanLines, *, all_its_own: bool) -> FailureText | None:
    """The part of a failed run's output that is about its failures; None where there is none.

    `all_its_own`: nothing else wrote into this output, so that where no failure is named its last lines are told.
    """
    text, known = visible(output), TOOLS[tool]
    begin = known.begins.search(text) if known.begins is not None else None
    if begin is None:
        return _last_lines(text, clean) if all_its_own else None
    end = last(known.ends, text, begin.start()) if known.ends is not None else None
    return _shown(text[begin.start() : end.end() if end is not None else len(text)], clean)


def junit_failures(xml: str | bytes, clean: CleanLines) -> FailureText | None:
    """The failures that a JUnit file names, each with its text; None where it names none."""
    from xml.etree import ElementTree  # here: most sessions have none

    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    told: list[str] = []
    for case in root.iter("testcase"):
        name = ".".join(part for part in (case.get("classname"), case.get("name")) if part)
        for what in case:
            if what.tag in ("failure", "error"):
                why = (what.text or what.get("message") or "").strip("\n")
                told.append(f"{what.tag.upper()}: {name}\n{visible(why)}")
    return _shown("\n\n".join(told), clean)


def _last_lines(text: str, clean: CleanLines) -> FailureText | None:
    lines = text.strip("\n").split("\n")
    told = _shown("\n".join(lines[-LAST_LINES:]), clean)
    return attrs.evolve(told, cut=True) if told is not None and len(lines) > LAST_LINES else told


def _shown(text: str, clean: CleanLines) -> FailureText | None:
    """Mask first, cut then: half a secret is none to the mask."""
    whole = "\n".join(clean(text.strip("\n").split("\n")))
    if not whole.strip():
        return None
    if len(whole) <= FAILURE_CHARS:
        return FailureText(whole, cut=False)
    return FailureText(whole[:FAILURE_CHARS].rpartition("\n")[0] or whole[:FAILURE_CHARS], cut=True)
