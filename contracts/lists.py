"""Rows of lists of sessions and houses, in REST and in `house_changed`: enough to draw a page without histories.
And what a runner answers: the text of what a session changed (the command ``diff``, kept when the session ends), and
the conversations that the agents' CLIs of its machine keep (the command ``conversations``).
"""

from typing import Annotated, Any, ClassVar, Literal

import attrs
import msgspec

from townwatch.contracts.codec import Decoder
from townwatch.contracts.events import Id, NonNegative, Severity

Verdict = Literal["running", "passed", "failed", "unknown"]


@attrs.frozen(kw_only=True)
class LastTest:
    """The last test run. `at`: when the service last heard of it, by its own clock."""

    verdict: Verdict
    command: str
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    exit_code: int | None = None
    duration: float | None = None
    reason: str | None = None
    """Why the verdict is what it is, where that is not plain: above all why it is unknown."""
    at: int | None = None


@attrs.frozen(kw_only=True)
class ListedAlert:
    """An alert that is open. `seq`: the event that raised it."""

    alert_id: str
    severity: Severity
    category: str
    title: str
    description: str
    raised_at: float
    seq: int


@attrs.frozen(kw_only=True)
class SeenBy:
    """The first person who drives the village and has seen that a session failed. `at`: by the service's clock."""

    name: str
    at: int


@attrs.frozen(kw_only=True)
class Shown:
    """Activity of a session. Every time is of the service's clock, epoch milliseconds; what is not known is absent
    (null in REST). `activityAt`: the last output, file, test, provider's event or input; `activity`: how many of them
    in each of the last fifteen minutes, the one under way last. `reportedAt`: the runner's clock at the last event.
    """

    last_event_at: int | None = None
    reported_at: float | None = None
    activity_at: int | None = None
    activity: list[int]
    state_at: int | None = None
    turn_ended_at: int | None = None
    last_line: str
    last_test: LastTest | None = None
    diff: dict[str, Any] | None = None
    open_alerts: list[ListedAlert]
    seen_by: SeenBy | None = None
    """Of a session that failed: absent until a person who drives has seen it."""


@attrs.frozen(kw_only=True)
class AgentShown(Shown):
    """An agent in its latest session."""

    agent_id: str
    session_id: str
    state: str
    last_event_seq: int


@attrs.frozen(kw_only=True)
class HouseChanged:
    """To the village's room, at most once a second a house: those of its agents that changed, as the lists have them.
    `lastTest`: the house's roof. `ts`: the service's clock.
    """

    repo_id: str
    village_id: str
    ts: int
    last_test: LastTest | None = None
    agents: list[AgentShown]


@attrs.frozen(kw_only=True)
class FileDiff:
    """One file. `patch`: its hunks, from the first ``@@`` on, without secrets; None where it is binary, or where there
    was no room for it. `truncated`: the patch is missing or cut; the counts are of the whole.
    """

    path: str
    old_path: str | None = None
    """Of a renamed file: its path before."""
    status: Literal["added", "modified", "deleted", "renamed"]
    additions: NonNegative
    deletions: NonNegative
    patch: str | None = None
    binary: bool = False
    truncated: bool = False


@attrs.frozen(kw_only=True)
class SessionDiff:
    """All that a session changed since it began, or the one file that was asked for. The counts are of all files."""

    TYPE: ClassVar[str] = "session_diff"
    base: str
    """The commit that was checked out when the session began; the empty tree's name before the first."""
    files_changed: NonNegative
    lines_added: NonNegative
    lines_removed: NonNegative
    files: Annotated[list[FileDiff], msgspec.Meta(max_length=5000)] = attrs.field(factory=list[FileDiff])
    truncated: bool = False
    """Whether `files` are not all, or the text of one is missing or cut."""
    shared_tree: NonNegative = 0
    """Other sessions that work in the same tree: what they changed cannot be told apart."""


session_diff: Decoder[SessionDiff] = Decoder(SessionDiff, max_bytes=4 << 20)


MOST_CONVERSATIONS = 200


@attrs.frozen(kw_only=True)
class OutsideConversation:
    """A conversation that an agent's CLI keeps. `conversation`: the CLI's own name for it; `path`: the directory that
    it was in; `at`: when it last changed, by its machine's clock (epoch ms). `title`: in one line, without secrets;
    None where there is none that can be read.
    """

    provider_id: Id
    conversation: Id
    path: Annotated[str, msgspec.Meta(max_length=4096)]
    at: NonNegative
    title: Annotated[str, msgspec.Meta(max_length=200)] | None = None


@attrs.frozen(kw_only=True)
class UnreadConversations:
    """An agent whose conversations are not known: its CLI's store cannot be read."""

    provider_id: Id
    reason: Annotated[str, msgspec.Meta(max_length=500)]


@attrs.frozen(kw_only=True)
class Conversations:
    """The newest first. `unknown`: agents of which nothing can be told. `truncated`: there are more."""

    TYPE: ClassVar[str] = "conversations"
    conversations: Annotated[list[OutsideConversation], msgspec.Meta(max_length=MOST_CONVERSATIONS)] = attrs.field(
        factory=list[OutsideConversation]
    )
    unknown: Annotated[list[UnreadConversations], msgspec.Meta(max_length=20)] = attrs.field(
        factory=list[UnreadConversations]
    )
    truncated: bool = False


conversations_of: Decoder[Conversations] = Decoder(Conversations, max_bytes=4 << 20)
