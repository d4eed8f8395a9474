"""Commands of a command line: lists, pipelines, compound commands, redirections, here-documents."""

import re

import attrs

from townwatch.policy.shell.compounds import CompoundReader
from townwatch.policy.shell.lines import HereDocument
from townwatch.policy.shell.syntax import (
    Assignment,
    Compound,
    Node,
    Part,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Text,
    Unparsable,
    Word,
)
from townwatch.policy.shell.words import MAX_DEPTH

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_SUBSCRIPTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_FUNCTION = re.compile(r"([^ \t\n|&;()<>'\"\\$`]+)[ \t]*\([ \t]*\)")
_DESCRIPTOR = re.compile(r"(\d+|\{[A-Za-z_][A-Za-z0-9_]*\})(?=[<>])")
_REDIRECT = re.compile(r"<<<|<<-|<<|<&|<>|<(?!\()|>>|>&|>\||>(?!\()|&>>|&>")
_MISPLACED = frozenset({"then", "do", "done", "fi", "else", "elif", "esac", "in", "}"})


@attrs.frozen
class Parsed:
    """The script of a text; with `fault` only the lines that a shell would run before it sees the fault."""

    script: Script
    fault: Unparsable | None = None


def parse(text: str, depth: int = 0) -> Parsed:
    """Parse a whole text. Never raises: what cannot be parsed is told as `fault`."""
    parser = ShellParser(text, depth)
    try:
        script = parser.script_until(frozenset())
        if parser.position < len(text):
            raise Unparsable(f"unexpected {parser.char()!r}")
        if parser.pending:
            raise Unparsable("a here-document without its end")
        return Parsed(script)
    except Unparsable as error:
        return Parsed(Script(tuple(parser.complete)), error)
    except RecursionError:
        return Parsed(Script(tuple(parser.complete)), Unparsable("nested too deeply", limit=True))


