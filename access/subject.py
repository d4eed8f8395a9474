"""The subject of a request: the result of every authentication."""

from sys import intern
from typing import Literal

import attrs

SubjectKind = Literal["user", "api_token", "session", "runner", "anonymous"]

ALL_SCOPES: frozenset[str] = frozenset({"read", "drive", "decide", "manage", "admin"})
"""What a token may be limited to: the names of `townwatch.access.policy.Action`."""


class InvalidCredentials(Exception):
    """The token is not good (unknown, forged, over, revoked). It says why for the log; the wire is never told."""


class WrongSecret(InvalidCredentials):
    """A one-time code or a password is not good. Who tried it is told, in these words."""


def _kept_once(name: str | None) -> str | None:
    """Return one shared string for all connections of a person: each connection keeps its subject in memory."""
    return name if name is None else intern(name)


@attrs.frozen(kw_only=True)
class Subject:
    """An authenticated person, runner or program.

    `user_id`: None for runners and the anonymous. `scopes`: the most that the token may be used for. `admin`: may run
    the service itself. `expires_ms`: when the token ends and its connections with it; None: it does not end by itself.
    `session_id`: the session to whose agent the token was given. `runner_id`: of a runner's token. `signed_in_here`:
    the token is a sign-in that this service issued, not an API token and not another issuer's.
    """

    kind: SubjectKind
    user_id: str | None = attrs.field(default=None, converter=_kept_once)
    name: str = attrs.field(default="", converter=intern)
    scopes: frozenset[str] = frozenset()
    admin: bool = False
    token_id: str | None = attrs.field(default=None, converter=_kept_once)
    expires_ms: int | None = None
    session_id: str | None = None
    runner_id: str | None = None
    signed_in_here: bool = False


ANONYMOUS = Subject(kind="anonymous", name="anonymous", scopes=frozenset({"read"}))
