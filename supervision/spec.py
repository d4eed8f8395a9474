"""Child specifications: how a supervisor starts, restarts and stops a child."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypedDict, Unpack

import attrs

from townwatch.runtime import TrioActor
from townwatch.supervision.backoff import Backoff
from townwatch.supervision.strategies import AutoShutdown, Restart

Kind = Literal["worker", "supervisor"]
NONE: Mapping[str, Any] = MappingProxyType({})


def _default_kind(spec: "ChildSpec") -> Kind:
    return "supervisor" if getattr(spec.actor, "supervises", False) else "worker"


def _default_shutdown(spec: "ChildSpec") -> "float | Literal['brutal', 'infinity']":
    return "infinity" if spec.type == "supervisor" else 5.0


@attrs.frozen
class ChildSpec:
    """OTP's child specification.

    id             unique among its siblings; part of the child's path
    actor          the class; args, kwargs go to its `__init__()` at every start
    restart        permanent: always restarted; transient: only after a crash; temporary: never, and its spec goes too
    start_timeout  seconds that `on_start()` may take. Finite: a child that asks a sibling which is down would
                   otherwise wait for ever, and its supervisor with it
    shutdown       seconds that it may take to stop in order before it is cancelled; "brutal": cancelled at
                   once, no hook runs; "infinity": no limit (the default of supervisors)
    significant    see the supervisor's auto_shutdown; only transient and temporary children can be
    backoff        wait before restarts; None: the supervisor's
    mailbox        keep: unread messages wait for the next incarnation; clear: they become dead letters
    keys           what keyed limits count it under, e.g. {"user": "u1", "address": "192.0.2.7"}
    """

    id: str
    actor: type[TrioActor]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = NONE
    restart: Restart = "permanent"
    start_timeout: float = 10.0
    type: Kind = attrs.field(default=attrs.Factory(_default_kind, takes_self=True))
    shutdown: float | Literal["brutal", "infinity"] = attrs.field(
        default=attrs.Factory(_default_shutdown, takes_self=True)
    )
    significant: bool = False
    backoff: Backoff | None = None
    mailbox: Literal["keep", "clear"] = "keep"
    keys: Mapping[str, str] = NONE

    def __attrs_post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(f"child spec {self.id!r}: {problem}")

    def _problem(self) -> str | None:
        if not (isinstance(self.actor, type) and issubclass(self.actor, TrioActor)):  # pyright: ignore
            return f"actor must be a TrioActor class, not {self.actor!r}"
        if self.restart not in ("permanent", "transient", "temporary"):
            return f"restart must be permanent, transient or temporary, not {self.restart!r}"
        if self.mailbox not in ("keep", "clear"):
            return f"mailbox must be keep or clear, not {self.mailbox!r}"
        if self.significant and self.restart == "permanent":
            return "a permanent child is always restarted and cannot be significant"
        if not 0 < self.start_timeout < float("inf"):
            return f"start_timeout must be finite seconds, not {self.start_timeout!r}"
        if self.shutdown not in ("brutal", "infinity") and not (
            type(self.shutdown) in (int, float) and self.shutdown >= 0
        ):
            return f'shutdown must be seconds, "brutal" or "infinity", not {self.shutdown!r}'
        return None

    @property
    def stop_timeout(self) -> float:
        """Seconds the child has to stop before it is cancelled: `shutdown` as a number, 0 for brutal."""
        match self.shutdown:
            case "brutal":
                return 0.0
            case "infinity":
                return float("inf")
            case seconds:
                return float(seconds)


class ChildOptions(TypedDict, total=False):
    """The optional fields of a ChildSpec."""

    kwargs: Mapping[str, Any]
    restart: Restart
    start_timeout: float
    type: Kind
    shutdown: float | Literal["brutal", "infinity"]
    significant: bool
    backoff: Backoff | None
    mailbox: Literal["keep", "clear"]
    keys: Mapping[str, str]


def child(id: str, actor: type[TrioActor], *args: Any, **options: Unpack[ChildOptions]) -> ChildSpec:
    """Make a ChildSpec in one line: `child("ann", Account, "Ann", restart="transient")`.

    Args:
        args: for the actor's `__init__()`.
        options: fields of ChildSpec; left out, they are the class's `child_options`, or else ChildSpec's defaults.

    Raises:
        ValueError: the options contradict each other.
    """
    chosen: dict[str, Any] = {**actor.child_options, **options}
    return ChildSpec(id, actor, args, **chosen)


def check(children: Sequence[ChildSpec], auto_shutdown: AutoShutdown) -> None:
    """OTP's check_childspecs: raises ValueError for specs that cannot stand side by side."""
    ids = [spec.id for spec in children]
    twice = sorted({id for id in ids if ids.count(id) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise ValueError(f"child ids must be unique: {', '.join(twice)} appear more than once")
    for spec in children:
        check_significant(spec, auto_shutdown)


def check_significant(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    """OTP refuses significant children where nothing would come of it."""
    if spec.significant and auto_shutdown == "never":
        raise ValueError(f"child spec {spec.id!r}: significant means nothing with auto_shutdown='never'")
