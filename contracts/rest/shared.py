"""Shared by all routes: errors, pages, names and their bounds."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.decoding.patterns import NO_CONTROLS
from townwatch.contracts.scopes import TokenScope

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_CONTROLS)]
Note = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00]*$")]
VillageId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
RunnerId = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Scope = TokenScope
Role = Literal["owner", "operator", "viewer"]
RunnerStatus = Literal["online", "offline", "draining", "maintenance"]


@attrs.frozen(kw_only=True)
class Problem:
    """An error: what was wrong, where, and what to do. `code` is for programs, `message` is one line for people."""

    code: str
    message: str
    details: Any = None


@attrs.frozen(kw_only=True)
class ErrorAnswer:
    """Every answer that is not a success."""

    error: Problem


@attrs.frozen(kw_only=True)
class Done:
    """It was done."""

    ok: bool = True


@attrs.frozen(kw_only=True)
class Promised:
    """`state` done: the runner said so. sent: it was told, and has not answered yet. waiting: it is away; it will be
    told when it is back.
    """

    ok: bool = True
    command_id: str
    state: Literal["done", "sent", "waiting"]


@attrs.frozen(kw_only=True)
class PageQuery:
    """`cursor`: the `next` of the page before."""

    cursor: Cursor | None = None
    limit: Limit = 100
