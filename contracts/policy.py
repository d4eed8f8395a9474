"""A village's rules, as they are stored, sent to runners, and edited over REST."""

import ipaddress
import re
from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.budgets import SharedBudget
from townwatch.contracts.codec import ContractError

RuleText = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
RuleId = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$")]
Effect = Literal["allow", "ask", "deny"]
TestsState = Literal["passed", "failed", "running", "unknown", "none"]
MAX_RULES = 500
START = "start"
"""Category of rules about starts of sessions; no question of an agent is of it."""
RuleHours = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")]


_HOST_NAME = re.compile(r"\*|(\*\.)?[^\s/:@*?#\\%\[\]]+")


def is_host_pattern(text: str) -> bool:
    """Return True for what a host can be compared with: a name, ``*.example.com``, an address, a network."""
    if _HOST_NAME.fullmatch(text):
        return True
    try:
        ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return False
    return True


@attrs.frozen(kw_only=True)
class AnswerTerms:
    """Conditions for an allow of people; a denial is anyone's who may decide."""

    people: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    """How many different people have to allow it."""
    role: Literal["operator", "owner"] = "operator"
    """The least role that they have in the village."""
    human: bool = False
    """No rule allows it, and no API token: only a person who has signed in."""
    not_starter: bool = False
    """An allow of the person who started the session does not count."""

    def __bool__(self) -> bool:
        return self != AnswerTerms()

    def combined_with(self, other: "AnswerTerms") -> "AnswerTerms":
        """Return the terms that satisfy both."""
        return AnswerTerms(
            people=max(self.people, other.people),
            role="owner" if "owner" in (self.role, other.role) else "operator",
            human=self.human or other.human,
            not_starter=self.not_starter or other.not_starter,
        )


@attrs.frozen(kw_only=True)
class PolicyRule:
    """One rule. What it names must all hold; `command`, `path` and `host` are patterns, the others may have ``*``."""

    id: RuleId
    effect: Effect
    command: RuleText | None = None
    path: RuleText | None = None
    host: RuleText | None = None
    tool: RuleText | None = None
    category: RuleText | None = None
    agent: RuleText | None = None
    provider: RuleText | None = None
    house: RuleText | None = None
    branch: RuleText | None = None
    person: RuleText | None = None
    """User id of the person who started the session."""
    risk: list[Literal["low", "med", "high"]] = attrs.field(factory=list)
    """Empty: any."""
    hours: RuleHours | None = None
    """``08:00-18:00``; over midnight where the end is before the start."""
    zone: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    """Of the hours, ``Europe/Berlin``: with its summer time. None: UTC."""
    tests: list[TestsState] = attrs.field(factory=list)
    """What the session's latest test run came to; none: there was no run. Empty: any."""
    lines_over: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The session changed more lines than this, added and removed together."""
    touches: RuleText | None = None
    """A pattern of files: the session changed one of them."""
    note: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    answer: AnswerTerms | None = None
    """Of an ask: who may answer. The terms of all rules that reach a question count, not only of the one that asks."""


@attrs.frozen(kw_only=True)
class Budget:
    """Limits of one session. Left out: no limit."""

    usd: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None
    """US dollars: by the agent's own figures, else by the table of prices."""
    tokens: Annotated[int, msgspec.Meta(gt=0, le=1_000_000_000_000)] | None = None
    """Read and written."""
    minutes: Annotated[float, msgspec.Meta(gt=0, le=525_600)] | None = None
    """That it runs; time in which it is paused does not count."""

    def with_limits(self, other: "Budget | None") -> "Budget":
        """Return the budget that keeps both: of each limit the smaller."""
        if other is None:
            return self
        pairs = ((self.usd, other.usd), (self.tokens, other.tokens), (self.minutes, other.minutes))
        usd, tokens, minutes = (min((one for one in pair if one is not None), default=None) for pair in pairs)
        return Budget(usd=usd, tokens=None if tokens is None else int(tokens), minutes=minutes)


