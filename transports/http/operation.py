"""One operation of the API as data: what it is called, who may, what goes in, what comes out.

The router, the authorization and the OpenAPI document are all made from these, so that none can know less than another.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import attrs

from townwatch.access.policy import Action, Needs, Open
from townwatch.access.sign_in import ClientPlace
from townwatch.access.subject import Subject
from townwatch.actors.session.state import SessionState
from townwatch.store.audit import Entry
from townwatch.store.runners import RunnerRow
from townwatch.transports.http.deps import Api

B = TypeVar("B")
Q = TypeVar("Q")

Who = Literal["any", "visitor", "person", "runner"]
"""any: no token is looked at. visitor: the anonymous too. person: signed in. runner: a runner, or a person."""
On = Literal["village", "session", "runner", "service", "body", "list", "self", "public"]
"""What the action is done to, and so whose it is.

village, session, runner: the thing that the path names. body: the village that the body names (`village_id`; None: the
service). service: what belongs to no village. list: what there is in the villages that one may see, or in the one that
the query names (`village_id`). self: the asker's own. public: what is for all, where `who` is any.
"""


@attrs.define(eq=False, kw_only=True)
class Call(Generic[B, Q]):
    """One request, when it is known who asks and that they may."""

    api: Api
    operation: "Operation"
    subject: Subject
    path: Mapping[str, str]
    address: str | None
    body: B
    query: Q
    village_id: str | None = None
    """Key of the village it is about, for the audit log. Of an operation on a village, the path's villageId, too."""
    _session: SessionState | None = None
    _runner: RunnerRow | None = None
    target: str | None = None
    notes: dict[str, Any] = attrs.field(factory=dict)
    """Details for the audit log; no secrets, nothing typed."""
    origin: str | None = None
    """The page that the request came from, as its browser says; None: it says nothing."""
    host: str | None = None
    """The name that the request calls this service by."""
    user_agent: str | None = None
    claim: str | None = None
    """The same over every attempt of a request with an Idempotency-Key: what it makes, it makes once."""
    traceparent: str | None = None
    """Place in a trace, for the commands that it gives; None: it is in none."""
    noted: bool = False
    """Whether the audit log has it already, from the transaction that did it, or there is nothing to note."""

    @property
    def session(self) -> SessionState:
        """Return the session that the operation is on."""
        assert self._session is not None
        return self._session

    @session.setter
    def session(self, state: SessionState) -> None:
        self._session = state
        self.village_id = state.village_id

    @property
    def has_session(self) -> bool:
        return self._session is not None

    @property
    def runner(self) -> RunnerRow:
        """Return the runner that the operation is on."""
        assert self._runner is not None
        return self._runner

    @runner.setter
    def runner(self, runner: RunnerRow) -> None:
        self._runner = runner
        self.target = runner.runner_id

    @property
    def user_id(self) -> str:
        """Return the user of an operation for signed-in people."""
        assert self.subject.user_id is not None
        return self.subject.user_id

    @property
    def now_ms(self) -> int:
        return self.api.context.clock.now_ms()

    @property
    def place(self) -> ClientPlace:
        """Return where the request came from."""
        return ClientPlace(address=self.address, user_agent=self.user_agent)

    def entry(self) -> Entry:
        """Build the call's audit entry."""
        subject = self.subject
        return Entry(
            at_ms=self.now_ms,
            kind=subject.kind,
            action=self.operation.audit or "",
            user_id=subject.user_id,
            token_id=subject.token_id,
            village_id=self.village_id,
            session_id=self.session.session_id if self.has_session else None,
            target=self.target,
            address=self.address,
            details=self.notes or None,
        )


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


