"""A person's answer on its way to an agent's CLI; all that a session without an agent needs to know of one."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from townwatch.contracts.events import Decision


@attrs.frozen(kw_only=True)
class Answer:
    """A person's decision on its way to the CLI. `stop`: a denial that ends the turn as well."""

    decision: Decision
    by: str | None = None
    note: str | None = None
    stop: bool = False
    option_id: str | None = None
    answers: dict[str, Any] | None = None
    updated_input: Any = None


Deliver = Callable[[Answer], Awaitable[bool]]
"""Give the answer to the CLI. True: the CLI took it; False: the question was answered elsewhere, and the adapter says
how with `Host.settle`. Raises `NotPossible` for an answer that does not fit the question, which then stays open."""
