"""Words to what they become: braces, tilde, known variables, arithmetic on numbers, quote removal. Pure.

What is not known stays in an `Argument` as a private character: `UNKNOWN` for any text, the others for patterns.
"""

import ast
import itertools
import re
from collections.abc import Iterator

import attrs

from townwatch.policy.shell.syntax import (
    Arithmetic,
    Parameter,
    Part,
    ProcessSubstitution,
    Script,
    Substitution,
    Text,
    Word,
)

UNKNOWN, STAR, ANY, SET, NUMBER = "\ue000", "\ue001", "\ue002", "\ue003", "\ue005"
PRIVATE = re.compile("[\ue000-\ue005]")
MAX_WORDS = 512
"""Words that braces of one word may become."""
_SEQUENCE = re.compile(r"(-?\d{1,18}|[A-Za-z])\.\.(-?\d{1,18}|[A-Za-z])(?:\.\.(-?\d{1,18}))?")
_NUMBERS = re.compile(r"(?:\s|\d+#[0-9a-zA-Z]+|0[xX][0-9a-fA-F]+|\d+|[-+*/%()<>=!&|^~?:,])*")
_HARMLESS = frozenset("?#$!")
"""Special parameters that are always numbers."""


@attrs.frozen
class Argument:
    """One word that a program gets. `splits`: an unknown part may become several words, or none."""

    text: str
    splits: bool = False
    quoted: bool = False

    @property
    def known(self) -> bool:
        """True where the text is exactly what the program gets."""
        return self.text.isascii() or PRIVATE.search(self.text) is None

    @property
    def may_be_option(self) -> bool:
        """True for a word that is not known and may begin with a hyphen."""
        if self.known:
            return False
        return self.splits or self.text[0] in "\ue000\ue001\ue002\ue003-"

    def plain(self) -> str:
        """Return the text as a person would write it."""
        for private, shown in ((UNKNOWN, "…"), (NUMBER, "0"), (STAR, "*"), (ANY, "?"), (SET, "[…]")):
            self_text = self.text.replace(private, shown)
            self = Argument(self_text, self.splits, self.quoted)
        return self.text


@attrs.define
class Variables:
    """Variables of the shell, as far as they are known; None is a value that is not known."""

    values: dict[str, str | None] = attrs.field(factory=dict)
    home: str = "/home/dev"
    user: str = "dev"

    def get(self, name: str, directory: str | None) -> str | None:
        """Return the value of a variable, or None where it is not known."""
        if name in self.values:
            return self.values[name]
        known = {"HOME": self.home, "PWD": directory, "USER": self.user, "LOGNAME": self.user, "IFS": " \t\n"}
        return known.get(name)


def scripts_in(word: Word) -> Iterator[Script]:
    """Yield the scripts that the expansion of a word runs."""
    for part in word:
        if isinstance(part, Substitution | ProcessSubstitution):
            yield part.script
        elif isinstance(part, Arithmetic):
            yield from scripts_in(part.parts)
        elif isinstance(part, Parameter):
            yield from scripts_in(part.argument)
            yield from scripts_in(part.subscript or ())


def hazards_in(word: Word) -> Iterator[str]:
    """Yield why the expansion of a word does more than give text."""
    for part in word:
        if isinstance(part, Arithmetic):
            if not is_numeric(part.parts):
                yield "arithmetic on a value that is not known: it is evaluated again"
        elif isinstance(part, Parameter):
            yield from _hazards_of(part)


def _hazards_of(part: Parameter) -> Iterator[str]:
    if part.prefix == "!" and not (part.operator in ("*", "@") and not part.argument[1:]):
        yield "an indirect expansion"
    if part.operator.startswith("@") and not part.prefix:
        yield "a transformation that may be evaluated"
    if part.operator.startswith((":=", "=")):
        yield "an expansion that sets a variable"
    if part.operator.startswith(":") and part.operator[1:2] not in ("-", "+", "?", "="):
        bounds = "".join(one.text for one in part.argument if isinstance(one, Text))
        if len(part.argument) != 1 or re.fullmatch(r":[\s\d:-]*", bounds) is None:
            yield "arithmetic on a value that is not known: it is evaluated again"
    if part.subscript is not None:
        text = "".join(one.text if isinstance(one, Text) else "?" for one in part.subscript)
        if text not in ("@", "*") and not is_numeric(part.subscript):
            yield "a subscript that is evaluated"
    yield from hazards_in(part.argument)


