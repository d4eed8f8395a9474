"""What a session is asked to do: the specs in a start command and in POST /api/runner/sessions."""

from typing import Annotated, Literal

import attrs
import msgspec

from contracts.codec import ContractError
from contracts.events import Id, RepoRef, check_repo_ref

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
ProviderId = Literal["codex", "claude_code", "gemini_cli", "omnara", "command"]
Guarded = Literal["merge", "deps_add", "secrets", "deploy"]


@attrs.frozen(kw_only=True)
class CheckoutSpec:
    """Which state of the repository: {type: branch, ref} | {type: commit, sha} | {type: tag, tag}."""

    type: Literal["branch", "commit", "tag"]
    ref: str | None = None
    sha: str | None = None
    tag: str | None = None

    @property
    def revision(self) -> str | None:
        """What git can check out, or None where the field of this type is missing."""
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


def _all_guarded() -> list[Guarded]:
    return ["merge", "deps_add", "secrets", "deploy"]


def _any_command() -> list[str]:
    return ["*"]


@attrs.frozen(kw_only=True)
class PolicySpec:
    """What the session may do without asking."""

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


@attrs.frozen(kw_only=True)
class StartSession:
    """The body of POST /api/runner/sessions."""

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

    def check(self) -> None:
        """What the shape does not say. Raises `ContractError`."""
        check_repo_ref(self.repo_ref, "repoRef")
        if self.provider_id == "command" and not self.command:
            raise ContractError("command", "is required for the provider command")
        if self.checkout is not None and not self.checkout.revision:
            field = {"branch": "ref", "commit": "sha", "tag": "tag"}[self.checkout.type]
            raise ContractError(f"checkout.{field}", f"is required for a checkout of type {self.checkout.type}")
