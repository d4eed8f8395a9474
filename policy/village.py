"""Verdict of a village's rules on one request: the same function on the runner and in the service. Pure.

Layers: the village's own rules; the session's extras (its PolicySpec); the repository's file. An extra allow never
beats an ask of the village, an extra ask or deny always counts, and a repository's allow never does.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import attrs

from townwatch.contracts.policy import AnswerTerms, PolicyRule
from townwatch.contracts.tasks import PolicySpec
from townwatch.policy.clock import within
from townwatch.policy.commands.findings import NO_RULE as NO_RULE, CommandPolicy
from townwatch.policy.commands.hosts import host_matches, normal_host
from townwatch.policy.commands.matching import CommandRule, compile_rule
from townwatch.policy.commands.paths import Place, matches
from townwatch.policy.rules import decide_command, examine_command
from townwatch.policy.work import UNKNOWN_WORK as UNKNOWN_WORK, Work as Work

Layer = Literal["village", "session", "repository"]
_BOOST = {"village": 1000, "session": 0, "repository": 0}
_STRICTER = 2000
"""Added to the specificity of a session's and a repository's ask: no allow is before it."""


@attrs.frozen(kw_only=True)
class PolicyRequest:
    """A request: what is to be done, by whom, where and when. `at`: epoch seconds."""

    category: str
    place: Place
    command: str | None = None
    shell: str = "bash"
    tool: str | None = None
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    agent: str | None = None
    provider: str | None = None
    house: str | None = None
    branch: str | None = None
    person: str | None = None
    risk: str = "med"
    at: float = 0
    work: Work = UNKNOWN_WORK


@attrs.frozen(kw_only=True)
class PolicyDecision:
    """Verdict of the rules. `rule`: the id of the one that decided, None where none did. `terms`: of an ask, who may
    answer; None: anyone who may decide. `terms_rules`: the rules that they come from.
    """

    verdict: Literal["allow", "ask", "deny"]
    rule: str | None
    reason: str
    terms: AnswerTerms | None = None
    terms_rules: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class LayeredRule:
    """A rule and the layer that it comes from."""

    rule: PolicyRule
    layer: Layer = "village"


def session_rules(spec: PolicySpec) -> list[LayeredRule]:
    """Return the extras of a session's PolicySpec as rules."""
    found: list[PolicyRule] = []
    for number, pattern in enumerate(spec.shell_denylist):
        if words := _words(pattern):
            found.append(PolicyRule(id=f"shellDenylist.{number}", effect="deny", command=denied_words(pattern)))
    for number, pattern in enumerate(spec.shell_allowlist):
        if (words := _words(pattern)) and words != "*":
            command = f"{words} *" if pattern.rstrip().endswith("*") else words
            found.append(PolicyRule(id=f"shellAllowlist.{number}", effect="allow", command=command))
    for category in spec.requires_approval_for:
        found.append(PolicyRule(id=f"requiresApprovalFor.{category}", effect="ask", category=category))
    network: Literal["allow", "ask"] = "allow" if spec.network_mode == "open" else "ask"
    found.append(PolicyRule(id=f"networkMode.{spec.network_mode}", effect=network, category="network"))
    return [LayeredRule(rule=rule, layer="session") for rule in found]


def denied_words(pattern: str) -> str:
    """Return a pattern of a denylist as a rule's words: ``git push*`` also names words that begin so."""
    words = _words(pattern)
    return f"{words}* *" if re.search(r"[^\s:*]\*$", pattern) else f"{words} *"


def _words(pattern: str) -> str:
    return pattern.rstrip("* ").rstrip(":").strip()


def repository_rules(rules: Iterable[PolicyRule]) -> list[LayeredRule]:
    """Return what counts of a repository's file: it may ask and deny, never allow."""
    return [LayeredRule(rule=rule, layer="repository") for rule in rules if rule.effect != "allow"]


def decide_request(
    rules: Sequence[LayeredRule], request: PolicyRequest, variables: Iterable[str] = ()
) -> PolicyDecision:
    """Decide a request. Deny wins; between ask and allow the more specific rule; a tie, or no rule at all, asks. An ask
    for a path or of a gate (tests, changes), and one that only people may answer, is before every allow.
    """
    held = [one for one in rules if _holds(one.rule, request)]
    decision = _decide(held, request, variables)
    if decision.verdict == "deny":
        return decision
    reached = _asking(held, request, variables)
    stricter = [one for one in reached if _strict(one)]
    if decision.verdict == "allow" and stricter:
        first = stricter[0].id
        decision = PolicyDecision(verdict="ask", rule=first, reason=f"asked by {first}")
    if decision.verdict == "allow":
        return decision
    terms = AnswerTerms()
    for rule in reached:
        terms = terms.combined_with(rule.answer or terms)
    named = tuple(rule.id for rule in reached if rule.answer)
    return attrs.evolve(decision, terms=terms, terms_rules=named) if terms else decision


