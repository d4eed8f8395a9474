"""Rules against one command: which one decides, and what its star covers. Pure."""

import re

from townwatch.policy.commands.arguments import ParsedCommand, read
from townwatch.policy.commands.checks import SHELL_STATE, uncovered
from townwatch.policy.commands.findings import NO_RULE, CommandFinding, Findings, ShellState
from townwatch.policy.commands.matching import CommandRule, Match, match_broad, match_exact
from townwatch.policy.commands.wrappers import SHELLS, Inner, inner_commands_of_find, unwrap
from townwatch.policy.programs.spec import is_program
from townwatch.policy.shell.expansion import UNKNOWN, Argument

MAX_JUDGED = 400
"""Simple commands of one line that are judged in full, loops and nested scripts included; of later ones only denials
count."""
MAX_HUNTED = 4000


class Ruling(Findings):
    """Compares single commands with the rules."""

    def _denied(self, command: ParsedCommand, directory: str, shown: str) -> bool:
        for reading in readings_of(command):
            for rule in self.policy.index["deny"].candidates(reading):
                if not self.effort.compare(reading):
                    return False
                if match_broad(rule, reading, self.policy.place, directory):
                    self.findings.append(CommandFinding("deny", rule.name, f"is denied by {rule.name}", shown[:200]))
                    return True
        return False

    def _named_wrapper(self, command: ParsedCommand, inner: Inner, state: ShellState, shown: str) -> None:
        """An allow rule covers a wrapper only where it names it, its options and the inner program."""
        if inner.words is None or inner.doubt is not None:
            self._ask(inner.doubt or f"{inner.wrapper} runs a script", shown)
            return
        reasons: list[str] = []
        for rule in sorted(self.policy.index["allow"].candidates(command), key=lambda one: -one.specificity):
            if rule.inner is None or rule.wrapper is None or rule.wrapper.wrapper != inner.wrapper:
                continue
            if not self.effort.compare(command):
                break
            if (reason := self._wrapper_mismatch(rule, command, inner, state)) is None:
                if (asked := self._best("ask", command, state)) is not None and asked.specificity >= rule.specificity:
                    return
                self._allowed(f"allowed by {rule.name}", shown, rule.name)
                return
            reasons.append(reason)
        self._ask(reasons[0] if reasons else f"no rule names {inner.wrapper} with this command", shown)

    def _wrapper_mismatch(
        self, rule: CommandRule, command: ParsedCommand, inner: Inner, state: ShellState
    ) -> str | None:
        assert rule.inner is not None and rule.wrapper is not None and inner.words is not None
        named = {name for option in rule.wrapper.options for name in option.names}
        for option in inner.options:
            if not named & set(option.names) and not (
                inner.wrapper in ("xargs", "sudo", "timeout")
                and option.spec is not None
                and not option.spec.escape
                and "-u" not in option.names
                and "-a" not in option.names
                and "-g" not in option.names
            ):
                return f"the option {option.text} of {inner.wrapper}"
        for option in rule.wrapper.options:
            if not any(set(option.names) & set(one.names) for one in inner.options):
                return f"the rule wants {option.text}"
        if len(rule.wrapper.prefix) != len(inner.prefix) or any(
            a.text != b.text for a, b in zip(rule.wrapper.prefix, inner.prefix, strict=False)
        ):
            return f"another {inner.wrapper} than the rule's"
        if inner.environment:
            return f"{inner.wrapper} sets variables"
        words = list(inner.words)
        if inner.wrapper == "find" and len(inner_commands_of_find(command.arguments)) > 1:
            return "more than one command"
        if not words[0].known:
            return "a command whose name is not known"
        inside = read([*words, Argument(UNKNOWN, splits=True)] if inner.appended else words)
        if unwrap(inside) is not None:
            return f"{inside.name} runs another command"
        for directory in state.directories or (None,):
            match = match_exact(rule.inner, inside, self.policy.place, directory or self.policy.place.directory)
            if match is None:
                return "the rule names another command"
            if (reason := uncovered(rule.inner, inside, match, self.policy.place, directory)) is not None:
                return reason
        return None

    def _best(self, effect: str, command: ParsedCommand, state: ShellState) -> CommandRule | None:
        found = [
            rule
            for reading in readings_of(command)
            for rule in self.policy.index[effect].candidates(reading)
            if any(
                self.effort.compare(reading) and match_broad(rule, reading, self.policy.place, one)
                for one in state.directories or (self.policy.place.directory,)
            )
        ]
        return max(found, key=lambda one: one.specificity, default=None)

    def _ruled(self, command: ParsedCommand, state: ShellState, shown: str, wrapper: Inner | None = None) -> None:
        asked = self._best("ask", command, state)
        place = self.policy.place
        best: CommandRule | None = None
        reasons: list[str] = []
        for rule in self.policy.index["allow"].candidates(command):
            if best is not None and rule.specificity <= best.specificity:
                continue
            if not self.effort.compare(command):
                break
            reason: str | None = None
            named = True
            for directory in state.directories or (None,):
                match = match_exact(rule, command, place, directory or place.directory)
                if match is None:
                    named = False
                    break
                reason = reason or self._uncovered(rule, command, match, directory, wrapper)
            if not named:
                continue
            if reason is None:
                best = rule
            else:
                reasons.append(f"{rule.name} does not cover it: {reason}")
        if best is None:
            rule_name = asked.name if asked is not None else None
            self._ask(
                f"asked by {rule_name}" if rule_name else (reasons[0] if reasons else NO_RULE),
                shown,
                rule_name,
            )
        elif asked is not None and asked.specificity >= best.specificity:
            self._ask(f"asked by {asked.name}", shown, asked.name)
        else:
            self._allowed(f"allowed by {best.name}", shown, best.name)

    def _uncovered(
        self, rule: CommandRule, command: ParsedCommand, match: Match, directory: str | None, wrapper: Inner | None
    ) -> str | None:
        if (
            command.name in SHELLS
            and wrapper is None
            and not command.targets
            and not command.has("--version", "--help")
        ):
            return "a shell runs its standard input"
        if rule.command is None:
            guarded = {
                one.command.name for one in self.policy.rules if one.effect != "allow" and one.command is not None
            }
            if not is_program(command.name) and any(one.word.text in guarded for one in command.operands):
                return "a program that is not known may run its arguments"
        return uncovered(rule, command, match, self.policy.place, directory)

    def _effects(self, command: ParsedCommand, state: ShellState) -> None:
        """Note what a command changes for those after it: the directory, variables, `set -e`."""
        if command.name == "set" and not command.operands:
            state.errexit = state.errexit or command.has("-e")
        if command.name in SHELL_STATE - {"set"}:
            for operand in command.operands:
                name, equals, value = operand.word.text.partition("=")
                state.variables.values[name] = value if equals and operand.word.known else None
        if command.name not in ("cd", "pushd", "popd"):
            return
        target = (
            command.operands[0].word if command.operands else Argument(state.variables.get("HOME", None) or UNKNOWN)
        )
        if command.name == "popd" or not target.known or target.text == "-" or not state.directories:
            if target.known and target.text.startswith("/") and command.name != "popd":
                state.directories = (self.policy.place.absolute(target.text, "/"),)
                return
            state.directories = ()
            return
        state.directories = tuple(
            dict.fromkeys(self.policy.place.absolute(target.text, one) for one in state.directories)
        )

    def _hunt(self, text: str) -> None:
        """Look for denied commands in a text that is too deep or too long to be parsed."""
        place = self.policy.place
        pieces = [piece for piece in re.split(r"[;&|\n(){}`]|\$\(", text) if piece.strip()]
        if len(pieces) > MAX_HUNTED:
            pieces = pieces[: MAX_HUNTED // 2] + pieces[-MAX_HUNTED // 2 :]
        for piece in pieces:
            words = [Argument(one) for one in piece.replace('"', "").replace("'", "").split()[:64]]
            if words:
                self._denied(read(words), place.directory, piece)

    def _hunt_behind(self, words: list[Argument]) -> None:
        """Look for denied commands behind a pile of wrappers that is too high to be looked through."""
        for at in range(min(len(words), MAX_HUNTED)):
            piece = words[at : at + 16]
            if piece[0].known and self._denied(read(piece), self.policy.place.directory, ""):
                return


def readings_of(command: ParsedCommand) -> list[ParsedCommand]:
    """Return the command, and for ``python -m pip`` the module's own command, too."""
    if command.subcommands < 2 or command.operands[0].word.text != "-m" or not command.operands[1].word.known:
        return [command]
    at = command.operands[1].index
    module = Argument(command.operands[1].word.text)
    return [command, read([module, *command.arguments[at + 1 :]])] if module.text else [command]
