"""The errors inside nested exception groups, which nurseries make of whatever ends them."""

from collections.abc import Iterator
from typing import cast


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
