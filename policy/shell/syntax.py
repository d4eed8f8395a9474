"""The tree of a parsed command line."""

from typing import TypeAlias

import attrs


class Unparsable(Exception):
    """The text is no complete command line, or a limit was reached (`limit`)."""

    def __init__(self, reason: str, *, limit: bool = False) -> None:
        super().__init__(reason)
        self.limit = limit


@attrs.frozen
class Text:
    """Literal characters; `quoted` ones are never patterns, braces or a tilde."""

    text: str
    quoted: bool = False


@attrs.frozen
class Parameter:
    """``$name`` or ``${name operator argument}``; `prefix` is ``#`` or ``!`` in front of the name."""

    name: str
    quoted: bool
    prefix: str = ""
    subscript: "Word | None" = None
    operator: str = ""
    argument: "Word" = ()


@attrs.frozen
class Substitution:
    """``$( )`` or backticks."""

    script: "Script"
    quoted: bool


@attrs.frozen
class Arithmetic:
    """``$(( ))``; `parts` are its text and what is expanded in it."""

    parts: "Word"
    quoted: bool


@attrs.frozen
class ProcessSubstitution:
    """``<( )`` or ``>( )``."""

    script: "Script"


Part: TypeAlias = Text | Parameter | Substitution | Arithmetic | ProcessSubstitution
Word: TypeAlias = tuple[Part, ...]


@attrs.define
class Redirect:
    """One redirection. For a here-document `word` is its body, set once the body was read."""

    operator: str
    word: Word
    variable: bool = False
    """``{name}>file``: the descriptor's number is stored in a variable."""


@attrs.frozen
class Assignment:
    """``name=value``; `plain` is False for arrays, subscripts and ``+=``."""

    name: str
    value: Word
    plain: bool = True


@attrs.frozen
class Simple:
    """A simple command."""

    assignments: tuple[Assignment, ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@attrs.frozen
class Pipeline:
    """Commands joined by ``|``."""

    members: "tuple[Node, ...]"


@attrs.frozen
class Compound:
    """Every other command: `kind` names it, `bodies` are its scripts in their order, `words` its words."""

    kind: str
    bodies: "tuple[Script, ...]" = ()
    words: tuple[Word, ...] = ()
    name: str = ""
    redirects: tuple[Redirect, ...] = ()


@attrs.frozen
class Script:
    """Commands with the operator in front of each: ``""``, ``;``, ``&``, ``&&`` or ``||``."""

    items: "tuple[tuple[str, Node], ...]"


Node: TypeAlias = Simple | Pipeline | Compound
