"""Rules that can never match, found where they are written: the part that cannot be met, why, and what to write. Pure.

A rule is compared with what it spells itself: a command, a path or a host that is written as the rule has it, with
something in place of each star. A rule that does not meet that meets nothing.
"""

import ipaddress
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import get_args

import attrs

from townwatch.contracts.events import Category
from townwatch.contracts.landing import BY_PERSON
from townwatch.contracts.policy import START, PolicyRule
from townwatch.policy.commands.findings import CommandPolicy
from townwatch.policy.commands.hosts import host_matches, normal_host
from townwatch.policy.commands.matching import compile_rule
from townwatch.policy.commands.paths import Place, matches
from townwatch.policy.rules import decide_command

PROVIDERS = ("codex", "claude_code", "gemini_cli", "omnara", "opencode", "qwen_code", "copilot", "acp", "command")
"""Agents that a rule's `provider` can name."""
CATEGORIES = (*get_args(Category), START)
HOUSES = ("github:", "gitlab:", "bitbucket:", "/")
"""Beginnings of a house's name."""
_PLACE = Place(root="/work/app", directory="/work/app", home="/home/dev", user="dev")
_FILLINGS = ("", "x", "/x", "x y", "-x", "x=y")
"""Words in place of a star at the end."""
_WILD = re.compile(r"[*?\[]")
_JOINED = re.compile(r"&&|\|\||[;|&\n]")
_SUBSTITUTED = re.compile(r"\$\(|`|<\(|>\(")
_REDIRECTED = re.compile(r"(?:^|\s)(?:\d*|&)(?:>>?|<<?<?)(?:&\d|\S*)")
_SHELL_WORDS = frozenset("! { ( if then elif else while until for select case do function time coproc [[ ((".split())
_ASSIGNED = re.compile(r"^\s*[A-Za-z_][A-Za-z0-9_]*=\S*\s+\S")


@attrs.frozen
class NeverMatches:
    """A rule that can never match. `field`: the part of it; `instead`: what to write."""

    rule: str
    field: str
    why: str
    instead: str

    @property
    def line(self) -> str:
        """Say it in one line."""
        return f"the rule {self.rule} can never match: its {self.field} {self.why}; {self.instead}"


def never_matching(rules: Iterable[PolicyRule]) -> list[NeverMatches]:
    """Return what is wrong with rules that can never match: of each rule the first part."""
    found: list[NeverMatches] = []
    for rule in rules:
        if (wrong := next(_wrong(rule), None)) is not None:
            found.append(NeverMatches(rule.id, *wrong))
    return found


def _wrong(rule: PolicyRule) -> Iterator[tuple[str, str, str]]:
    """Yield (field, why, what to write instead)."""
    if rule.command is not None and (wrong := _command(rule.command)) is not None:
        yield "command", *wrong
    for field, pattern in (("path", rule.path), ("touches", rule.touches)):
        if pattern is not None:
            yield from _path(field, pattern)
    if rule.host is not None and not any(host_matches(rule.host, one) for one in _hosts(rule.host)):
        yield "host", f"{rule.host!r} is no host that a program talks to", "write a name, *.example.com, or a network"
    yield from _names(rule)


def _names(rule: PolicyRule) -> Iterator[tuple[str, str, str]]:
    if rule.provider is not None and not any(fnmatchcase(one, rule.provider) for one in PROVIDERS):
        near = [one for one in PROVIDERS if rule.provider.lower()[:4] in one] or list(PROVIDERS)
        yield "provider", f"{rule.provider!r} is no agent that is known here", f"write {' or '.join(near[:9])}"
    if rule.category is not None and not any(fnmatchcase(one, rule.category) for one in CATEGORIES):
        yield "category", f"{rule.category!r} is none that a question has", f"write one of {', '.join(CATEGORIES)}"
    if rule.category == "budget":
        yield "category", "budget is answered by people alone", "set the village's budget, or leave the rule out"
    if rule.house is not None and not _begins(rule.house, HOUSES):
        yield (
            "house",
            f"{rule.house!r} is not how a repository is named",
            "write github:OWNER/NAME, gitlab:OWNER/NAME, bitbucket:OWNER/NAME, or the path of its directory from /",
        )
    if rule.branch is not None:
        if rule.branch.startswith(("refs/heads/", "heads/")):
            yield "branch", "begins with what git puts before a name", f"write {rule.branch.split('heads/', 1)[1]}"
        elif re.search(r"[\s~^:\\]|\.\.|@\{", rule.branch):
            yield "branch", f"{rule.branch!r} is no name that a branch can have", "write it as git branch shows it"
    if rule.tool == BY_PERSON and rule.command is not None and not _by_person(rule.command):
        yield "tool", "person is of git and pull requests by hand", "leave tool out, or name git, gh or glab"
    if rule.tool == BY_PERSON and (rule.path is not None or rule.host is not None) and rule.effect == "allow":
        yield "tool", "person is of commands", "name a command instead of a path or a host"
    for field in ("tool", "category", "agent", "provider", "house", "branch", "person", "command", "path", "touches"):
        value = getattr(rule, field)
        if value is not None and not value.strip():
            yield field, "is blank", "leave it out, or write * for any"


