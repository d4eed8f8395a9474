"""Words of a command line: quotes, escapes, expansions. The part of the parser below commands."""

import re
from collections.abc import Callable

from townwatch.policy.shell.syntax import (
    Arithmetic,
    Parameter,
    Part,
    ProcessSubstitution,
    Script,
    Substitution,
    Text,
    Unparsable,
    Word,
)

MAX_DEPTH = 70
"""Nested substitutions and groups; deeper ones are not parsed."""
_PLAIN = re.compile(r"[^ \t\n|&;()<>'\"\\$`]+")
_PLAIN_DOUBLE = re.compile(r"[^\"\\$`]+")
_PLAIN_ARGUMENT = re.compile(r"[^}'\"\\$`]+")
_PLAIN_ARITHMETIC = re.compile(r"[^()'\"\\$`\]]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPE = re.compile(
    r"x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|c([\x20-\x7e])|(.)", re.S
)
_LETTERS = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SPECIAL = "@*#?-$!0123456789"


class WordReader:
    """Reads words at `position`. The parser of commands is derived from it."""

    def __init__(self, text: str, depth: int = 0, allowance: list[int] | None = None) -> None:
        self.text = text
        self.depth: int = depth
        self.position: int = 0
        self.allowance = [4000 + 40 * len(text)] if allowance is None else allowance
        """Steps left for this text and everything in it: the work is bounded whatever the text is."""

    # -- the part of the parser that is above words

    def script_until(self, stops: frozenset[str]) -> Script:
        """Parse commands up to a stop. Implemented by the parser of commands."""
        raise NotImplementedError

    def nested(self, text: str) -> Script:
        """Parse a text of its own, one level deeper. Implemented by the parser of commands."""
        raise NotImplementedError

    # -- small steps

    def spend(self) -> None:
        """Count a step. Raises `Unparsable` once the allowance is used up."""
        self.allowance[0] -= 1
        if self.allowance[0] < 0:
            raise Unparsable("too much work for its length", limit=True)

    def skip_continuations(self) -> None:
        """Skip backslash and newline, which vanish everywhere but in single quotes, comments and literal bodies."""
        while self.text.startswith("\\\n", self.position):
            self.position += 2

    def char(self, ahead: int = 0) -> str:
        """Return the character at the position, or "" at the end."""
        at = self.position + ahead
        return self.text[at] if at < len(self.text) else ""

    def deeper(self, step: Callable[[], Script]) -> Script:
        """Run a step one level deeper. Raises `Unparsable` below the deepest level."""
        if self.depth >= MAX_DEPTH:
            raise Unparsable("nested too deeply", limit=True)
        self.depth += 1
        try:
            return step()
        finally:
            self.depth -= 1

    # -- words

    def word(self) -> Word:
        """Read one word; an empty tuple where none begins."""
        parts: list[Part] = []
        while (c := self.char()) and (c not in " \t\n|&;()" or self._process(c)):
            self.spend()
            if c in "<>":
                if not self._process(c):
                    break
                self.position += 2
                parts.append(ProcessSubstitution(self.deeper(self._closed_script)))
            elif c == "'":
                parts.append(self._single())
            elif c == '"':
                self.position += 1
                parts += self._double()
            elif c == "\\":
                self._backslash(parts)
            elif c == "$":
                parts += self.dollar(quoted=False)
            elif c == "`":
                parts.append(self._backtick(quoted=False))
            else:
                match = _PLAIN.match(self.text, self.position)
                assert match is not None
                parts.append(Text(match.group()))
                self.position = match.end()
        return tuple(parts)

    def _process(self, c: str) -> bool:
        return c in "<>" and self.char(1) == "("

    def _backslash(self, parts: list[Part]) -> None:
        following = self.char(1)
        if following != "\n":
            parts.append(Text(following or "\\", quoted=True))
        self.position += 2

    def _single(self) -> Text:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise Unparsable("a single quote is not closed")
        found = Text(self.text[self.position + 1 : end], quoted=True)
        self.position = end + 1
        return found

    def _double(self) -> list[Part]:
        """Read up to the closing double quote; the opening one was read."""
        parts: list[Part] = [Text("", quoted=True)]
        while (c := self.char()) != '"':
            self.spend()
            if not c:
                raise Unparsable("a double quote is not closed")
            parts += self._double_part(c)
        self.position += 1
        return parts

    def _double_part(self, c: str) -> list[Part]:
        if c == "\\":
            following = self.char(1)
            self.position += 2
            if following == "\n":
                return []
            return [Text(following if following in '$`"\\' and following else c + following, quoted=True)]
        if c == "$":
            return self.dollar(quoted=True)
        if c == "`":
            return [self._backtick(quoted=True)]
        match = _PLAIN_DOUBLE.match(self.text, self.position)
        if match is None:  # a double quote in a here-document
            self.position += 1
            return [Text(c, quoted=True)]
        self.position = match.end()
        return [Text(match.group(), quoted=True)]

    def body(self) -> Word:
        """Read the whole text as the body of a here-document whose delimiter is not quoted."""
        parts: list[Part] = [Text("", quoted=True)]
        while c := self.char():
            self.spend()
            if c == "\\" and self.char(1) == '"':
                parts.append(Text('\\"', quoted=True))
                self.position += 2
            else:
                parts += self._double_part(c)
        return tuple(parts)

    # -- expansions

    def dollar(self, *, quoted: bool) -> list[Part]:
        """Read what begins with a dollar sign."""
        self.position += 1
        self.skip_continuations()
        c = self.char()
        if not quoted and c == "'":
            return [self._ansi_c()]
        if not quoted and c == '"':
            self.position += 1
            return self._double()
        if c == "(":
            return [self._parenthesis(quoted)]
        if c == "[":
            self.position += 1
            return [Arithmetic(self._arithmetic("]"), quoted)]
        if c == "{":
            self.position += 1
            return [self._braced(quoted)]
        match = _NAME.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
            return [Parameter(match.group(), quoted)]
        if c and c in _SPECIAL:
            self.position += 1
            return [Parameter(c, quoted)]
        return [Text("$", quoted=True)]

    def _ansi_c(self) -> Text:
        out: list[str] = []
        self.position += 1
        while (c := self.char()) != "'":
            if not c:
                raise Unparsable("a quote $'..' is not closed")
            self.position += 1
            if c != "\\":
                out.append(c)
                continue
            match = _ESCAPE.match(self.text, self.position)
            if match is None:
                raise Unparsable("a quote $'..' is not closed")
            self.position = match.end()
            out.append(_escaped(match))
        self.position += 1
        return Text("".join(out), quoted=True)

    def _parenthesis(self, quoted: bool) -> Part:
        self.position += 1
        self.skip_continuations()
        if self.char() == "(":
            start = self.position
            self.position += 1
            try:
                return Arithmetic(self._arithmetic("))"), quoted)
            except Unparsable as error:
                if error.limit:
                    raise
                self.position = start
        return Substitution(self.deeper(self._closed_script), quoted)

    def _closed_script(self) -> Script:
        found = self.script_until(frozenset({")"}))
        if self.char() != ")":
            raise Unparsable("a parenthesis is not closed")
        self.position += 1
        return found

    def _arithmetic(self, close: str) -> Word:
        """Read an arithmetic expression. Raises `Unparsable` where it is none (``$((a); b)`` is a substitution)."""
        parts: list[Part] = []
        depth = 0
        while True:
            self.spend()
            c = self.char()
            if not c:
                raise Unparsable("an arithmetic expression is not closed")
            if depth == 0 and self.text.startswith(close, self.position):
                self.position += len(close)
                return tuple(parts)
            if c in "()]":
                depth += {"(": 1, ")": -1, "]": 0}[c]
                if depth < 0:
                    raise Unparsable("a parenthesis too many in an arithmetic expression")
                parts.append(Text(c))
                self.position += 1
            elif c == "'":
                parts.append(self._single())
            elif c == '"':
                self.position += 1
                parts += self._double()
            elif c == "\\":
                self._backslash(parts)
            elif c == "$":
                parts += self.deeper_parts(quoted=True)
            elif c == "`":
                parts.append(self._backtick(quoted=True))
            else:
                match = _PLAIN_ARITHMETIC.match(self.text, self.position)
                assert match is not None
                parts.append(Text(match.group()))
                self.position = match.end()

    def deeper_parts(self, *, quoted: bool) -> list[Part]:
        """Read a nested expansion one level deeper. Raises `Unparsable` below the deepest level."""
        if self.depth >= MAX_DEPTH:
            raise Unparsable("nested too deeply", limit=True)
        self.depth += 1
        try:
            return self.dollar(quoted=quoted)
        finally:
            self.depth -= 1

    def _backtick(self, *, quoted: bool) -> Substitution:
        out: list[str] = []
        self.position += 1
        while (c := self.char()) != "`":
            if not c:
                raise Unparsable("a backtick is not closed")
            following = self.char(1)
            if c == "\\" and following and following in ('`\\$"' if quoted else "`\\$"):
                out.append(following)
                self.position += 2
            elif c == "\\":
                out.append(c + following)
                self.position += 2
            else:
                out.append(c)
                self.position += 1
        self.position += 1
        return Substitution(self.nested("".join(out)), quoted)

    def _braced(self, quoted: bool) -> Parameter:
        prefix = ""
        self.skip_continuations()
        if self.char() in ("#", "!") and self.char(1) not in ("}", ":", "-", "+", "=", "?", "%", "/", ""):
            prefix = self.char()
            self.position += 1
        self.skip_continuations()
        match = _NAME.match(self.text, self.position)
        if match is not None:
            name = match.group()
        elif (c := self.char()) and c in _SPECIAL:
            digits = re.compile(r"[0-9]+").match(self.text, self.position)
            name = digits.group() if digits else c
        else:
            raise Unparsable("a parameter expansion without a name")
        self.position += len(name)
        self.skip_continuations()
        subscript: Word | None = None
        if self.char() == "[":
            self.position += 1
            subscript = self._arithmetic("]")
        start = self.position
        argument = self._argument(quoted)
        return Parameter(name, quoted, prefix, subscript, self.text[start : start + 2].rstrip("}"), argument)

    def _argument(self, quoted: bool) -> Word:
        """Read the rest of ``${..}`` and its closing brace."""
        parts: list[Part] = []
        while (c := self.char()) != "}":
            self.spend()
            if not c:
                raise Unparsable("a brace of a parameter expansion is not closed")
            if c == "'":
                if quoted:  # what it means depends on the operator: do not guess
                    raise Unparsable("a single quote in a parameter expansion in double quotes")
                parts.append(self._single())
            elif c == '"':
                self.position += 1
                parts += self._double()
            elif c == "\\":
                self._backslash(parts)
            elif c == "$":
                parts += self.deeper_parts(quoted=quoted)
            elif c == "`":
                parts.append(self._backtick(quoted=quoted))
            else:
                match = _PLAIN_ARGUMENT.match(self.text, self.position)
                assert match is not None
                parts.append(Text(match.group(), quoted))
                self.position = match.end()
        self.position += 1
        return tuple(parts)


def _escaped(match: re.Match[str]) -> str:
    hexadecimal, short, long, octal, control, other = match.groups()
    if hexadecimal or short or long:
        code = int(hexadecimal or short or long, 16)
    elif octal:
        code = int(octal, 8) & 0xFF
    elif control:
        code = ord(control) & 0x1F
    else:
        return _LETTERS.get(other, other if other in "\\'\"?" else f"\\{other}")
    if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000 or ((hexadecimal or octal) and code > 0x7F):
        raise Unparsable("an escape that is no character")
    return chr(code)
