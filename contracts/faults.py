"""Faults that every layer has to recognise: a part that the service needs cannot be used at the moment.
And the errors inside nested exception groups, which nurseries make of whatever ends them.
"""

from collections.abc import Iterator
from typing import cast


class TablesUnavailable(OSError):
    """The tables database cannot be reached or written at the moment; the same request may succeed later.

    The message is one line for people: what is away, why, and what to do. `retry_after`: seconds.
    """

    def __init__(self, reason: str, retry_after: float = 2.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class TablesFenced(TablesUnavailable):
    """Another process leads on this database: this one wrote nothing and must not go on. The message says which."""


class TablesRefused(OSError):
    """The tables database will not take this service until a setting changes (wrong password, unknown database)."""


class FilesDamaged(OSError):
    """A database file cannot be used as it is; the message names the file, the finding, and `townwatch doctor`."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of nested groups in order; an error that is no group is its own only leaf."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("tuple[BaseException, ...]", error.exceptions):
            yield from leaves(inner)
    else:
        yield error


def first_cause(error: BaseException) -> BaseException:
    """Return the first error of nested groups."""
    return next(leaves(error))