def is_numeric(parts: Word) -> bool:
    """Return True for arithmetic on numbers only."""
    text = "".join(
        one.text if isinstance(one, Text) else "0" if isinstance(one, Parameter) and one.name in _HARMLESS else "x"
        for one in parts
    )
    return _NUMBERS.fullmatch(text) is not None


def evaluate(parts: Word) -> str | None:
    """Return the value of simple arithmetic on small numbers, or None."""
    text = "".join(one.text if isinstance(one, Text) else "x" for one in parts).strip()
    if re.fullmatch(r"[0-9 +*()-]{1,60}", text) is None:
        return None
    try:
        return str(_value(ast.parse(text, mode="eval").body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _value(left), _value(right)
            if abs(a) > 10**6 or abs(b) > 10**6:
                raise ValueError
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.Pow() if 0 <= b <= 16:
                    return int(a**b)
                case _:
                    raise ValueError
        case _:
            raise ValueError


class TooManyWords(Exception):
    """Braces become more words than are looked at."""


def expand(word: Word, variables: Variables, directory: str | None, *, split: bool = True) -> list[Argument]:
    """Return the arguments that a word becomes. Raises `TooManyWords`."""
    if len(word) == 1 and isinstance(word[0], Text):  # the common case
        text = word[0]
        if text.quoted:
            return [Argument(text.text, quoted=True)]
        if not any(c in "{~*?[" for c in text.text):
            return [Argument(text.text)]
    out: list[Argument] = []
    for one in _braces(word) if split else [word]:
        out += _Fields(variables, directory, split=split).expand(one)
    return out


# -- braces: a word as atoms, each an unquoted character or a part

_Atom = str | Part


def _braces(word: Word) -> list[Word]:
    if not any(isinstance(part, Text) and not part.quoted and "{" in part.text for part in word):
        return [word]
    atoms: list[_Atom] = []
    for part in word:
        if isinstance(part, Text) and not part.quoted:
            atoms += part.text
        else:
            atoms.append(part)
    return [_joined(one) for one in _expand_braces(atoms, [MAX_WORDS])]


def _joined(atoms: list[_Atom]) -> Word:
    parts: list[Part] = []
    run: list[str] = []
    for atom in [*atoms, None]:
        if isinstance(atom, str):
            run.append(atom)
            continue
        if run:
            parts.append(Text("".join(run)))
            run = []
        if atom is not None:
            parts.append(atom)
    return tuple(parts)


def _expand_braces(atoms: list[_Atom], left: list[int]) -> list[list[_Atom]]:
    left[0] -= 1
    if left[0] < 0 or len(atoms) > 4000:
        raise TooManyWords
    for start, atom in enumerate(atoms):
        if atom != "{":
            continue
        found = _choices(atoms, start)
        if found is None:
            continue
        choices, end = found
        tails = _expand_braces(atoms[end + 1 :], left)
        heads = [one for choice in choices for one in _expand_braces(choice, left)]
        if len(heads) * len(tails) > MAX_WORDS:
            raise TooManyWords
        return [atoms[:start] + head + tail for head in heads for tail in tails]
    return [atoms]


def _choices(atoms: list[_Atom], start: int) -> tuple[list[list[_Atom]], int] | None:
    """Return the choices of the brace at `start` and where it ends; None where it is literal."""
    depth, commas, end = 0, [start], None
    for index in range(start, len(atoms)):
        if atoms[index] == "{":
            depth += 1
        elif atoms[index] == "}":
            depth -= 1
            if depth == 0:
                end = index
                break
        elif atoms[index] == "," and depth == 1:
            commas.append(index)
    if end is None:
        return None
    if len(commas) > 1:
        bounds = [*commas, end]
        return [atoms[a + 1 : b] for a, b in itertools.pairwise(bounds)], end
    inner = atoms[start + 1 : end]
    if all(isinstance(one, str) for one in inner):
        match = _SEQUENCE.fullmatch("".join(one for one in inner if isinstance(one, str)))
        if match is not None:
            return [list(one) for one in _sequence(match)], end
    return None


def _sequence(match: re.Match[str]) -> list[str]:
    first, last, by = match.groups()
    step = abs(int(by or "1")) or 1
    numbers = re.fullmatch(r"-?\d+", first) is not None
    if numbers != (re.fullmatch(r"-?\d+", last) is not None):
        raise TooManyWords
    a, b = (int(first), int(last)) if numbers else (ord(first), ord(last))
    if abs(a - b) // step >= MAX_WORDS:
        raise TooManyWords
    values = range(a, b + 1, step) if a <= b else range(a, b - 1, -step)
    width = max(len(first), len(last)) if numbers and re.match(r"-?0\d", f"{first}") else 0
    return [f"{n:0{width}d}" if numbers else chr(n) for n in values]


class _Fields:
    """Collects the arguments that one word becomes."""

    def __init__(self, variables: Variables, directory: str | None, *, split: bool) -> None:
        self._variables, self._directory, self._split = variables, directory, split
        self._done: list[Argument] = []
        self._text, self._any, self._quoted, self._splits = "", False, False, False

    def expand(self, word: Word) -> list[Argument]:
        for index, part in enumerate(word):
            if isinstance(part, Text):
                if not self._literal(part, first=index == 0, last=index == len(word) - 1):
                    break
            else:
                self._expansion(part)
        self._end_field()
        return self._done

    def _end_field(self) -> None:
        if self._any:
            self._done.append(Argument(self._text, self._splits, self._quoted))
        self._text, self._any, self._quoted, self._splits = "", False, False, False

    def _literal(self, part: Text, *, first: bool, last: bool) -> bool:
        """Add literal text; False where the rest of the word cannot be told."""
        if part.quoted:
            self._text += part.text
            self._any = self._quoted = True
            return True
        text = part.text
        if first and (assigned := re.match(r"[A-Za-z_][A-Za-z0-9_]*=(?=~)", text)) is not None:
            self._text += assigned.group()  # bash expands the tilde of every word that looks like an assignment
            text = text[assigned.end() :]
        if first and text.startswith("~"):
            self._text += self._tilde(text, last)
            _, slash, rest = text.partition("/")
            text = slash + rest
            self._any = True
        if text:
            self._any = True
        for index, c in enumerate(text):
            if c == "[" and "]" not in text[index + 1 :] and not (first and last) and len(text) < 4000:
                self._text += UNKNOWN  # it may close in a later part
                self._splits = False
                return False
            if c == "[" and (end := text.find("]", index + 2)) > 0:
                rest = text[end + 1 :]
                self._text += SET
                return self._literal(Text(rest), first=False, last=last) if rest else True
            self._text += {"*": STAR, "?": ANY}.get(c, c)
        return True

    def _tilde(self, text: str, last: bool) -> str:
        name = text.partition("/")[0][1:]
        if "/" not in text and not last:  # a quoted part follows: no tilde-prefix
            return f"~{name}"
        if name in ("", self._variables.user):
            home = self._variables.get("HOME", self._directory) if not name else self._variables.home
            return UNKNOWN if home is None else home
        if name == "root":
            return "/root"
        if name == "+":
            return self._directory or UNKNOWN
        return UNKNOWN

    def _expansion(self, part: Part) -> None:
        quoted = getattr(part, "quoted", True)
        value = self._value(part)
        numeric = isinstance(part, Parameter) and (part.name in _HARMLESS or part.prefix == "#") and not part.argument
        if value is None and numeric:
            value = NUMBER
        if value is None:
            self._any = True
            self._quoted = self._quoted or quoted
            self._splits = self._splits or not quoted
            self._text += UNKNOWN
            return
        if quoted or not self._split:
            self._any = True
            self._quoted = self._quoted or quoted
            self._text += value
            return
        pieces = re.split(r"[ \t\n]+", value)
        for index, piece in enumerate(pieces):
            if index:
                self._end_field()
            if piece:
                self._any = True
                self._text += piece.translate({ord("*"): STAR, ord("?"): ANY, ord("["): UNKNOWN})

    def _value(self, part: Part) -> str | None:
        if isinstance(part, Arithmetic):
            return evaluate(part.parts)
        if isinstance(part, ProcessSubstitution):
            return "/dev/fd/63"
        if isinstance(part, Parameter) and not part.prefix and part.subscript is None:
            value = self._variables.get(part.name, self._directory)
            if not part.argument:
                return value
            if part.operator.startswith((":-", "-")) and value:
                return value
        return None
