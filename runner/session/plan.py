"""Plan of a session: the command that it runs, and where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from townwatch.contracts.tasks import SessionConfig
from townwatch.runner.account import Account

if TYPE_CHECKING:
    from townwatch.runner.agents.adapter import Adapter
    from townwatch.runner.session.worktrees import SessionTree


@attrs.frozen(kw_only=True)
class SessionSpec:
    """Command to run, and where."""

    session_id: str
    village: str
    command: list[str]
    directory: Path
    provider: str = "command"
    provider_version: str = ""
    agent_id: str | None = None
    agent_name: str | None = None
    room_path: str | None = None
    env: Mapping[str, str] = attrs.field(factory=dict[str, str])
    cols: int = 80
    rows: int = 24
    own_terminal: bool = False
    """Whether it runs in the terminal in which its runner was started."""
    stdin: int | None = None
    """A descriptor that the command reads from instead of its terminal: what was piped into `townwatch run`."""
    account: Account | None = None
    """The user that it is executed as. None: the runner's own."""
    adapter: type[Adapter] | None = None
    """For a command that is an agent's CLI that we know."""
    tree: SessionTree | None = None
    """The worktree that was made for it."""
    order: SessionConfig | None = None
    """What a dispatched agent is asked to do."""
