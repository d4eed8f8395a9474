"""Judgement of a command line by rules: every command in it, wrappers looked through. Pure, bounded.

`Judge.decide` walks the tree in the order of execution with what is known at that point: directories, variables.
"""

import re
from collections.abc import Iterable, Sequence

from townwatch.policy.commands.arguments import ParsedCommand, read
from townwatch.policy.commands.environment import harmless_assignment, harmless_variable
from townwatch.policy.commands.findings import RANK, CommandFinding, CommandPolicy, ShellState
from townwatch.policy.commands.neutral import condition_hazard, is_neutral
from townwatch.policy.commands.paths import matches
from townwatch.policy.commands.ruling import MAX_JUDGED, Ruling
from townwatch.policy.commands.wrappers import SHELLS, Inner, inner_commands_of_find, unwrap
from townwatch.policy.shell.characters import recalls_history, suspicious as suspicious_character
from townwatch.policy.shell.expansion import (
    UNKNOWN,
    Argument,
    TooManyWords,
    Variables,
    expand,
    hazards_in,
    is_numeric,
    scripts_in,
)
from townwatch.policy.shell.parser import parse
from townwatch.policy.shell.syntax import Compound, Node, Pipeline, Redirect, Script, Simple, Word

MAX_TEXT = 64 * 1024
MAX_LOOP = 32
MAX_WORDS = 2000
"""Words of one command."""
MAX_NESTING = 12