@attrs.frozen(kw_only=True)
class PolicyBody:
    """The body of PUT /api/villages/{villageId}/policy."""

    rules: list[PolicyRule] = attrs.field(factory=list[PolicyRule])
    variables: list[RuleText] = attrs.field(factory=list)
    """Names of variables that may stand in front of a command, beyond the harmless ones."""
    budget: Budget | None = None
    """Of each session; one that a session was started with can only be smaller."""

    def check(self) -> None:
        """Check what the types alone do not express. Raises `ContractError`."""
        if len(self.rules) > MAX_RULES:
            raise ContractError("rules", f"at most {MAX_RULES} rules; there are {len(self.rules)}")
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.id in seen:
                raise ContractError(f"rules[{index}].id", f"{rule.id!r} is used twice")
            seen.add(rule.id)
            if rule.answer is not None and rule.effect != "ask":
                raise ContractError(
                    f"rules[{index}].answer", f"says who may answer; a rule that {rule.effect}s has none"
                )
            if rule.category == START:
                _check_start(rule, f"rules[{index}]")
            if sum(one is not None for one in (rule.command, rule.path, rule.host)) > 1:
                raise ContractError(
                    f"rules[{index}]", "names more than one of command, path and host: make it two rules"
                )
            if rule.host is not None and not is_host_pattern(rule.host):
                raise ContractError(
                    f"rules[{index}].host",
                    f"{rule.host!r} would never be met: a name, *.example.com, an address or a network, without port",
                )
            if rule.hours is not None and rule.hours[:5] == rule.hours[6:11]:
                raise ContractError(f"rules[{index}].hours", "ends when it begins: leave it out for the whole day")
            if rule.zone is not None and rule.hours is None:
                raise ContractError(f"rules[{index}].zone", "is about hours, and the rule has none")
            if rule.zone is not None and not _is_zone(rule.zone):
                raise ContractError(f"rules[{index}].zone", f"{rule.zone!r} is no time zone that this machine knows")


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # here: few rules have one, and `townwatch run` has no time

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_start(rule: PolicyRule, field: str) -> None:
    unknown = (rule.path, rule.host, rule.tool, rule.touches, rule.lines_over, rule.tests or None, rule.risk or None)
    if any(one is not None for one in unknown):
        raise ContractError(field, "is about starts, which have no path, host, tool, risk, tests or changes")
    if rule.answer is not None and (rule.answer.people > 1 or rule.answer.not_starter):
        raise ContractError(f"{field}.answer", "a start is one person's: role and human can be wanted, not more people")


SIGNED_AS = b"townwatch policies, version 1\n"
"""Comes before a document where it is signed, so that no other signature of the key is one of rules."""


@attrs.frozen(kw_only=True)
class SignedPolicies:
    """A `PolicyDocument` as JSON text, with the Ed25519 signature of the service. `key`: its public key; key and
    signature are base64url without padding. The signature is of `SIGNED_AS` and the text in UTF-8.
    """

    key: Annotated[str, msgspec.Meta(max_length=100)]
    document: str
    signature: Annotated[str, msgspec.Meta(max_length=200)]


@attrs.frozen(kw_only=True)
class VillagePolicy:
    """Rules of a village. `version` grows by one with each change; 0: none was ever set."""

    village_id: str
    version: int = 0
    rules: list[PolicyRule] = attrs.field(factory=list[PolicyRule])
    variables: list[str] = attrs.field(factory=list)
    budget: Budget | None = None
    shared: list[SharedBudget] = attrs.field(factory=list[SharedBudget])
    """Budgets of which sessions need a lease (contracts/budgets.py)."""


@attrs.frozen(kw_only=True)
class PolicyDocument:
    """Rules of all villages that a runner serves, as they are signed. `runner_id`: of the machine's runner, whichever
    of its processes it is sent to. `issued_at`: epoch ms, of the service.
    """

    runner_id: str
    issued_at: int
    policies: list[VillagePolicy] = attrs.field(factory=list[VillagePolicy])


_SLOT = re.compile(r"\.(?:run-\d+|demo)$")


def machine_of(runner_id: str) -> str:
    """Return the id of a machine's runner: processes beside it are told apart by their slot.

    >>> machine_of("r1.run-2"), machine_of("r1.demo"), machine_of("r1.example.org")
    ('r1', 'r1', 'r1.example.org')
    """
    return _SLOT.sub("", runner_id)