class ShellParser(CompoundReader):
    """Recursive descent over the text. Raises `Unparsable`."""

    def __init__(self, text: str, depth: int = 0, allowance: list[int] | None = None) -> None:
        super().__init__(text, depth, allowance)
        self.complete: list[tuple[str, Node]] = []
        self._level = 0

    def nested(self, text: str) -> Script:
        if self.depth >= MAX_DEPTH:
            raise Unparsable("nested too deeply", limit=True)
        inner = ShellParser(text, self.depth + 1, self.allowance)
        script = inner.script_until(frozenset())
        if inner.position < len(text) or inner.pending:
            raise Unparsable("a substitution that is incomplete")
        return script

    # -- lists

    def script_until(self, stops: frozenset[str]) -> Script:
        items: list[tuple[str, Node]] = []
        connector = ""
        outer, self.pending = self.pending, []
        top = self._level == 0 and not stops
        self._level += 1
        while True:
            self.spend()
            before = self.position
            self.newlines()
            if top and "\n" in self.text[before : self.position]:
                self.complete = list(items)
            if self.position >= len(self.text) or self._at_stop(stops):
                if connector in ("&&", "||"):
                    raise Unparsable(f"no command behind {connector}")
                break
            items.append((connector, self._pipeline()))
            self.blanks()
            found = self._separator()
            if found is None:
                break
            connector = found
            if connector == ";" and top and self.text[self.position - 1] == "\n":
                self.complete = list(items)
        if self.pending and stops:
            raise Unparsable("a here-document without its end")
        self.pending = outer + self.pending
        self._level -= 1
        return Script(tuple(items))

    def _at_stop(self, stops: frozenset[str]) -> bool:
        if not stops:
            return False
        if self.char() == ")":
            return ")" in stops
        if self.text.startswith(";;", self.position) or self.text.startswith(";&", self.position):
            return ";;" in stops
        return self.reserved() in stops

    def _separator(self) -> str | None:
        """Read what joins two commands; None where the list ends."""
        c = self.char()
        if c == "\n":
            self.newline()
            return ";"
        if c == ";":
            if self.char(1) in (";", "&"):
                return None
            self.position += 1
            return ";"
        if c in ("&", "|"):
            self.position += 1
            self.skip_continuations()
            if self.char() == c:
                self.position += 1
                return c + c
            if c == "&":
                return "&"
            raise Unparsable("unexpected |")
        return None

    def _pipeline(self) -> Node:
        timed = False
        while (word := self.reserved()) in ("!", "time"):
            self.position += len(word)
            timed = timed or word == "time"
            self.blanks()
            if word == "time":
                while (option := re.compile(r"-p(?=\s)|--(?=\s)").match(self.text, self.position)) is not None:
                    self.position = option.end()
                    self.blanks()
        if timed and (not self.char() or self.char() in "\n;&|)"):
            return Pipeline(())
        members = [self.command()]
        while True:
            self.blanks()
            if self.char() != "|":
                break
            mark = self.position
            self.position += 1
            self.skip_continuations()
            if self.char() == "|":
                self.position = mark
                break
            if self.char() == "&":
                self.position += 1
            self.newlines()
            members.append(self.command())
        return members[0] if len(members) == 1 else Pipeline(tuple(members))

    # -- commands

    def command(self) -> Node:
        """Read one command."""
        self.spend()
        if self.depth >= MAX_DEPTH:
            raise Unparsable("nested too deeply", limit=True)
        word, c = self.reserved(), self.char()
        if not c or c in "\n;&|)":
            raise Unparsable("a command is missing")
        if word in _MISPLACED:
            raise Unparsable(f"unexpected {word}")
        self.depth += 1
        try:
            found = self.compound(word)
            if found is None and (match := _FUNCTION.match(self.text, self.position)) is not None:
                self.position = match.end()
                self.newlines()
                found = Compound("function", (Script((("", self.command()),)),), name=match.group(1))
            if found is None:
                return self._simple()
        finally:
            self.depth -= 1
        redirects: list[Redirect] = []
        while True:
            self.blanks()
            redirect = self._redirect()
            if redirect is None:
                break
            redirects.append(redirect)
        c = self.char()
        if c and c not in "\n;&|)" and not self.reserved():
            raise Unparsable(f"unexpected {c!r} behind a compound command")
        return attrs.evolve(found, redirects=tuple(redirects)) if redirects else found

    # -- simple commands

    def _simple(self) -> Simple:
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self.spend()
            self.blanks()
            c = self.char()
            redirect = self._redirect()
            if redirect is not None:
                redirects.append(redirect)
            elif not c or c in "\n;&|)":
                break
            elif c == "(":
                raise Unparsable("unexpected parenthesis")
            elif not words and (match := _ASSIGNMENT.match(self.text, self.position)) is not None:
                assignments.append(self._assignment(match))
            else:
                subscripted = not words and _SUBSCRIPTED.match(self.text, self.position) is not None
                word = self.word()
                if subscripted and any(isinstance(part, Text) and "=" in part.text for part in word):
                    assignments.append(Assignment("", word, plain=False))
                else:
                    words.append(word)
        if not assignments and not words and not redirects:
            raise Unparsable("a command is missing")
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _assignment(self, match: re.Match[str]) -> Assignment:
        self.position = match.end()
        if self.char() != "(":
            return Assignment(match.group(1), self.word(), plain=not match.group(2))
        self.position += 1
        parts: list[Part] = []
        while True:
            self.newlines()
            if self.char() == ")":
                self.position += 1
                return Assignment(match.group(1), tuple(parts), plain=False)
            word = self.word()
            if not word:
                raise Unparsable("an array that is not closed")
            parts += word

    def _redirect(self) -> Redirect | None:
        descriptor = _DESCRIPTOR.match(self.text, self.position)
        start = descriptor.end() if descriptor else self.position
        match = _REDIRECT.match(self.text, start)
        if match is None:
            return None
        operator = match.group()
        self.position = match.end()
        self._blanks_in_line()
        if operator in ("<<", "<<-"):
            return self._here_document(operator)
        word = self.word()
        if not word:
            raise Unparsable("a redirection without a file")
        return Redirect(operator, word, bool(descriptor and descriptor.group(1).startswith("{")))

    def _blanks_in_line(self) -> None:
        while self.char() in (" ", "\t") or self.text.startswith("\\\n", self.position):
            self.position += 2 if self.char() == "\\" else 1

    def _here_document(self, operator: str) -> Redirect:
        start = self.position
        word = self.word()
        if not word or not all(isinstance(part, Text) for part in word):
            raise Unparsable("a here-document whose delimiter is not literal")
        delimiter = "".join(part.text for part in word if isinstance(part, Text))
        literal = any(c in "'\"\\" for c in self.text[start : self.position])
        if "\n" in delimiter:
            raise Unparsable("a here-document whose delimiter has several lines")
        redirect = Redirect(operator, ())
        self.pending.append(HereDocument(redirect, delimiter, literal, operator == "<<-"))
        return redirect