@attrs.frozen(kw_only=True)
class Operation:
    """`may`: what the token must be good for and, on a thing of a village, what the role there must allow. It has no
    default, and `on` has none: an operation that does not say who may does not exist.

    `answer`: the attrs class of the success, or a media type for what is not made of one.

    `fails`: statuses beyond those that follow from the rest. `secret`: the answer holds a secret, so it is not kept for
    an Idempotency-Key. `audit`: under which name it is in the audit log. `sign_in`: counted as an attempt to sign in.
    `open_when`: where it says so, the request is answered as if `who` were `any`.
    """

    method: str
    path: str
    name: str
    summary: str
    description: str
    tag: str
    handler: Handler
    answer: type[Any] | str
    status: int = 200
    body: type[Any] | None = None
    body_optional: bool = False
    query: type[Any] | None = None
    may: Needs
    on: On
    who: Who = "person"
    open_when: "Callable[[Api, Mapping[str, str], str | None], bool] | None" = None
    """(api, headers, address) → whether it needs no token this time."""
    any_owner: bool = False
    """On a runner that serves several villages: an owner of one of them may do it; else it takes an owner of all."""
    guard: "Callable[[Call[Any, Any]], None] | None" = None
    """A further rule of the service, before the body is read. Raises `ProblemError` for a caller who may not."""
    fails: tuple[int, ...] = ()
    secret: bool = False
    sign_in: bool = False
    audit: str | None = None
    most: int | None = None
    """The answer is a JSON array of so many `answer` at most; None: it is one."""

    def __attrs_post_init__(self) -> None:
        """Raise ValueError where the declarations contradict each other."""
        if not isinstance(self.may, Action) and self.on not in ("self", "public"):
            raise ValueError(f"{self.name}: may={self.may} says nothing about on={self.on}")
        public = (self.who == "any", self.may is Open.OPEN, self.on == "public")
        if any(public) and not all(public):
            raise ValueError(f"{self.name}: who=any, may=Open.OPEN and on=public go together or not at all")
        if self.who == "runner" and self.on not in ("runner", "service"):
            raise ValueError(f"{self.name}: a runner's operation is on a runner, or on the service")
        if self.on in ("village", "session", "runner") and f"{self.on}Id" not in self.path_names:
            raise ValueError(f"{self.name}: on={self.on} needs {{{self.on}Id}} in the path")

    @property
    def done(self) -> Action:
        """Return the action whose right is checked."""
        assert isinstance(self.may, Action)  # __attrs_post_init__
        return self.may

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def idempotent_by_key(self) -> bool:
        """Return whether the operation heeds an Idempotency-Key."""
        return self.method == "POST" and not self.secret and self.who in ("person", "runner")

    @property
    def path_names(self) -> tuple[str, ...]:
        """Names of the parameters in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every error status this operation can answer with."""
        found = {500, 503, *self.fails}
        if self.who != "any":
            found |= {401}
        if self.who != "any" or self.sign_in:
            found |= {429}
        if self.who == "person" or self.who == "runner" or self.on not in ("public", "list"):
            found |= {403}
        asked = set[str]() if self.query is None else set(attrs.fields_dict(self.query))
        if self.path_names or asked & {"cursor", "village_id"}:
            found |= {404}
        if self.query or self.body or self.idempotent_by_key or not self.writes:
            found |= {400}
        if self.writes:
            found |= {400, 413, 415}
        if self.idempotent_by_key:
            found |= {409}
        return tuple(sorted(found))


class Routes:
    """The operations of one noun, collected by decorators on their handlers."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.operations: list[Operation] = []

    def route(
        self, method: str, path: str, answer: type[Any] | str, *, may: Needs, on: On, **options: Any
    ) -> Callable[[Callable[[Call[Any, Any]], Awaitable[Any]]], Handler]:
        """The handler's docstring is the documentation: its first line the summary, the rest the description."""

        def register(handler: Handler) -> Handler:
            summary, _, rest = (handler.__doc__ or handler.__name__).strip().partition("\n")
            operation = Operation(
                method=method,
                path=path,
                name=handler.__name__,
                summary=summary.rstrip("."),
                description=" ".join(rest.split()),
                tag=self.tag,
                handler=handler,
                answer=answer,
                may=may,
                on=on,
                **options,
            )
            self.operations.append(operation)
            return handler

        return register

    def get(
        self, path: str, answer: type[Any] | str, *, may: Needs, on: On, **options: Any
    ) -> Callable[[Handler], Handler]:
        return self.route("GET", path, answer, may=may, on=on, **options)

    def post(
        self, path: str, answer: type[Any] | str, *, may: Needs, on: On, **options: Any
    ) -> Callable[[Handler], Handler]:
        return self.route("POST", path, answer, may=may, on=on, **options)

    def put(
        self, path: str, answer: type[Any] | str, *, may: Needs, on: On, **options: Any
    ) -> Callable[[Handler], Handler]:
        return self.route("PUT", path, answer, may=may, on=on, **options)

    def patch(
        self, path: str, answer: type[Any] | str, *, may: Needs, on: On, **options: Any
    ) -> Callable[[Handler], Handler]:
        return self.route("PATCH", path, answer, may=may, on=on, **options)

    def delete(
        self, path: str, answer: type[Any] | str, *, may: Needs, on: On, **options: Any
    ) -> Callable[[Handler], Handler]:
        return self.route("DELETE", path, answer, may=may, on=on, **options)
