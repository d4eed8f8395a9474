"""The port between the observers of a session and the session: what they tell, and what they could not observe."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, cast

import attrs
import structlog

from townwatch.runner.observers.usage import UsageMeter
from townwatch.runner.spool.recorder import now_ms

log = structlog.get_logger("watch")


class EventSink(Protocol):
    """Takes the events of one session. A session is one; observers know nothing else of it."""

    changes_known: bool
    """Whether git answered when it was asked last what the session has changed."""

    @property
    def usage(self) -> UsageMeter: ...

    async def tell(self, kind: str, **fields: Any) -> None: ...

    def clean(self, value: Any) -> Any: ...

    def clean_lines(self, lines: Sequence[str]) -> list[str]: ...


@attrs.frozen
class Blind:
    """Something that cannot be observed: what, why, and how many of it."""

    what: str
    reason: str
    count: int = 1

    @property
    def text(self) -> str:
        """Say it in one line.

        >>> Blind("pgdata/", "permission denied", 3).text
        'not watched: pgdata/ and 2 more, permission denied'
        """
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"not watched: {self.what}{more}, {self.reason}"


def why(error: Exception) -> str:
    """Say an error in one line; of a group, its first.

    >>> why(ExceptionGroup("several", [OSError(24, "Too many open files")]))
    'OSError: Too many open files'
    """
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    said = getattr(inner, "strerror", None) or str(inner)
    return f"{type(inner).__name__}: {said}" if said else type(inner).__name__


class Notes:
    """Says once for each reason what is not observed; what is added later is counted and said when the session ends."""

    def __init__(self, sink: EventSink, provider: str) -> None:
        self._sink = sink
        self._provider = provider
        self._first: dict[str, Blind] = {}
        self._counts: Counter[str] = Counter()

    async def add(self, blind: Blind) -> None:
        """Tell it at once where its reason is new."""
        self._counts[blind.reason] += blind.count
        if blind.reason not in self._first:
            self._first[blind.reason] = blind
            await self._tell(blind)

    async def finish(self) -> None:
        """Tell the counts that have grown since they were told."""
        for reason, blind in self._first.items():
            if self._counts[reason] > blind.count:
                await self._tell(attrs.evolve(blind, count=self._counts[reason]))

    async def _tell(self, blind: Blind) -> None:
        log.warning("not_watched", what=blind.what, reason=blind.reason, count=blind.count)
        told = {"type": "not_observed", "providerId": self._provider, "timestamp": now_ms(), "message": blind.text}
        told |= {"what": blind.what, "reason": blind.reason, "count": blind.count}
        await self._sink.tell("PROVIDER_EVENT_FORWARDED", providerEvent=told)