def _by_person(command: str) -> bool:
    first = command.split()[0] if command.split() else ""
    return any(fnmatchcase(one, first) for one in ("git", "gh", "glab"))


def _begins(pattern: str, beginnings: Sequence[str]) -> bool:
    """Return True where a pattern can be of a text that begins with one of these."""
    fixed = _WILD.split(pattern, maxsplit=1)[0]
    return any(one.startswith(fixed) or fixed.startswith(one) for one in beginnings)


# --- commands -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _command(text: str) -> tuple[str, str] | None:
    """Return why no command is of this pattern, and what to write; None where one is."""
    if any(_meets(text, one) for one in _spelled(text)):
        return None
    plain = text.strip().removesuffix("*").strip()
    if _SUBSTITUTED.search(plain):
        why, instead = "has a substitution, whose commands are compared each for itself", "make a rule for each command"
    elif _JOINED.search(plain):
        parts = [one.strip() for one in _JOINED.split(_REDIRECTED.sub(" ", text)) if one.strip() not in ("", "*")]
        named = ", ".join(f"{one!r}" for one in parts[:4])
        why, instead = "joins commands, each of which is compared for itself", f"make a rule for each: {named}"
    elif _REDIRECTED.search(plain):
        kept = _REDIRECTED.sub(" ", plain)
        words = " ".join(kept.split())
        why = "has a redirection, which is no word of a command"
        instead = f"write {f'{words} *'!r}, and a rule with path for the file"
    elif _ASSIGNED.match(text):
        words = re.sub(r"^(?:\s*[A-Za-z_][A-Za-z0-9_]*=\S*)+\s+", "", text)
        why, instead = "begins with a variable, which is no word of the command", f"write {words!r}"
    elif (first := text.split(maxsplit=1)[:1]) and first[0] in _SHELL_WORDS:
        why, instead = "begins with a word of the shell itself", "write the command that comes behind it"
    else:
        why = "names no command that a shell would run"
        instead = "write the words as the program gets them: git push *"
    return f"{text!r} {why}", instead


def _spelled(text: str) -> Iterator[str]:
    """Yield command lines that are written as the rule is."""
    star = text.split()[-1:] == ["*"]
    body = text.rstrip()[:-1].rstrip() if star else text
    body = body.replace("*", "x")
    for filling in _FILLINGS if star else ("",):
        line = f"{body} {filling}".strip()
        yield line or "x"


def _meets(text: str, line: str) -> bool:
    """Return True where the rule, as a denial, denies the line."""
    policy = CommandPolicy(place=_PLACE, rules=(compile_rule("deny", text, _PLACE, "rule"),))
    found = decide_command(policy, line)
    return found.verdict == "deny" and found.rule == "rule"


# --- files and hosts ----------------------------------------------------------------------------------------------


def _path(field: str, pattern: str) -> Iterator[tuple[str, str, str]]:
    full = _PLACE.pattern(pattern)
    shown = pattern.replace("**/", "a/").replace("**", "a").replace("*", "a").replace("?", "a")
    if not pattern.strip():
        return
    if shown.startswith("~"):
        shown = f"{_PLACE.home}{shown[1:]}"
    if not any(matches(full, _PLACE.absolute(one, _PLACE.root)) for one in (shown, shown.rstrip("/") or "/")):
        better = posixpath.normpath(pattern)
        better = f"{better}/**" if pattern.endswith("/") else better
        yield field, f"{pattern!r} is of no file as paths are compared, from /, without . and ..", f"write {better!r}"
    elif field == "touches" and not pattern.startswith(("/", "**", "~", "$")) and not _PLACE.inside(full):
        yield (
            field,
            f"{pattern!r} is outside of the workspace, and a session's changes are inside",
            "write it relative to the top of the repository: migrations/**",
        )


def _hosts(pattern: str) -> Iterator[str]:
    """Yield hosts that are written as the pattern is."""
    if pattern.startswith("*."):
        yield f"a.{normal_host(pattern[2:]) or ''}"
    with suppress(ValueError):
        yield str(ipaddress.ip_network(pattern, strict=False).network_address)
    yield normal_host(pattern) or ""
