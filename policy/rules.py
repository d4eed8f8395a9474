"""The neutral language of rules, one rule a line: ``allow: git status *``, ``deny-path: **/.env``. Pure."""

from collections.abc import Iterable
from typing import Literal

import attrs

from townwatch.contracts.policy import PolicyRule
from townwatch.policy.commands.findings import CommandFinding, CommandPolicy
from townwatch.policy.commands.judge import Judge
from townwatch.policy.commands.matching import CommandRule, compile_rule
from townwatch.policy.commands.paths import Place
from townwatch.policy.other_shells import decide_other

KINDS = ("allow", "ask", "deny", "deny-path", "allow-write", "allow-net", "deny-net", "allow-env")


class BadRule(ValueError):
    """A line is no rule; the message says why."""


def split_rule(line: str) -> tuple[str, str]:
    """Return (kind, rest). Raises `BadRule`."""
    kind, colon, rest = line.partition(": ")
    if not colon or kind not in KINDS or not rest.strip():
        raise BadRule(f"{line!r} is no rule: KIND: TEXT is expected, KIND one of {', '.join(KINDS)}")
    return kind, rest.strip()


def command_policy(lines: Iterable[str | tuple[str, str]], place: Place) -> CommandPolicy:
    """Make rules ready for a place. A line may come with the name that decisions call it by. Raises `BadRule`."""
    rules: list[CommandRule] = []
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    for line in lines:
        text, name = line if isinstance(line, tuple) else (line, line)
        kind, rest = split_rule(text)
        if kind in ("allow", "ask", "deny"):
            rules.append(compile_rule(kind, rest, place, name))
        else:
            found[kind].append((rest, name))
    return CommandPolicy(
        place=place,
        rules=tuple(rules),
        deny_paths=tuple((place.pattern(text), name) for text, name in found["deny-path"]),
        writes=tuple(place.pattern(text) for text, _ in found["allow-write"]),
        allowed_hosts=tuple(text for text, _ in found["allow-net"]),
        denied_hosts=tuple(found["deny-net"]),
        variables=frozenset(text for text, _ in found["allow-env"]),
    )


def rules_of_lines(lines: Iterable[str]) -> list[PolicyRule]:
    """Return lines of rules as a village has them, for what can be said of them. Raises `BadRule`."""
    found: list[PolicyRule] = []
    for number, line in enumerate(one.strip() for one in lines):
        if not line or line.startswith("#"):
            continue
        kind, rest = split_rule(line)
        effect: Literal["allow", "ask", "deny"] = "deny" if "deny" in kind else "ask" if kind == "ask" else "allow"
        field = "path" if kind in ("deny-path", "allow-write") else "host" if kind.endswith("-net") else "command"
        if kind != "allow-env":
            found.append(attrs.evolve(PolicyRule(id=f"line.{number + 1}", effect=effect), **{field: rest}))
    return found


def decide_command(policy: CommandPolicy, text: str, shell: str = "bash") -> CommandFinding:
    """Decide one command line of a shell."""
    return examine_command(policy, text, shell)[0]


def examine_command(
    policy: CommandPolicy, text: str, shell: str = "bash"
) -> tuple[CommandFinding, list[CommandFinding]]:
    """Decide one command line, and return every finding of it, too: what each command in it comes to."""
    if shell in ("bash", "sh", "bash-interactive"):
        judge = Judge(policy)
        found = judge.decide(text, interactive=shell == "bash-interactive")
        return found, judge.findings
    found = decide_other(policy, text, shell)
    return found, [found]
