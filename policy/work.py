"""Facts of a session that rules may ask for: its tests and its changes."""

import attrs


@attrs.frozen(kw_only=True)
class Work:
    """Work that a session has done so far: tests and changes. `files`: None where it is not known which. `cut`: there
    are more files than these.
    """

    tests: str = "none"
    lines: int | None = 0
    files: tuple[str, ...] | None = ()
    cut: bool = False


UNKNOWN_WORK = Work(tests="unknown", lines=None, files=None)
