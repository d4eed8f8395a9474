"""One operation of the API as data: what it is called, who may, what goes in, what comes out.

The router, the authorization and the OpenAPI document are all made from these, so that none can know less than another.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import attrs

from access.policy import Action
from access.subject import Subject
from actors.session_state import SessionState
from store.runners import Runner
from transports.http.deps import Api

B = TypeVar("B")
Q = TypeVar("Q")

Who = Literal["anybody", "visitor", "person", "runner"]
"""anybody: no token is looked at. visitor: the anonymous too. person: signed in. runner: a runner, or a person."""
On = Literal["village", "session", "runner", "service", "nothing"]
"""What the action is done to: the thing that the path names. nothing: the handler asks the gate itself."""


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
    _session: SessionState | None = None
    _runner: Runner | None = None
    target: str | None = None
    notes: dict[str, Any] = attrs.field(factory=dict)
    """Details for the audit log; no secrets, nothing typed."""

    @property
    def session(self) -> SessionState:
        """Of an operation on a session: which."""
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
    def runner(self) -> Runner:
        """Of an operation on a runner: which."""
        assert self._runner is not None
        return self._runner

    @runner.setter
    def runner(self, runner: Runner) -> None:
        self._runner = runner
        self.village_id = runner.village_id
        self.target = runner.runner_id

    @property
    def user_id(self) -> str:
        """Of an operation for people: who."""
        assert self.subject.user_id is not None
        return self.subject.user_id

    @property
    def now_ms(self) -> int:
        return self.api.context.clock.now_ms()


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


@attrs.frozen(kw_only=True)
class Operation:
    """`answer`: the attrs class of the success, or a media type for what is not made of one.

    `fails`: statuses beyond those that follow from the rest. `secret`: the answer holds a secret, so it is not kept for
    an Idempotency-Key. `audit`: under which name it is in the audit log. `sign_in`: counted as an attempt to sign in.
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
    who: Who = "person"
    may: Action = Action.READ
    on: On = "nothing"
    fails: tuple[int, ...] = ()
    secret: bool = False
    sign_in: bool = False
    audit: str | None = None

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def idempotent_by_key(self) -> bool:
        """Whether an Idempotency-Key counts."""
        return self.method == "POST" and not self.secret and self.who in ("person", "runner")

    @property
    def path_names(self) -> tuple[str, ...]:
        """Names of the parameters in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every error status this operation can answer with."""
        found = {500, 503, *self.fails}
        if self.who != "anybody":
            found |= {401}
        if self.who != "anybody" or self.sign_in:
            found |= {429}
        if self.who == "person" or self.who == "runner" or self.on != "nothing":
            found |= {403}
        if self.path_names or (self.query is not None and "cursor" in attrs.fields_dict(self.query)):
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
        self, method: str, path: str, answer: type[Any] | str, **options: Any
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
                **options,
            )
            self.operations.append(operation)
            return handler

        return register

    def get(self, path: str, answer: type[Any] | str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("GET", path, answer, **options)

    def post(self, path: str, answer: type[Any] | str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("POST", path, answer, **options)

    def put(self, path: str, answer: type[Any] | str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PUT", path, answer, **options)

    def patch(self, path: str, answer: type[Any] | str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PATCH", path, answer, **options)

    def delete(self, path: str, answer: type[Any] | str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("DELETE", path, answer, **options)
