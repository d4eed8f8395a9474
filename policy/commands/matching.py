"""Rules for commands: their form, and which commands they name. Pure."""

import posixpath
import re
import shlex

import attrs

from townwatch.policy.commands.arguments import SAME_SUBCOMMAND, STANDARD, GivenOption, Operand, ParsedCommand, read
from townwatch.policy.commands.paths import Place
from townwatch.policy.commands.wrappers import Inner, unwrap
from townwatch.policy.globs import Wild, compile_glob
from townwatch.policy.shell.expansion import STAR, Argument


@attrs.frozen
class CommandRule:
    """``allow: git status *`` as words. `star`: any further words; `command` is None for ``*`` alone."""

    effect: str
    text: str
    name: str
    words: tuple[Argument, ...]
    star: bool
    command: ParsedCommand | None
    inner: "CommandRule | None"
    wrapper: Inner | None
    literals: int
    boost: int = 0
    """Added to the specificity: rules of one source may stand before those of another."""

    @property
    def specificity(self) -> float:
        """More literal words count more; an exact rule is before one with ``*``."""
        return self.boost + self.literals + (0.0 if self.star else 0.5)


def compile_rule(effect: str, text: str, place: Place, name: str = "") -> CommandRule:
    """Return a rule as words. `name` is how decisions call it."""
    try:
        raw = shlex.split(text, posix=True) if re.search(r"['\"\\]", text) else text.split()
    except ValueError:
        raw = text.split()
    star = bool(raw) and raw[-1] == "*"
    words = tuple(_word(one, place) for one in (raw[:-1] if star else raw))
    return _compiled(effect, text, name or f"{effect}: {text}", words, star)


def _compiled(effect: str, text: str, name: str, words: tuple[Argument, ...], star: bool) -> CommandRule:
    command = read(list(words)) if words else None
    wrapper = unwrap(command) if command is not None and words[0].known else None
    inner = None
    if wrapper is not None and wrapper.words and wrapper.script is None:
        inner = _compiled(effect, text, name, wrapper.words, star)
    literals = sum(STAR not in one.text for one in words)
    return CommandRule(effect, text, name, words, star, command, inner, wrapper, literals)


def _word(text: str, place: Place) -> Argument:
    if text in ("~", "$HOME", "${HOME}") or text.startswith(("~/", "$HOME/", "${HOME}/")):
        text = place.home + re.sub(r"^(?:~|\$HOME|\$\{HOME\})", "", text)
    return Argument(text.replace("*", STAR))


@attrs.frozen
class Match:
    """The part of a command that a rule did not name: its star has to cover that."""

    options: tuple[GivenOption, ...]
    operands: tuple[Operand, ...]


_ANY_WORD = Wild("star")


def _looks_like_path(text: str) -> bool:
    return "/" in text or text.startswith((".", "~"))


def same_word(rule: Argument, given: Argument, place: Place, directory: str) -> bool:
    """Compare a word of a rule with a word of a command; paths are compared after normalising."""
    if not given.known:
        return False
    if STAR not in rule.text:
        if rule.text == given.text:
            return True
        if _looks_like_path(rule.text) or _looks_like_path(given.text):
            if rule.text.startswith("-") or given.text.startswith("-") or "://" in given.text:
                return False
            return place.absolute(rule.text, place.root) == place.absolute(given.text, directory)
        return False
    if rule.text == STAR:
        return True
    fixed, pattern = "", rule.text
    text = given.text
    if "/../" in text or text.endswith("/..") or text.startswith("../"):
        text = place.absolute(text, directory)
    if _looks_like_path(rule.text) and not rule.text.startswith(STAR):
        head = rule.text.partition(STAR)[0]
        base = place.absolute(posixpath.dirname(head) or ".", place.root)
        tail = posixpath.basename(head) + rule.text[len(head) :]
        fixed, pattern = base.rstrip("/") + "/", tail
        text = place.absolute(text, directory)
    tokens = (*fixed, *(_ANY_WORD if char == STAR else char for char in pattern))
    return compile_glob(tokens, "blank").matches(text)


def _subcommand(command: ParsedCommand, operand: str, index: int) -> str:
    return SAME_SUBCOMMAND.get(command.name, {}).get(operand, operand) if index == 0 else operand


