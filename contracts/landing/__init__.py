"""Landing of a session's changes: a commit, a branch, a push, a pull request or a merge that a person asks for.

The service sends the order to the session's runner (`contracts/link.py`, the command ``land``), which compares it with
the rules, does it with git, and answers with a `LandReport`. The outcome is an event (`agent_events.Landed`).
"""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.agent_events import Landed, LandingAct
from townwatch.contracts.codec import Decoder

LAND = "land"
"""The command, and the feature of a runner that knows it: no other is asked."""
LAND_OUTCOMES = "land_outcomes"
"""The feature of a runner that answers an order twice where people are asked: when they are, and with the outcome."""
NOT_ALLOWED = "NOT_ALLOWED"
"""Code of a runner's refusal: people were asked, and did not allow it."""
BY_PERSON = "person"
"""The `tool` of what a person does by hand, in rules and in the context of a question: no agent's question has it."""
MAX_PATHS = 2000
DENIED = "DENIED"
"""Code of a runner's refusal: a rule denies it. Its details are a `RuleSaid`."""
ASKED_MS = 24 * 3600 * 1000
"""How long people have to allow what a rule asks about."""
CONFIRM = "CONFIRM"
"""A rule asks, and the session has ended, so that nothing can wait in it: the person has to confirm it."""

Words = Annotated[str, msgspec.Meta(max_length=20_000)]
RefName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
TreePath = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


@attrs.frozen(kw_only=True)
class LandAsker:
    """The person who asks for it, as rules look at one. `started`: whether they started the session; None: not known.
    `confirms`: the rule whose question they have answered with yes.
    """

    name: str
    signed_in: bool = False
    owner: bool = False
    started: bool | None = None
    confirms: str | None = None


@attrs.frozen(kw_only=True)
class LandSubject:
    """The session as the service knows it: what a runner needs of one that it has ended."""

    village: str
    agent_id: str
    provider_id: str | None = None
    house: str | None = None
    started_by: str | None = None
    tests: str = "unknown"
    """What its latest test run came to."""


@attrs.frozen(kw_only=True)
class LandOrder:
    """`act` commit: `message`, and `paths` (None: everything that is not committed). branch: `branch`, made where
    `create`. push: to `remote` (None: the branch's own). pull_request: `title`, `message`, into `base`. merge: into
    `base` (None: that of the session's worktree). `head`: the commit that the person saw; where it is another one by
    now, nothing is done.
    """

    act: LandingAct
    asker: LandAsker
    subject: LandSubject
    message: Words | None = None
    paths: Annotated[list[TreePath], msgspec.Meta(max_length=MAX_PATHS)] | None = None
    branch: RefName | None = None
    create: bool = False
    remote: RefName | None = None
    title: Annotated[str, msgspec.Meta(max_length=300)] | None = None
    base: RefName | None = None
    draft: bool = False
    head: str | None = None


@attrs.frozen(kw_only=True)
class RuleSaid:
    """The rule that denies or asks; None: the rules could not tell."""

    rule: str | None
    why: str


@attrs.frozen(kw_only=True)
class LandAsked:
    """An approval waits for people before it is done."""

    approval_id: str
    rule: str | None
    why: str


@attrs.frozen(kw_only=True)
class LandReport:
    """The answer of a runner. `told`: its outcome is, or will be, an event of the session; else the service writes it,
    for the session has ended.
    """

    told: bool
    asked: LandAsked | None = None
    outcome: Landed | None = None

    @property
    def waits(self) -> bool:
        """Return True where people are asked, so that there is no outcome yet."""
        return self.asked is not None and self.outcome is None


@attrs.frozen(kw_only=True)
class Uncommitted:
    """A file that the commit that is checked out does not have like this."""

    path: str
    status: Literal["added", "modified", "deleted", "renamed"]


@attrs.frozen(kw_only=True)
class UnderWay:
    act: LandingAct
    by: str


@attrs.frozen(kw_only=True)
class LandStatus:
    """Changes that can be landed, and what could be done with them here, now.

    `ahead`, `behind`: commits that the branch at `remote` does not have, and that it has more; None: it has no such
    branch. `forge`: the program that opens pull requests. `base`: the branch that a merge goes into; `base_ahead`:
    commits that it does not have. `push_risk`: high for the branch that others build on. `unknown`: field on the wire →
    why it is not known: its value is no answer then.
    """

    head: str | None
    branch: str | None = None
    subject: str | None = None
    files: list[Uncommitted] = attrs.field(factory=list[Uncommitted])
    files_total: int = 0
    remotes: list[str] = attrs.field(factory=list)
    remote: str | None = None
    remote_url: str | None = None
    ahead: int | None = None
    behind: int | None = None
    forge: Literal["gh", "glab"] | None = None
    base: str | None = None
    base_ahead: int | None = None
    worktree: bool = False
    push_risk: Literal["med", "high"] = "med"
    under_way: list[UnderWay] = attrs.field(factory=list[UnderWay])
    unknown: dict[str, str] = attrs.field(factory=dict[str, str])


land_report: Decoder[LandReport] = Decoder(LandReport)
land_status: Decoder[LandStatus] = Decoder(LandStatus)
rule_said: Decoder[RuleSaid] = Decoder(RuleSaid)
