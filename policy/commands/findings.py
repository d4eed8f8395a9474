"""Findings about a command line, and the rules that they come from. Pure."""

from collections.abc import Mapping

import attrs

from townwatch.policy.commands.arguments import ParsedCommand
from townwatch.policy.commands.hosts import host_matches, hosts_of
from townwatch.policy.commands.index import RuleIndex, index_of
from townwatch.policy.commands.matching import CommandRule
from townwatch.policy.commands.paths import Place, folds_to, is_parent, matches, may_match
from townwatch.policy.commands.reach import paths_of, reads_trees
from townwatch.policy.shell.expansion import UNKNOWN, Argument, Variables

MAX_COMPARED, MAX_WALKED = 100_000, 20_000
WORDS_A_COMPARISON, WORDS_A_STEP = 8, 4
NO_RULE = "no rule names it"
"""Reason of an ask that no rule is behind."""
RANK = {"allow": 0, "ask": 1, "deny": 2}


@attrs.frozen
class CommandFinding:
    """Verdict on one command, and why."""

    verdict: str
    rule: str | None
    reason: str
    command: str = ""


@attrs.frozen
class CommandPolicy:
    """Rules for commands, made ready for one place."""

    place: Place
    rules: tuple[CommandRule, ...] = ()
    deny_paths: tuple[tuple[str, str], ...] = ()
    """(absolute pattern, name of the rule)."""
    writes: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    denied_hosts: tuple[tuple[str, str], ...] = ()
    variables: frozenset[str] = frozenset()
    index: Mapping[str, RuleIndex] = attrs.field(init=False, eq=False, repr=False)
    """The rules by effect and program."""

    @index.default  # pyright: ignore[reportAttributeAccessIssue, reportUntypedFunctionDecorator, reportUnknownMemberType]
    def _indexed(self) -> Mapping[str, RuleIndex]:
        return {effect: index_of(self.rules, effect) for effect in ("allow", "ask", "deny")}


@attrs.define
class ShellState:
    """Directories and variables as they are known at one point of a command line."""

    directories: tuple[str, ...]
    """Where the shell may be; empty: not known."""
    variables: Variables
    errexit: bool = False

    def copy(self) -> "ShellState":
        """Return the state of a subshell."""
        return ShellState(
            self.directories, attrs.evolve(self.variables, values=dict(self.variables.values)), self.errexit
        )

    @property
    def directory(self) -> str | None:
        """The directory where it is known for sure."""
        return self.directories[0] if len(self.directories) == 1 else None


@attrs.define
class LineEffort:
    """Work on one command line, those inside it included: counted, and bounded whatever it is."""

    compared: int = 0
    """Rules with commands: more for a command of many words."""
    walked: int = 0
    """Commands that were looked at, those that wrappers run included: more for one of many words."""

    def compare(self, command: ParsedCommand) -> bool:
        """Count a comparison. Return whether there may be one more."""
        self.compared += 1 + len(command.arguments) // WORDS_A_COMPARISON
        return self.compared <= MAX_COMPARED

    @property
    def exhausted(self) -> bool:
        """Return whether comparisons were left out."""
        return self.compared > MAX_COMPARED

    def walk(self, words: int) -> bool:
        """Count a command of so many words. Return whether it may be looked at."""
        self.walked += 1 + words // WORDS_A_STEP
        return self.walked <= MAX_WALKED


class Findings:
    """Collects findings, and judges what words reach: protected paths, hosts."""

    def __init__(self, policy: CommandPolicy) -> None:
        self.policy = policy
        self.findings: list[CommandFinding] = []
        self.effort = LineEffort()
        self._patterns_left = 200

    def _ask(self, reason: str, command: str = "", rule: str | None = None) -> None:
        self.findings.append(CommandFinding("ask", rule, reason, command[:200]))

    def _allowed(self, reason: str, command: str = "", rule: str | None = None) -> None:
        self.findings.append(CommandFinding("allow", rule, reason, command[:200]))

    # -- paths and hosts

    def _reach(self, command: ParsedCommand, state: ShellState, shown: str) -> None:
        if self.policy.deny_paths:
            tree = reads_trees(command)
            for argument, recursive in paths_of(command):
                self._protected(argument, state, shown, recursive=tree and recursive)
            if tree and not any(True for _ in command.targets):
                self._protected(Argument("."), state, shown, recursive=True)
        if not self.policy.allowed_hosts and not self.policy.denied_hosts:
            return
        for host in hosts_of(command):
            if host is None:
                self._ask("talks to a host that is not known", shown)
                continue
            for pattern, name in self.policy.denied_hosts:
                if host_matches(pattern, host):
                    self.findings.append(CommandFinding("deny", name, f"{host} is denied by {name}", shown[:200]))
            if self.policy.allowed_hosts and not any(host_matches(one, host) for one in self.policy.allowed_hosts):
                self._ask(f"{host} is no host that the rules name", shown)

    def _protected(self, argument: Argument, state: ShellState, shown: str, *, recursive: bool) -> None:
        place = self.policy.place
        if not self.policy.deny_paths:
            return
        text = argument.text
        if text.startswith("file://"):
            text = text[7:].removeprefix("localhost")
        directories = state.directories or (UNKNOWN,)
        for directory in directories:
            # what is not known in front may be the root, another home or any directory
            path = text if text.startswith(UNKNOWN) else place.absolute(text, directory)
            for pattern, name in self.policy.deny_paths:
                if argument.known and directory != UNKNOWN:
                    if matches(pattern, path):
                        self.findings.append(
                            CommandFinding("deny", name, f"{argument.plain()} is denied by {name}", shown[:200])
                        )
                        return
                    if folds_to(pattern, path):
                        self._ask(f"{argument.plain()} looks like a path of {name}", shown, name)
                elif self._too_many_patterns() or may_match(pattern, path) or (argument.splits and UNKNOWN in text):
                    self._ask(f"{argument.plain()} may be a path of {name}", shown, name)
                if recursive and is_parent(pattern, path):
                    self._ask(f"{argument.plain()} may hold a path of {name}", shown, name)

    def _too_many_patterns(self) -> bool:
        """Count a comparison of two patterns; beyond the limit any may be the one."""
        self._patterns_left -= 1
        return self._patterns_left < 0
