"""The text of what a session changed."""

from typing import Annotated

import attrs
import msgspec

from townwatch.contracts.lists import FileDiff


@attrs.frozen(kw_only=True)
class DiffQuery:
    """`path`: of this file alone, with more room for its text."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None


@attrs.frozen(kw_only=True)
class DiffView:
    """Changes of a session since it began, against `base`. The counts are of all files, as DIFF_SUMMARY has them.

    `live`: asked of the runner now; false: kept when the session ended. `files[].patch`: the hunks, from the first
    `@@` on, without secrets, control characters shown as pictures; null for a binary file, and where `truncated` says
    that it did not fit (ask with `path`). `sharedTree`: other sessions that work in the same tree, whose changes cannot
    be told apart. `at`: when it was answered, or kept.
    """

    session_id: str
    live: bool
    at: int
    base: str | None
    files_changed: int
    lines_added: int
    lines_removed: int
    files: list[FileDiff]
    truncated: bool
    shared_tree: int
