"""Tasks of sessions: the specs in a start command and in POST /api/runner/sessions."""

import re
from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.patterns import ONE_WORD
from townwatch.contracts.events import Id, RepoRef, check_repo_ref
from townwatch.contracts.policy import Budget

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
ProviderId = Literal[
    "codex", "claude_code", "gemini_cli", "omnara", "command", "opencode", "qwen_code", "copilot", "acp"
]
WITH_COMMAND = frozenset(("command", "acp"))
"""Providers whose sessions say themselves what is run."""
NO_COMMANDS = "no_commands"
"""Feature of a runner that cannot run a plain command line, only its providers: the runners in the field."""
Guarded = Literal["merge", "deps_add", "secrets", "deploy"]


@attrs.frozen(kw_only=True)
class CheckoutSpec:
    """Revision of the repository: {type: branch, ref} | {type: commit, sha} | {type: tag, tag}."""

    type: Literal["branch", "commit", "tag"]
    ref: str | None = None
    sha: str | None = None
    tag: str | None = None

    @property
    def revision(self) -> str | None:
        """The revision that git can check out, or None if the field of this type is missing."""
        return {"branch": self.ref, "commit": self.sha, "tag": self.tag}[self.type]


@attrs.frozen(kw_only=True)
class TaskSpec:
    """The work itself, in words."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    goal: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    constraints: list[str] = attrs.field(factory=list)
    acceptance: list[str] = attrs.field(factory=list)
    room_path: str | None = None
    branch_name: str | None = None

    @property
    def words(self) -> list[str]:
        """The title and the goal, or the goal alone where it begins with the title."""
        return [self.goal] if self.goal.startswith(self.title) else [self.title, self.goal]


Model = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=ONE_WORD)]
"""A model by the name that the agent's CLI knows it by."""


CONVERSATION_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$")
ConversationName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=CONVERSATION_NAME.pattern)]
"""A conversation by the name that the agent's CLI has for it."""


@attrs.frozen(kw_only=True)
class WorktreeSpec:
    """A working tree of the session's own, made by its runner with git. `branch`: made from `base` (default: what is
    checked out) where it does not exist; a tree that the runner has made for it before is used again.
    """

    branch: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    base: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


def _all_guarded() -> list[Guarded]:
    return ["merge", "deps_add", "secrets", "deploy"]


def _any_command() -> list[str]:
    return ["*"]


@attrs.frozen(kw_only=True)
class PolicySpec:
    """Actions that the session may do without asking."""

    shell_allowlist: list[str] = attrs.field(factory=_any_command)
    shell_denylist: list[str] = attrs.field(factory=list)
    requires_approval_for: list[Guarded] = attrs.field(factory=_all_guarded)
    network_mode: Literal["restricted", "open"] = "restricted"


@attrs.frozen(kw_only=True)
class SessionConfig:
    """All a runner needs to start a session. `command` is for the provider ``command``: the argument vector."""

    session_id: Id
    org_id: Id
    agent_id: Id
    provider_id: ProviderId
    repo_ref: RepoRef
    task: TaskSpec
    agent_name: str | None = None
    checkout: CheckoutSpec | None = None
    room_path: str | None = None
    policy: PolicySpec = attrs.field(factory=PolicySpec)
    env: dict[str, str] = attrs.field(factory=dict)
    command: list[str] | None = None
    worktree: WorktreeSpec | None = None
    model: Model | None = None
    resume_of: Id | None = None
    """The earlier session that this one continues."""
    cli_session_id: str | None = None
    """The conversation that the agent's CLI is to go on with, by the CLI's own name for it. Without `resume_of`: one
    that began outside of Townwatch.
    """
    started_by: Id | None = None
    """The user who asked for it, for rules about a person."""
    budget: Budget | None = None


@attrs.frozen(kw_only=True)
class StartSession:
    """The body of POST /api/runner/sessions. `resumeOf`: an ended session of this village whose conversation goes on,
    on its runner and in its directory; `repoRef`, `checkout`, `roomPath` and `worktree` are then the earlier session's.
    `model`: as the agent's CLI names it. `conversation`: one that the agent's CLI had outside of Townwatch goes on, on
    the runner that is named and in its own directory (`repoRef`), by the CLI's own name for it.
    """

    provider_id: ProviderId
    repo_ref: RepoRef
    task: TaskSpec
    village_id: Id = "demo"
    agent_name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    checkout: CheckoutSpec | None = None
    room_path: str | None = None
    policy: PolicySpec = attrs.field(factory=PolicySpec)
    env: dict[str, str] = attrs.field(factory=dict)
    command: list[NonEmpty] | None = None
    runner_id: Id | None = None
    labels: dict[str, str] = attrs.field(factory=dict)
    worktree: WorktreeSpec | None = None
    model: Model | None = None
    resume_of: Id | None = None
    conversation: ConversationName | None = None
    budget: Budget | None = None

    def check(self) -> None:
        """Check what the types alone do not express. Raises `ContractError`."""
        check_repo_ref(self.repo_ref, "repoRef")
        if self.provider_id in WITH_COMMAND and not self.command:
            raise ContractError("command", f"is required for the provider {self.provider_id}")
        if self.provider_id == "command":
            for field, value in (("model", self.model), ("resumeOf", self.resume_of)):
                if value is not None:
                    raise ContractError(field, "is for agents; a command has none")
        if self.conversation is not None:
            self._check_conversation()
        if self.checkout is not None and not self.checkout.revision:
            field = {"branch": "ref", "commit": "sha", "tag": "tag"}[self.checkout.type]
            raise ContractError(f"checkout.{field}", f"is required for a checkout of type {self.checkout.type}")

    def _check_conversation(self) -> None:
        """A conversation that began outside is on one machine, in one directory. Raises `ContractError`."""
        if self.provider_id in (*WITH_COMMAND, "omnara"):
            raise ContractError("conversation", f"is for agents that keep conversations, not {self.provider_id}")
        if self.command:
            raise ContractError("command", "the agent's own command goes on with a conversation")
        if self.runner_id is None:
            raise ContractError("runnerId", "is required with conversation: it is kept on one machine")
        if self.repo_ref.provider != "local":
            raise ContractError("repoRef", "must be the conversation's own directory, as a local path")
        for field, value in (
            ("resumeOf", self.resume_of),
            ("worktree", self.worktree),
            ("checkout", self.checkout),
            ("roomPath", self.room_path),
        ):
            if value is not None:
                raise ContractError(field, "goes with no conversation: that goes on in its own directory, as it is")
