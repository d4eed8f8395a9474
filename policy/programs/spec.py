"""The form of the tables: one line a program, and what a line means.

``NAME: TRAITS OPTIONS``. An option is its names joined by commas, with ``=`` where it takes a value (``=t`` a text,
``=w`` a file that is written, ``=r`` a directory that is read), ``?`` where the value is optional and glued, and a ``!``
in front where it leaves the program's usual purpose: runs another program, loads code or configuration, writes a file.
Options that the line does not name are not known, and not covered by ``*``. Traits:

``:plain`` no option or operand leaves the purpose (unknown words are harmless) · ``:any`` options that are not named are
fine · ``:sub`` the first operand is a sub-command with a line of its own · ``:own`` sub-commands without a line are fine ·
``:first`` option parsing ends at the first operand · ``:single`` long options have one hyphen · ``:text`` the first
operand is a text · ``:writes`` operands are written · ``:target`` the last operand is written · ``:tree`` operands are
read recursively · ``:rest`` the words behind ``--`` are another program's and fine · ``:ask`` never covered by ``*``
"""

from functools import cache

import attrs

from townwatch.policy.programs import building, files, git, languages, networking, system, text

TABLES = (text.TABLE, files.TABLE, git.TABLE, building.TABLE, languages.TABLE, networking.TABLE, system.TABLE)


@attrs.frozen
class OptionSpec:
    """One option. `value`: "" none, "=" required, "?" optional; `kind`: "t" text, "w" written, "r" read as a tree."""

    names: tuple[str, ...]
    value: str = ""
    kind: str = ""
    escape: bool = False


@attrs.frozen
class Spec:
    """One line of a table."""

    name: str
    traits: frozenset[str]
    options: dict[str, OptionSpec]


@cache
def _lines() -> dict[str, str]:
    found: dict[str, str] = {}
    for table in TABLES:
        for line in table.strip().splitlines():
            names, _, rest = line.partition(": ")
            for name in names.split("|"):
                found[name.strip()] = rest
    return found


@cache
def spec_of(name: str) -> Spec | None:
    """Return what is known of a program, or of a sub-command (``git diff``)."""
    line = _lines().get(name)
    if line is None:
        return None
    traits: set[str] = set()
    options: dict[str, OptionSpec] = {}
    words = line.split()
    while words:
        word = words.pop(0)
        if word.startswith(":"):
            traits.add(word)
        elif word.startswith("@"):  # the options of another line, too
            other = spec_of(word[1:].replace("_", " "))
            assert other is not None, word
            options.update(other.options)
        else:
            option = parse_option(word)
            options.update(dict.fromkeys(option.names, option))
    return Spec(name, frozenset(traits), options)


def parse_option(word: str) -> OptionSpec:
    escape = word.startswith("!")
    body = word.removeprefix("!")
    kind = value = ""
    if body[-2:-1] in ("=", "?") and body[-1] in "twr":
        body, kind = body[:-1], body[-1]
    if body[-1] in "=?":
        body, value = body[:-1], body[-1]
    return OptionSpec(tuple(body.split(",")), value, kind, escape)


def is_program(name: str) -> bool:
    """Return True for a program that has a line."""
    return name in _lines()