def _strict(rule: PolicyRule) -> bool:
    """Return True for an ask that no allow is before, however specific that is."""
    return rule.path is not None or _gated(rule) or (rule.answer is not None and rule.answer.human)


_HIDES = (
    *("cannot be parsed", "nested too deeply", "longer than", "more than", "a command whose name", "wrappers nested"),
    *("a script that is not known", "a shell runs its standard input", "talks to a host that is not known"),
)
"""Beginnings of the reasons why a line may hold a command that is not seen: a rule that asks may be about that, too."""


def _asking(held: Sequence[LayeredRule], request: PolicyRequest, variables: Iterable[str]) -> list[PolicyRule]:
    """Return the asks with terms, and those before every allow, that a request reaches, or may reach."""
    asks = [one for one in held if one.rule.effect == "ask" and (one.rule.answer or _strict(one.rule))]
    if not asks:
        return []
    if request.command is None:
        paths = [request.place.absolute(one, request.place.directory) for one in request.paths]
        hosts = [normal_host(one) for one in request.hosts]
        return [one.rule for one in asks if _concerns(one.rule, request, paths, hosts)]
    if not _in_command(asks, request, variables):  # the common case: one look for all of them
        return []
    return [one.rule for one in asks if _in_command([one], request, variables)]


def _concerns(rule: PolicyRule, request: PolicyRequest, paths: Sequence[str], hosts: Sequence[str | None]) -> bool:
    if rule.command is not None:
        return False
    if rule.path is not None and not paths:
        return request.category == "edit"  # the file is not known
    if rule.host is not None and not hosts:
        return request.category == "network"
    return _reaches(rule, request.place, paths, hosts)


def _in_command(asks: Sequence[LayeredRule], request: PolicyRequest, variables: Iterable[str]) -> bool:
    """Return True where one of these rules, were it a denial, would deny the command or could not be excluded."""
    if any(_bare(one.rule) for one in asks):
        return True  # it is about everything of this kind
    denials = [attrs.evolve(one, rule=attrs.evolve(one.rule, effect="deny")) for one in asks]
    policy = _commands(denials, request, variables)
    found, all_found = examine_command(policy, request.command or "", request.shell)
    names = {one.rule.id for one in asks}
    return found.verdict == "deny" or any(one.rule in names or one.reason.startswith(_HIDES) for one in all_found)


def _decide(held: Sequence[LayeredRule], request: PolicyRequest, variables: Iterable[str]) -> PolicyDecision:
    if request.command is not None:
        found = decide_command(_commands(held, request, variables), request.command, request.shell)
        verdict: Literal["allow", "ask", "deny"] = "deny"
        if found.verdict != "deny":
            verdict = "allow" if found.verdict == "allow" else "ask"
        rule = found.rule
        if verdict == "allow" and rule is None:
            rule = "neutral"
        decision = PolicyDecision(verdict=verdict, rule=rule, reason=found.reason)
        categories = [
            one for one in held if one.rule.category is not None and _bare(one.rule) and one.rule.effect != "allow"
        ]
        return _stricter(decision, categories)
    return _plain(held, request)


def _bare(rule: PolicyRule) -> bool:
    return rule.command is None and rule.path is None and rule.host is None


def _stricter(decision: PolicyDecision, rules: Sequence[LayeredRule]) -> PolicyDecision:
    for effect in ("deny", "ask"):
        for one in rules:
            if (
                one.rule.effect == effect
                and decision.verdict != "deny"
                and (effect == "deny" or decision.verdict == "allow")
            ):
                return PolicyDecision(verdict=effect, rule=one.rule.id, reason=f"{effect} by {one.rule.id}")
    return decision


def _holds(rule: PolicyRule, request: PolicyRequest) -> bool:
    """Return True where everything that a rule says of the circumstances is so. What is not known holds for ask and
    deny, and never for allow.
    """
    unknown = rule.effect != "allow"
    pairs = (
        (rule.tool, request.tool),
        (rule.category, request.category),
        (rule.agent, request.agent),
        (rule.provider, request.provider),
        (rule.house, request.house),
        (rule.branch, request.branch),
        (rule.person, request.person),
    )
    for wanted, given in pairs:
        if wanted is not None and not (unknown if given is None else fnmatchcase(given, wanted)):
            return False
    if rule.risk and request.risk not in rule.risk:
        return False
    if rule.hours is not None:
        now = within(rule.hours, rule.zone, request.at)
        if not (unknown if now is None else now):
            return False
    return not _gated(rule) or _gate(rule, request, unknown=unknown)


def _gated(rule: PolicyRule) -> bool:
    return bool(rule.tests) or rule.lines_over is not None or rule.touches is not None


