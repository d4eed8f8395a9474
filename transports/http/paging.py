"""Lists in pages: a cursor holds the key of the last item shown, so that what comes and goes moves nothing."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from townwatch.transports.http.problems import ProblemError

T = TypeVar("T")
Key = tuple[Any, ...]


def cut(items: Iterable[T], key: Callable[[T], Key], cursor: str | None, limit: int) -> tuple[list[T], str | None]:
    """The page after `cursor` of the items in the order of `key` (numbers and strings), and the next page's cursor."""
    ordered = sorted(items, key=key)
    if cursor is not None:
        after = _read(cursor)
        try:
            ordered = [item for item in ordered if key(item) > after]
        except TypeError:
            raise unknown_cursor() from None
    page = ordered[:limit]
    return page, _write(key(page[-1])) if len(ordered) > limit else None


def unknown_cursor() -> ProblemError:
    """Make a 404: there is no such page."""
    return ProblemError(404, "cursor: was not given out by this list; start again without it", "E_CURSOR")


def _write(key: Key) -> str:
    return urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def _read(cursor: str) -> Key:
    try:
        found = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise unknown_cursor()
    return tuple(cast("list[Any]", found))