class Judge(Ruling):
    """Decides one command line; made for it and used once."""

    def __init__(self, policy: CommandPolicy) -> None:
        super().__init__(policy)
        self._left = MAX_JUDGED
        self._nesting = 0

    # -- texts

    def decide(self, text: str, *, interactive: bool = False) -> CommandFinding:
        """Return the strictest of all findings; of equals the first."""
        place = self.policy.place
        self._text_hazards(text, interactive=interactive)
        state = ShellState((place.directory,), Variables(home=place.home, user=place.user))
        self._parse_and_walk(text[:MAX_TEXT], state)
        if len(text) > MAX_TEXT:
            self._hunt(text[MAX_TEXT:])
            self._ask(f"longer than {MAX_TEXT} characters")
        if not self.findings:
            self._ask("there is no command in it")
        return max(self.findings, key=lambda one: RANK[one.verdict])

    def _text_hazards(self, text: str, *, interactive: bool) -> None:
        if (reason := suspicious_character(text)) is not None:
            self._ask(reason)
        if interactive and (recalls_history(text) or re.search(r"(?m)^\^", text)):
            self._ask("history expansion of an interactive shell")

    def _parse_and_walk(self, text: str, state: ShellState) -> None:
        if self._nesting >= MAX_NESTING:
            self._hunt(text)
            self._ask("nested too deeply")
            return
        self._nesting += 1
        try:
            parsed = parse(text, depth=self._nesting)
            if parsed.fault is not None:
                self._ask(f"cannot be parsed: {parsed.fault}")
                if parsed.fault.limit:
                    self._hunt(text)
            self._script(parsed.script, state)
        except RecursionError:
            self._ask("nested too deeply")
            self._hunt(text)
        finally:
            self._nesting -= 1

    def _ask_once(self, reason: str) -> None:
        if not any(one.reason == reason for one in self.findings[-1:]):
            self._ask(reason)

    # -- the tree

    def _script(self, script: Script, state: ShellState) -> None:
        """Walk a list. A chain of && and || may stop at any of its members: behind it the shell may be in any of the
        directories that the chain went through.
        """
        passed: list[tuple[str, ...]] = []
        for index, (_, node) in enumerate(script.items):
            passed.append(state.directories)
            self._node(node, state)
            following = script.items[index + 1][0] if index + 1 < len(script.items) else ";"
            if following == "&&":
                continue
            single = len(passed) == 1 and state.errexit and following == ";"
            if not single and state.directories and all(passed):
                united = (*state.directories, *(one for directories in passed for one in directories))
                state.directories = tuple(dict.fromkeys(united))[:8]
            if following in (";", "&"):
                passed = []

    def _node(self, node: Node, state: ShellState) -> None:
        if isinstance(node, Simple):
            self._simple(node, state)
        elif isinstance(node, Pipeline):
            for member in node.members:
                self._node(member, state.copy())
        else:
            self._compound(node, state)

    def _compound(self, node: Compound, state: ShellState) -> None:
        for word in node.words:
            self._visit(word, state)
        for redirect in node.redirects:
            self._redirect(redirect, state)
        match node.kind:
            case "group":
                self._script(node.bodies[0], state)
            case "subshell":
                self._script(node.bodies[0], state.copy())
            case "for" | "select":
                self._loop(node, state)
            case "function":
                self._ask(f"defines the function {node.name}")
                self._script(node.bodies[0], state.copy())
            case "coproc":
                self._ask("a coprocess")
                self._script(node.bodies[0], state.copy())
            case "arithmetic":
                if not is_numeric(node.words[0]):
                    self._ask("arithmetic that sets or evaluates variables")
                else:
                    self._allowed("arithmetic on numbers")
            case "condition":
                self._condition(node, state)
            case _:
                self._branches(node, state)

    def _branches(self, node: Compound, state: ShellState) -> None:
        """If, while, until, case, for (( )): any body may run or not."""
        if node.kind == "for-arithmetic" and not is_numeric(node.words[0]):
            self._ask("arithmetic that sets or evaluates variables")
        seen = list(state.directories)
        turns = 2 if node.kind in ("while", "for-arithmetic") and self._left >= 0 else 1
        for turn in range(turns):
            if turn and self._left < 0:
                break
            for body in node.bodies:
                self._script(body, state)
                seen += state.directories
                if not state.directories:
                    return
        state.directories = tuple(dict.fromkeys(seen))[:8]

    def _loop(self, node: Compound, state: ShellState) -> None:
        if not harmless_variable(node.name) or node.kind == "select":
            self._ask(f"sets the variable {node.name}")
        values: list[str | None] = []
        for argument in self._expand(node.words, state):
            values.append(argument.text if argument.known else None)
        chosen: Iterable[str | None] = dict.fromkeys(values)
        if len(values) > MAX_LOOP:
            chosen = (*list(dict.fromkeys(values))[:MAX_LOOP], None)
        if self._left < 0:
            chosen = (None,)
        for value in chosen:
            enough = self._left < 0
            state.variables.values[node.name] = None if enough else value
            self._script(node.bodies[0], state)
            if enough:  # a last look at its body with what is not known; the others would be looked at for denials only
                break
        if not values:
            self._script(node.bodies[0], state)

    def _condition(self, node: Compound, state: ShellState) -> None:
        words = [argument for word in node.words for argument in self._expand((word,), state, split=False)]
        if (reason := condition_hazard(words)) is not None:
            self._ask(reason)
        else:
            self._allowed("a condition")

    # -- words

    def _visit(self, word: Word, state: ShellState) -> None:
        for script in scripts_in(word):
            self._script(script, state.copy())
        for hazard in hazards_in(word):
            self._ask(hazard)

    def _expand(self, words: Sequence[Word], state: ShellState, *, split: bool = True) -> list[Argument]:
        found: list[Argument] = []
        for word in words:
            try:
                found += expand(word, state.variables, state.directory, split=split)
            except TooManyWords:
                self._ask("braces that become too many words")
                found.append(Argument(UNKNOWN, splits=True))
        return found

    # -- redirections

    def _redirect(self, redirect: Redirect, state: ShellState) -> None:
        self._visit(redirect.word, state)
        operator = redirect.operator
        if redirect.variable:
            self._ask("a redirection that sets a variable")
        if operator in ("<<", "<<-", "<<<"):
            return
        found = self._expand((redirect.word,), state)
        if len(found) != 1:
            self._ask("a redirection to a file that is not known")
            return
        target = found[0]
        if operator in (">&", "<&") and re.fullmatch(r"\d+-?|-", target.text):
            return
        if target.text in ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty") or target.text == "/dev/fd/63":
            return
        if re.match(r"/dev/(tcp|udp)/", target.text):
            self._ask("a redirection to another host")
            return
        self._protected(target, state, f"{operator} {target.plain()}", recursive=False)
        if operator == "<":
            return
        directories = state.directories or ((None,) if not target.text.startswith("/") else ("/",))
        for directory in directories:
            if not target.known or directory is None or not self._may_write(target.text, directory):
                self._ask(f"writes {target.plain()}", f"{operator} {target.plain()}")
                return

    def _may_write(self, text: str, directory: str) -> bool:
        path = self.policy.place.absolute(text, directory)
        return any(matches(pattern, path) for pattern in self.policy.writes)

    # -- simple commands

    def _simple(self, node: Simple, state: ShellState) -> None:
        self._left -= 1
        if self._left == -1:
            self._ask(f"more than {MAX_JUDGED} commands")
        for assignment in node.assignments:
            self._visit(assignment.value, state)
        for word in node.words:
            self._visit(word, state)
        for redirect in node.redirects:
            self._redirect(redirect, state)
        arguments = self._expand(node.words, state)
        if not arguments:
            if node.words:
                self._ask("a command whose name is not known")
            for assignment in node.assignments:
                value = self._expand((assignment.value,), state, split=False) if assignment.plain else []
                text = value[0].text if len(value) == 1 and value[0].known else "" if not assignment.value else None
                state.variables.values[assignment.name] = text if assignment.plain else None
                self._ask(f"sets the variable {assignment.name}", assignment.name)
            return
        for assignment in node.assignments:
            value = self._expand((assignment.value,), state, split=False) if assignment.plain else []
            known = assignment.plain and (not assignment.value or (len(value) == 1 and value[0].known))
            text = value[0].text if value else ""
            if not known or not harmless_assignment(assignment.name, text, self.policy.variables):
                self._ask(f"runs with the variable {assignment.name}", assignment.name)
            elif value:
                self._protected(value[0], state, assignment.name, recursive=False)
        stdin = [one for one in node.redirects if one.operator in ("<<", "<<-", "<<<")]
        self._command(arguments, state, stdin)

    def _command(self, arguments: list[Argument], state: ShellState, stdin: Sequence[Redirect] = ()) -> None:
        """Judge one command with its words known as far as they are, and add a finding."""
        if not self.effort.walk(len(arguments)):
            self._left = min(self._left, -1)
            self._ask_once("more commands in it than can be looked at")
            return
        shown = " ".join(one.plain() for one in arguments)
        if not arguments[0].known or not arguments[0].text:
            self._ask("a command whose name is not known", shown)
            return
        if len(arguments) > MAX_WORDS:
            self._ask(f"more than {MAX_WORDS} words", shown)
            arguments = arguments[:MAX_WORDS]
        command = read(arguments)
        if not arguments[0].text.isascii():
            self._ask("a command whose name is not plain", shown)
            return
        denied = False
        for directory in state.directories or (self.policy.place.directory,):
            denied = self._denied(command, directory, shown) or denied
        if self.effort.exhausted:
            self._left = min(self._left, -1)
            self._ask_once("more to compare with the rules than can be")
        if self._left < 0:
            return  # enough was judged to ask; only a denial can change that
        self._reach(command, state, shown)
        if command.name in SHELLS:
            for document in stdin:
                self._body(document, state)
        inner = unwrap(command)
        if denied:
            return
        if inner is not None:
            self._wrapped(command, inner, state, shown)
        elif is_neutral(command, self.policy.place, state.directories, state.variables):
            self._allowed("neutral", shown)
        else:
            self._ruled(command, state, shown)
        self._effects(command, state)

    def _body(self, document: Redirect, state: ShellState) -> None:
        """A here-document or here-string into a shell is a script."""
        found = self._expand((document.word,), state, split=False)
        if len(found) == 1 and found[0].known:
            self._parse_and_walk(found[0].text, state.copy())
        self._ask("a shell runs its standard input")

    # -- wrappers

    def _wrapped(self, command: ParsedCommand, inner: Inner, state: ShellState, shown: str) -> None:
        asked = self._best("ask", command, state)
        if asked is not None:
            self._ask(f"asked by {asked.name}", shown, asked.name)
        for text in inner.environment:
            name, _, value = text.partition("=")
            if not Argument(value).known or not harmless_assignment(name, value, self.policy.variables):
                self._ask(f"{inner.wrapper} sets the variable {name}", shown)
        if inner.transparent:
            self._transparent(command, inner, state, shown)
            return
        if inner.words is None and inner.script is None:
            self._ruled(command, state, shown, wrapper=inner)
            return
        judge = Judge(self.policy)
        judge.effort = self.effort
        judge._left, judge._nesting = self._left, self._nesting + 1
        self._run_inner(judge, command, inner, state)
        self._left = judge._left
        strict = [
            one for one in judge.findings if one.verdict == "deny" or (one.verdict == "ask" and one.rule is not None)
        ]
        self.findings += strict
        if strict and any(one.verdict == "deny" for one in strict):
            return
        self._named_wrapper(command, inner, state, shown)

    def _transparent(self, command: ParsedCommand, inner: Inner, state: ShellState, shown: str) -> None:
        if inner.doubt is not None:
            self._ask(inner.doubt, shown)
        for option in inner.options:
            if option.spec is None or option.spec.escape:
                self._ask(f"the option {option.text} of {inner.wrapper}", shown)
        if inner.words is None and inner.script is None:
            self._ruled(command, state, shown, wrapper=inner)
            return
        before = state.copy()
        self._run_inner(self, command, inner, before)

    def _run_inner(self, judge: "Judge", command: ParsedCommand, inner: Inner, state: ShellState) -> None:
        local = state.copy()
        if inner.wrapper == "find":
            for words in inner_commands_of_find(command.arguments):
                shown = [Argument(UNKNOWN, quoted=True) if one.text == "{}" else one for one in words]
                judge._command(shown, local.copy())
            return
        if inner.script is not None:
            if not inner.script.known:
                judge._ask("a script that is not known")
                text = inner.script.text
                if UNKNOWN in text and not text.startswith(UNKNOWN):
                    judge._hunt(text.partition(UNKNOWN)[0])
                return
            if inner.wrapper in ("env",):
                local.variables.values = {}
            judge._parse_and_walk(inner.script.text, local)
            return
        words = list(inner.words or ())
        if inner.appended:
            words.append(Argument(UNKNOWN, splits=True))
        if words:
            if judge._nesting >= MAX_NESTING * 4:
                judge._ask("wrappers nested too deeply")
                judge._hunt_behind(words)
                return
            judge._nesting += 1
            try:
                judge._command(words, local)
            finally:
                judge._nesting -= 1
