"""Requests to a supervisor, as messages: `Supervisor.start_child()` and the like send them; so can threads."""

from collections.abc import Mapping
from typing import Any

import attrs

from townwatch.runtime import ActorRef, Ask
from townwatch.supervision._child import State
from townwatch.supervision.spec import ChildSpec


@attrs.frozen
class ChildInfo:
    """One child of a supervisor. ref: None while it has no address. restarts: ever; incarnation: of this address."""

    id: str
    ref: ActorRef[Any] | None
    state: State
    type: str
    restart: str
    restarts: int
    incarnation: int
    keys: Mapping[str, str]


@attrs.frozen
class ChildCount:
    """OTP's count_children: specs, those with a running task, and how many of each type."""

    specs: int
    active: int
    supervisors: int
    workers: int


@attrs.frozen
class StartChild(Ask[ActorRef[Any]]):
    """Start a child. See `Supervisor.start_child()`."""

    spec: ChildSpec


@attrs.frozen
class TerminateChild(Ask[None]):
    """Stop a child. See `Supervisor.terminate_child()`."""

    id: str


@attrs.frozen
class RestartChild(Ask[ActorRef[Any]]):
    """Start a child that is down. See `Supervisor.restart_child()`."""

    id: str


@attrs.frozen
class DeleteChild(Ask[None]):
    """Forget the spec of a child that is down. See `Supervisor.delete_child()`."""

    id: str


@attrs.frozen
class FindChild(Ask[ActorRef[Any]]):
    """Look up a child's address. See `Supervisor.child_ref()`."""

    id: str


@attrs.frozen
class WhichChildren(Ask[list[ChildInfo]]):
    """List the children. See `Supervisor.which_children()`."""


@attrs.frozen
class CountChildren(Ask[ChildCount]):
    """Count the children. See `Supervisor.count_children()`."""
