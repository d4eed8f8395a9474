"""Who may what, computed from what an operation declares and from the tables below, which know nothing of the service.

The tables are the rules as a person would write them down. The service has rules of its own (`townwatch.access.policy`,
`townwatch.transports.http.serve`, the actors of connections); the matrix compares the two for every operation there is.
"""

from typing import Literal

import attrs

from townwatch.contracts.joins import ClientEvent
from townwatch.transports.http.operation import Operation

Role = Literal["stranger", "viewer", "operator", "owner", "admin"]
ROLES: tuple[Role, ...] = ("stranger", "viewer", "operator", "owner", "admin")
EVERY_SCOPE = frozenset({"read", "drive", "decide", "manage", "admin"})

A_ROLE_GIVES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "drive", "decide"}),
    "owner": frozenset({"read", "drive", "decide", "manage"}),
}
"""To the members of a village."""
A_PUBLIC_VILLAGE_GIVES = frozenset({"read"})
"""To all who are no members."""
AN_ADMINISTRATOR_GETS: frozenset[str] = frozenset({"read", "manage"})
"""In every village, with a token that has the scope admin. They drive and decide where they are members."""
FOR_ADMINISTRATORS = frozenset({"create_village"})
"""Operations about oneself that the settings keep for administrators."""
ONLY_SIGNED_IN = frozenset({"invite_person", "set_administrator_rights"})
"""Operations on the service that make new ways in: no program's token is good for them."""
FOR_MEMBERS_ONLY = frozenset({"list_members"})
"""Operations that show a public village's members to its members (and to administrators) only."""
EXECUTES_FOR_RUNNERS = "runner"

Kind = Literal["none", "sign_in", "api", "issuer", "session", "runner", "bad"]
Verdict = Literal["ok", 401, 403, 404]


@attrs.frozen(kw_only=True)
class Place:
    """A village and the things in it. `own`: the people of the matrix have their roles here."""

    village: str
    own: bool
    public: bool
    key: str = ""
    """What the service calls the village inside; never seen outside."""
    session: str = ""
    agent: str = ""
    repo: str = ""
    runner: str = ""
    webhook: str = ""
    budget: str = ""

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that only those may read who may see this village."""
        return (self.village, self.key, self.session, self.agent, self.repo, self.runner, self.webhook, self.budget)


@attrs.frozen(kw_only=True)
class Asker:
    """One token. `bad`: expired, revoked, ended, of a person who is locked out. `runner`: whose a runner token is."""

    name: str
    kind: Kind
    token: str | None = attrs.field(repr=False)
    role: Role = "stranger"
    scopes: frozenset[str] = frozenset()
    runner: str | None = None

    @property
    def is_person(self) -> bool:
        return self.kind in ("sign_in", "api", "issuer")

    @property
    def administers(self) -> bool:
        """Whether this token may be used to run the service."""
        return self.is_person and self.role == "admin" and "admin" in self.scopes

    def belongs_to(self, place: Place) -> bool:
        """Whether this person is a member of the village."""
        return place.own and self.is_person and self.role in A_ROLE_GIVES

    def gives(self, place: Place) -> frozenset[str]:
        """What this person's role allows there; empty: they may not even see it."""
        if self.belongs_to(place):
            return A_ROLE_GIVES[self.role]
        if self.administers:
            return AN_ADMINISTRATOR_GETS
        return A_PUBLIC_VILLAGE_GIVES if place.public else frozenset()

    def knows_runner(self, place: Place) -> bool:
        """Whether they may know of its runner: to pass by a public village shows none."""
        return "read" in self.scopes and (self.administers or (place.own and self.role in A_ROLE_GIVES))

    def sees(self, place: Place) -> bool:
        """Whether they may know that it is there."""
        scopes = frozenset({"read"}) if self.kind == "none" else self.scopes
        return "read" in scopes and "read" in self.gives(place)


def expected(operation: Operation, asker: Asker, place: Place | None, *, opened: bool = False) -> Verdict:
    """The answer to this asker. `opened`: the operation is open this time (`open_when`)."""
    if operation.who == "any" or opened:
        return "ok"
    match asker.kind:
        case "bad":
            return 401
        case "none" if operation.who != "visitor":
            return 401
        case "session":
            return 403
        case "runner":
            return _to_a_runner(operation, asker, place)
        case _:
            return _to_a_person(operation, asker, place)


def _to_a_runner(operation: Operation, asker: Asker, place: Place | None) -> Verdict:
    if operation.who != EXECUTES_FOR_RUNNERS:
        return 403
    return "ok" if place is None or place.runner == asker.runner else 404


def _to_a_person(operation: Operation, asker: Asker, place: Place | None) -> Verdict:
    needs = operation.may.value
    if not _token_is_good_for(needs, asker):
        return 403
    match operation.on:
        case "service" if operation.name in ONLY_SIGNED_IN and not _token_is_good_for("sign_in", asker):
            return 403
        case "service":
            return "ok" if needs == "read" or asker.role == "admin" else 403
        case "self" if operation.name in FOR_ADMINISTRATORS:
            return "ok" if asker.administers else 403
        case "self" | "public":
            return "ok"
        case "body" if place is None:  # the village that could be named is none: the service
            return "ok" if asker.role == "admin" and "admin" in asker.scopes else 403
        case _ if place is None:
            return "ok"  # a list of what one may see
        case "runner" if not asker.knows_runner(place):
            return 404
        case _ if not asker.sees(place):
            return 404
        case _ if operation.name in FOR_MEMBERS_ONLY and not (asker.administers or asker.belongs_to(place)):
            return 404
        case _:
            return "ok" if needs in asker.gives(place) else 403


def _token_is_good_for(needs: str, asker: Asker) -> bool:
    match needs:
        case "end":
            return asker.is_person
        case "account":
            return asker.is_person and asker.scopes == EVERY_SCOPE
        case "sign_in":
            return asker.kind == "sign_in" and asker.scopes == EVERY_SCOPE
        case _:
            return needs in ({"read"} if asker.kind == "none" else asker.scopes)


def expected_event(scope: str | None, asker: Asker, place: Place | None) -> bool:
    """Whether an event or control message of this scope is done, about something in this place (None: about nothing).

    For connections that were let in: people's, and over Socket.IO the anonymous'."""
    scopes = frozenset({"read"}) if asker.kind == "none" else asker.scopes
    if scope is None:
        return True
    if scope not in scopes:
        return False
    return place is None or (asker.sees(place) and scope in asker.gives(place))


def about(event: ClientEvent, place: Place) -> dict[str, str]:
    """The field of the payload that says what the event is about."""
    return {
        "village_id": {"villageId": place.village},
        "agent_id": {"agentId": place.agent},
        "repo_id": {"repoId": place.repo},
        "session_id": {"sessionId": place.session},
        None: {},
    }[event.about]
