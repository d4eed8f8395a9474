"""Authorization, all of it: who may do what to what.

One pure function over one table. What it needs to know of the database is a `Membership`, asked by one query
(`townwatch.store.standing.of`). A thing in a village that one may not see is answered as if it were not there.
"""

from enum import StrEnum

from townwatch.access.subject import ALL_SCOPES, Subject
from townwatch.store.standing import Membership


class Action(StrEnum):
    """Actions; a token needs the scope of the same name.

    READ: look. DRIVE: start, stop, pause, resume, resize, type. DECIDE: approvals. MANAGE: the village, its members,
    houses, runners. ADMIN: the service itself (all runners, all people, the supervision tree's buttons).
    """

    READ = "read"
    DRIVE = "drive"
    DECIDE = "decide"
    MANAGE = "manage"
    ADMIN = "admin"


class Oneself(StrEnum):
    """Actions on one's own account: no token can be limited to them; a limited token can only end itself.

    END: end the token that asks; any token of a person. ACCOUNT: see and end one's tokens and connections; a token
    with every scope. SIGN_IN: make new ways in (links, passwords, tokens); a sign-in of this service, with every scope.
    """

    END = "end"
    ACCOUNT = "account"
    SIGN_IN = "sign_in"


class Open(StrEnum):
    """Operations that need no token; one that is sent is ignored."""

    OPEN = "open"


Needs = Action | Oneself | Open
"""Declaration of every operation: the permission that the asking token needs."""


class Verdict(StrEnum):
    """FORBIDDEN is 403, NOT_FOUND is 404: the asker must not even learn that the thing exists."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"


NOTHING: frozenset[Action] = frozenset()
ROLE_MAY: dict[str | None, frozenset[Action]] = {
    "owner": frozenset({Action.READ, Action.DRIVE, Action.DECIDE, Action.MANAGE}),
    "operator": frozenset({Action.READ, Action.DRIVE, Action.DECIDE}),
    "viewer": frozenset({Action.READ}),
    None: frozenset({Action.READ}),  # of a public village; of others not even that
}
ADMIN_MAY: frozenset[Action] = frozenset({Action.READ, Action.MANAGE})
"""What administrators may do in every village and with every runner. They drive and decide where they are members."""
KIND_MAY: dict[str, frozenset[Action]] = {
    "user": frozenset(Action),
    "api_token": frozenset(Action),
    "session": frozenset(),  # asks, alerts and reports usage through its runner, and nothing else
    "runner": frozenset(),  # speaks on /runner for its sessions, and of itself where an operation says so
    "anonymous": frozenset({Action.READ}),
}


def decide(subject: Subject, action: Action, standing: Membership | None) -> Verdict:
    """Decide whether `subject` may do `action` to a thing. `standing`: its membership there; None: no such thing."""
    if standing is None or not _sees(subject, standing):
        return Verdict.NOT_FOUND
    may = ROLE_MAY[_role(subject, standing)] | (ADMIN_MAY if administers(subject) else NOTHING)
    allowed = token_allows(subject, action) and action in may
    return Verdict.ALLOWED if allowed else Verdict.FORBIDDEN


def decide_service(subject: Subject, action: Action) -> Verdict:
    """Decide for the service itself: READ needs a person who signed in, everything else an administrator."""
    if subject.user_id is None or not token_allows(subject, action):
        return Verdict.FORBIDDEN
    return Verdict.ALLOWED if subject.admin or action is Action.READ else Verdict.FORBIDDEN


def administers(subject: Subject) -> bool:
    """Return whether the subject runs the service, and its token may be used for that."""
    return subject.user_id is not None and subject.admin and token_allows(subject, Action.ADMIN)


def token_allows(subject: Subject, needs: Needs) -> bool:
    """Return whether this token is good for it at all, whatever its person may do."""
    persons = subject.kind in ("user", "api_token")
    match needs:
        case Open.OPEN:
            return True
        case Oneself.END:
            return persons
        case Oneself.ACCOUNT:
            return persons and subject.scopes >= ALL_SCOPES
        case Oneself.SIGN_IN:
            return subject.kind == "user" and subject.signed_in_here and subject.scopes >= ALL_SCOPES
        case Action():
            return needs in KIND_MAY[subject.kind] and needs.value in subject.scopes


def why_token_refused(subject: Subject, needs: Needs) -> str:
    """Return one line for the person whose token `token_allows` refused."""
    if subject.kind == "session":
        return "a session's own token asks, alerts and reports usage through its runner, and nothing else"
    match needs:
        case Oneself.ACCOUNT:
            return "this token is limited to some scopes; seeing and ending tokens and connections needs all of them"
        case Oneself.SIGN_IN:
            return "only a sign-in of this service, with all scopes, makes new ways in; a program's token does not"
        case _:
            return f"this token does not have the scope {needs.value}"


def _sees(subject: Subject, standing: Membership) -> bool:
    known = standing.public or _role(subject, standing) is not None or administers(subject)
    return token_allows(subject, Action.READ) and known


def _role(subject: Subject, standing: Membership) -> str | None:
    # Whatever a query said: without a person there is no membership.
    return standing.role if subject.user_id is not None else None
