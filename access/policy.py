"""Authorization, all of it: who may do what to what.

One pure function over one table. What it needs to know of the database is a `Standing`, asked by one query
(`store.standing.of`). A thing in a village that one may not see is answered as if it were not there.
"""

from enum import StrEnum

from access.subject import Subject
from store.standing import Standing


class Action(StrEnum):
    """What can be done.

    READ: look. DRIVE: start, stop, pause, resume, resize, type. DECIDE: approvals. MANAGE: the village, its members,
    houses, runners. ADMIN: the service itself (all runners, all people, the supervision tree's buttons).
    """

    READ = "read"
    DRIVE = "drive"
    DECIDE = "decide"
    MANAGE = "manage"
    ADMIN = "admin"


class Verdict(StrEnum):
    """FORBIDDEN is 403, NOT_FOUND is 404: the asker must not even learn that the thing exists."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"


ROLE_MAY: dict[str | None, frozenset[Action]] = {
    "owner": frozenset({Action.READ, Action.DRIVE, Action.DECIDE, Action.MANAGE}),
    "operator": frozenset({Action.READ, Action.DRIVE, Action.DECIDE}),
    "viewer": frozenset({Action.READ}),
    None: frozenset({Action.READ}),  # of a public village; of others not even that
}
KIND_MAY: dict[str, frozenset[Action]] = {
    "user": frozenset(Action),
    "api_token": frozenset(Action),
    "session": frozenset({Action.READ}),  # an agent does not decide on its own requests, nor on another's
    "runner": frozenset(),  # speaks on /runner for its sessions and nowhere else
    "anonymous": frozenset({Action.READ}),
}


def decide(subject: Subject, action: Action, standing: Standing | None) -> Verdict:
    """May `subject` do `action` to something it has this standing towards? None: there is no such thing."""
    if standing is None or not _sees(subject, standing):
        return Verdict.NOT_FOUND
    allowed = _able(subject, action) and action in ROLE_MAY[_role(subject, standing)]
    return Verdict.ALLOWED if allowed else Verdict.FORBIDDEN


def decide_service(subject: Subject, action: Action) -> Verdict:
    """The same for what belongs to no village: READ needs somebody signed in, everything else an administrator."""
    if subject.user_id is None or not _able(subject, action):
        return Verdict.FORBIDDEN
    return Verdict.ALLOWED if subject.admin or action is Action.READ else Verdict.FORBIDDEN


def _able(subject: Subject, action: Action) -> bool:
    return action in KIND_MAY[subject.kind] and action.value in subject.scopes


def _sees(subject: Subject, standing: Standing) -> bool:
    return _able(subject, Action.READ) and (standing.public or _role(subject, standing) is not None)


def _role(subject: Subject, standing: Standing) -> str | None:
    # Whatever a query said: without a person there is no membership.
    return standing.role if subject.user_id is not None else None