def _gate(rule: PolicyRule, request: PolicyRequest, *, unknown: bool) -> bool:
    """Compare a rule with the session's work. `unknown`: whether what is not known holds."""
    work = request.work
    if rule.tests and work.tests not in rule.tests and not (unknown and work.tests == "unknown"):
        return False
    if rule.lines_over is not None and not (unknown if work.lines is None else work.lines > rule.lines_over):
        return False
    if rule.touches is None:
        return True
    pattern, place = request.place.pattern(rule.touches), request.place
    if any(matches(pattern, place.absolute(one, place.root)) for one in work.files or ()):
        return True
    return unknown and (work.files is None or work.cut)


def _commands(rules: Sequence[LayeredRule], request: PolicyRequest, variables: Iterable[str]) -> CommandPolicy:
    """Return the rules for the command line of a request."""
    place = request.place
    compiled: list[CommandRule] = []
    deny_paths: list[tuple[str, str]] = []
    writes: list[str] = []
    allowed: list[str] = []
    denied: list[tuple[str, str]] = []
    for one in rules:
        rule = one.rule
        if rule.path is not None:
            if rule.effect == "deny":
                deny_paths.append((place.pattern(rule.path), rule.id))
            elif rule.effect == "allow" and one.layer == "village":
                writes.append(place.pattern(rule.path))
        elif rule.host is not None:
            if rule.effect == "deny":
                denied.append((rule.host, rule.id))
            elif rule.effect == "allow":
                allowed.append(rule.host)
        elif rule.command is not None or rule.category is None:
            boost = _STRICTER if one.layer != "village" and rule.effect == "ask" else _BOOST[one.layer]
            compiled.append(attrs.evolve(compile_rule(rule.effect, rule.command or "*", place, rule.id), boost=boost))
    return CommandPolicy(
        place=place,
        rules=tuple(compiled),
        deny_paths=tuple(deny_paths),
        writes=tuple(writes),
        allowed_hosts=tuple(allowed),
        denied_hosts=tuple(denied),
        variables=frozenset(variables),
    )


def _plain(rules: Sequence[LayeredRule], request: PolicyRequest) -> PolicyDecision:
    """Decide what is no command: an edit, a download, a merge, a question."""
    found: list[tuple[str, float, str]] = []
    paths = [request.place.absolute(one, request.place.directory) for one in request.paths]
    hosts = [normal_host(one) for one in request.hosts]
    for one in rules:
        rule = one.rule
        if rule.command is not None or not _reaches(rule, request.place, paths, hosts):
            continue
        named = (
            rule.path,
            rule.host,
            rule.tool,
            rule.category,
            rule.agent,
            rule.provider,
            rule.house,
            rule.branch,
            rule.person,
        )
        specific = sum(name is not None for name in named) + bool(rule.risk) + (rule.hours is not None)
        boost = _STRICTER if one.layer != "village" and rule.effect == "ask" else _BOOST[one.layer]
        found.append((rule.effect, specific + boost, rule.id))
    for effect, _, name in found:
        if effect == "deny":
            return PolicyDecision(verdict="deny", rule=name, reason=f"denied by {name}")
    asks = max((one for one in found if one[0] == "ask"), key=lambda one: one[1], default=None)
    allows = max((one for one in found if one[0] == "allow"), key=lambda one: one[1], default=None)
    guards = [one.rule for one in rules if one.rule.effect != "allow"]
    if allows is not None and request.category == "edit" and not paths and any(one.path is not None for one in guards):
        return PolicyDecision(verdict="ask", rule=None, reason="the file is not known, and rules protect some")
    if allows is not None and request.category == "network" and not hosts and any(one.host for one in guards):
        return PolicyDecision(verdict="ask", rule=None, reason="the host is not known, and rules are about some")
    if allows is not None and (asks is None or allows[1] > asks[1]):
        return PolicyDecision(verdict="allow", rule=allows[2], reason=f"allowed by {allows[2]}")
    if asks is not None:
        return PolicyDecision(verdict="ask", rule=asks[2], reason=f"asked by {asks[2]}")
    return PolicyDecision(verdict="ask", rule=None, reason=NO_RULE)


def _reaches(rule: PolicyRule, place: Place, paths: Sequence[str], hosts: Sequence[str | None]) -> bool:
    """An allow must cover every path and host; an ask or a deny is met by one, and by one that is not known."""
    if rule.path is not None:
        hit = [matches(place.pattern(rule.path), path) for path in paths]
        return bool(hit) and (all(hit) if rule.effect == "allow" else any(hit))
    if rule.host is not None:
        reached = [host_matches(rule.host, host) if host is not None else rule.effect != "allow" for host in hosts]
        return bool(reached) and (all(reached) if rule.effect == "allow" else any(reached))
    return True