def names_program(rule: CommandRule, command: ParsedCommand, place: Place, directory: str, *, broad: bool) -> bool:
    """Return True where the rule's first word names the command's program."""
    assert rule.command is not None
    wanted = rule.command.word
    if STAR in wanted:
        return same_word(rule.words[0], Argument(command.word), place, directory)
    if broad:
        return rule.command.name == command.name or posixpath.basename(wanted) == posixpath.basename(command.word)
    if "/" not in wanted:
        return command.standard and (
            command.word in (wanted, *(f"{folder}{wanted}" for folder in STANDARD))
            or (command.standard and rule.command.name == command.name and posixpath.basename(command.word) == wanted)
        )
    return same_word(rule.words[0], Argument(command.word), place, directory) or (
        wanted.startswith(STANDARD)
        and command.standard
        and posixpath.basename(wanted) == posixpath.basename(command.word)
    )


def _same_option(wanted: GivenOption, given: GivenOption, place: Place, directory: str, *, broad: bool) -> bool:
    named = bool(set(wanted.names) & set(given.names))
    if not named and broad and given.text.startswith("--") and len(given.text) > 3:
        named = given.spec is None and any(name.startswith(given.text) for name in wanted.names)
    if not named:
        return False
    if wanted.value is None:
        return True
    if given.value is None:
        return False
    return same_word(wanted.value, given.value, place, directory) or (broad and not given.value.known)


def match_broad(rule: CommandRule, command: ParsedCommand, place: Place, directory: str) -> bool:
    """Return True where an ask or deny rule names the command: options in any place, global options skipped."""
    if rule.command is None:
        return rule.star
    if not names_program(rule, command, place, directory, broad=True):
        return False
    wanted = rule.command
    for option in wanted.options:
        if not any(_same_option(option, one, place, directory, broad=True) for one in command.options):
            return False
    if wanted.dashes and not command.dashes:
        return False
    open_star = any(one.word.text == STAR for one in wanted.operands)
    words = [one for one in wanted.operands if one.word.text != STAR]
    at = 0
    given = command.operands
    for index, want in enumerate(words):
        while at < len(given) and not _same_operand(rule, want, given[at], command, index, place, directory):
            if not (given[at].doubtful or open_star):
                return False
            at += 1
        if at >= len(given):
            return False
        at += 1
    if rule.star or open_star:
        return True
    extra = [
        one
        for one in command.options
        if not one.leading
        and not any(_same_option(option, one, place, directory, broad=True) for option in wanted.options)
    ]
    return at >= len(given) and not extra


def _same_operand(
    rule: CommandRule,
    want: Operand,
    given: Operand,
    command: ParsedCommand,
    index: int,
    place: Place,
    directory: str,
) -> bool:
    if same_word(want.word, given.word, place, directory):
        return True
    assert rule.command is not None
    a = _subcommand(rule.command, want.word.text, index)
    return (a == _subcommand(command, given.word.text, index) and a != want.word.text) or (
        index == 0 and a == _subcommand(command, given.word.text, 0)
    )


def match_exact(rule: CommandRule, command: ParsedCommand, place: Place, directory: str) -> Match | None:
    """Return what an allow rule leaves to its star; None where it does not name the command."""
    if rule.command is None:
        if not rule.star:
            return None
        return Match(tuple(command.options), tuple(command.operands))
    if not names_program(rule, command, place, directory, broad=False):
        return None
    wanted = rule.command
    if wanted.dashes and not command.dashes:
        return None
    named: set[int] = set()
    for option in wanted.options:
        found = next(
            (
                i
                for i, one in enumerate(command.options)
                if i not in named and _same_option(option, one, place, directory, broad=False)
            ),
            None,
        )
        if found is None:
            return None
        named.add(found)
    if len(command.operands) < len(wanted.operands):
        return None
    last = 0
    for index, want in enumerate(wanted.operands):
        given = command.operands[index]
        if given.doubtful or not _same_operand(rule, want, given, command, index, place, directory):
            return None
        last = given.index
    options = [one for i, one in enumerate(command.options) if i not in named]
    if any(one.index < last for one in options):
        return None
    operands = command.operands[len(wanted.operands) :]
    if not rule.star and (options or operands or (command.dashes and not wanted.dashes)):
        return None
    return Match(tuple(options), tuple(operands))
