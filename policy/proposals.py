"""The narrowest rules that would have answered one question. Pure."""

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import attrs

from townwatch.contracts.policy import PolicyRule
from townwatch.policy.commands.paths import Place
from townwatch.policy.shell.parser import parse
from townwatch.policy.shell.syntax import Node, Pipeline, Script, Simple, Text, Word
from townwatch.policy.village import LayeredRule, PolicyRequest, decide_request

Answer = Literal["allow", "deny"]
MAX_PARTS = 10
MAX_WORDS = 900
"""Characters of a rule's words; a rule may have 1000."""


class NoRule(ValueError):
    """No rule can be made of it; the message says why."""


def propose(
    effect: Answer, request: PolicyRequest, existing: Sequence[PolicyRule], variables: Iterable[str]
) -> list[PolicyRule]:
    """Return rules that answer this question, and nothing else that can be told apart from it. Raises `NoRule`.

    They are tried before they are returned: with them beside the existing ones the answer is `effect`.
    """
    variables = tuple(variables)
    made = [attrs.evolve(one, house=request.house) for one in _narrow(effect, request, existing, variables)]
    rules = _named(made, {one.id for one in existing})
    found = decide_request([LayeredRule(rule=one) for one in (*existing, *rules)], request, variables)
    if not rules or found.verdict != effect:
        raise NoRule(f"no rule for just this can {effect} it: {found.reason}")
    return rules


def _narrow(
    effect: Answer, request: PolicyRequest, existing: Sequence[PolicyRule], variables: tuple[str, ...]
) -> list[PolicyRule]:
    if request.command is not None:
        return [PolicyRule(id="x", effect=effect, command=one) for one in _lines(effect, request, existing, variables)]
    base = PolicyRule(id="x", effect=effect, category=request.category, tool=request.tool)
    if request.paths:
        return [attrs.evolve(base, path=_path(one, request.place)) for one in dict.fromkeys(request.paths)]
    if "" in request.hosts:
        raise NoRule("the host cannot be told from the address: a rule would be about every one")
    if request.hosts:
        return [attrs.evolve(base, host=_plain(one, "host")) for one in dict.fromkeys(request.hosts)]
    if request.category in ("edit", "network", "question", "plan", "other"):
        raise NoRule(f"the question names no file, host or command: a rule would be about every {request.category}")
    return [base]


def _lines(
    effect: Answer, request: PolicyRequest, existing: Sequence[PolicyRule], variables: tuple[str, ...]
) -> list[str]:
    """Return the words of the rules: one for each command of the line that the existing rules do not allow."""
    parsed = parse(request.command or "")
    if parsed.fault is not None:
        raise NoRule(f"the command line cannot be parsed: {parsed.fault}")
    lines = list(dict.fromkeys(_words(one) for one in _simples(parsed.script)))
    if effect == "deny" and len(lines) > 1:
        raise NoRule("it is a line of several commands: write a rule for the one that is not to run")
    rules = [LayeredRule(rule=one) for one in existing]
    needed = [
        one
        for one in lines
        if effect == "deny" or decide_request(rules, attrs.evolve(request, command=one), variables).verdict != "allow"
    ]
    if len(needed) > MAX_PARTS:
        raise NoRule(f"it is a line of {len(needed)} commands that no rule names: at most {MAX_PARTS} become rules")
    return needed


def _simples(script: Script) -> Iterator[Simple]:
    for _, node in script.items:
        yield from _of_node(node)


def _of_node(node: Node) -> Iterator[Simple]:
    if isinstance(node, Simple):
        yield node
    elif isinstance(node, Pipeline):
        for member in node.members:
            yield from _of_node(member)
    else:
        raise NoRule(f"it is no plain command line ({node.kind}): what runs in it is not known beforehand")


def _words(command: Simple) -> str:
    if command.assignments or command.redirects:
        what = "sets a variable" if command.assignments else "redirects to or from a file"
        raise NoRule(f"a command in it {what}: a rule for its words alone does not cover that")
    text = " ".join(shlex.quote(_plain(_text(word), "word")) for word in command.words)
    if len(text) > MAX_WORDS:
        raise NoRule("the command is too long for a rule")
    return text


def _text(word: Word) -> str:
    if not all(isinstance(part, Text) for part in word):
        raise NoRule("a word in it is made by the shell when it runs, so a rule cannot name it")
    return "".join(part.text for part in word if isinstance(part, Text))


def _plain(text: str, what: str) -> str:
    if "*" in text or not text.isprintable():
        raise NoRule(f"the {what} {text[:80]!r} has a star or an odd character, and in a rule a star means more")
    return text


def _path(path: str, place: Place) -> str:
    full = place.absolute(path, place.directory)
    inside = place.root != "/" and full.startswith(place.root.rstrip("/") + "/")
    shown = posixpath.relpath(full, place.root) if inside else full
    if re.search(r"[*?\[\]{}]", shown):
        raise NoRule(f"the path {shown[:80]!r} has characters that are a pattern in a rule")
    return shown


def _named(rules: Sequence[PolicyRule], taken: set[str]) -> list[PolicyRule]:
    """Give each an id that says what it is about, and that no other rule has."""
    found: list[PolicyRule] = []
    for rule in rules:
        about = rule.command or rule.path or rule.host or rule.category or "rule"
        slug = re.sub(r"[^A-Za-z0-9_.]+", "-", f"{rule.effect} {about}").strip("-.")[:60] or rule.effect
        name, number = slug, 2
        while name in taken:
            name, number = f"{slug}-{number}", number + 1
        taken = taken | {name}
        found.append(attrs.evolve(rule, id=name))
    return found
