"""A question of a session in the terms of the rules, as far as the service knows the session. Pure."""

from typing import Any

from townwatch.actors.session.state import SessionState
from townwatch.contracts.events import ApprovalRequest
from townwatch.policy.commands.paths import Place
from townwatch.policy.requests import directory_of, request_of
from townwatch.policy.village import PolicyRequest, Work


def request_in(state: SessionState | None, asked: ApprovalRequest, starter: str | None = None) -> PolicyRequest:
    """Return what is asked for, and where. Links of the runner's file system are not known here. `state`: None for a
    session that is not there any more; `starter`: the user who started it.
    """
    if state is None:
        return request_of(asked, Place())
    root = state.workspace_path or state.repo_path or Place().root
    return request_of(
        asked,
        Place(root=root, directory=directory_of(asked) or root),
        agent=state.agent_id,
        provider=state.provider_id,
        house=state.repo_path or None,
        person=starter,
        work=work_of(state),
    )


def work_of(state: SessionState) -> Work:
    """Return what the session has told of its tests and changes. Nothing told is no test and no change: its runner, who
    knows what it could not see, has looked before.
    """
    diff: dict[str, Any] = state.diff or {}
    changed = state.changed if state.diff is not None else []
    return Work(
        tests=state.last_test.outcome if state.last_test is not None else "none",
        lines=int(diff.get("linesAdded") or 0) + int(diff.get("linesRemoved") or 0),
        files=None if changed is None else tuple(changed),
        cut=bool(diff.get("truncated")),
    )
