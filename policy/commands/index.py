"""Rules by the program that they name, so that a command is compared only with those that may name it. Pure."""

import posixpath
from collections import defaultdict
from collections.abc import Sequence

import attrs

from townwatch.policy.commands.arguments import ParsedCommand
from townwatch.policy.commands.matching import CommandRule
from townwatch.policy.shell.expansion import STAR


@attrs.frozen
class RuleIndex:
    """Rules of one effect. `_by_name`: places in `_rules`, by names of a program; `_any`: of rules for any program."""

    _rules: tuple[CommandRule, ...]
    _by_name: dict[str, list[int]]
    _any: tuple[int, ...]

    def candidates(self, command: ParsedCommand) -> list[CommandRule]:
        """Return the rules that may name the command's program, in their order. No other one does, in whatever way
        `matching` compares.
        """
        found = {*self._any}
        for name in _names(command):
            found.update(self._by_name.get(name, ()))
        return [self._rules[place] for place in sorted(found)]


def index_of(rules: Sequence[CommandRule], effect: str) -> RuleIndex:
    """Return the index of the rules of an effect."""
    chosen = tuple(rule for rule in rules if rule.effect == effect)
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for place, rule in enumerate(chosen):
        for name in _names(rule.command) if rule.command is not None else ():
            by_name[name].append(place)
    free = (place for place, rule in enumerate(chosen) if rule.command is None or STAR in rule.command.word)
    return RuleIndex(chosen, dict(by_name), tuple(free))


def _names(command: ParsedCommand) -> set[str]:
    return {command.name, posixpath.basename(command.word), posixpath.basename(command.name)}
