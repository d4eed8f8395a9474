"""Lines of a command line: blanks, comments, newlines, and the here-documents that begin behind them."""

import re

import attrs

from townwatch.policy.shell.syntax import Redirect, Text, Unparsable
from townwatch.policy.shell.words import WordReader

_RESERVED = re.compile(r"(?:\[\[|[{}!]|[a-z]+)(?=[ \t\n;&|()<>]|\\\n|$)")


@attrs.define
class HereDocument:
    """A here-document whose body follows behind the end of the line."""

    redirect: Redirect
    delimiter: str
    literal: bool
    strip: bool


class LineReader(WordReader):
    """Skips blanks and newlines, and reads the bodies of here-documents."""

    def __init__(self, text: str, depth: int = 0, allowance: list[int] | None = None) -> None:
        super().__init__(text, depth, allowance)
        self.pending: list[HereDocument] = []

    def blanks(self) -> None:
        """Skip blanks, continuations and a comment."""
        while True:
            c = self.char()
            if c in (" ", "\t"):
                self.position += 1
            elif c == "\\" and self.char(1) == "\n":
                self.position += 2
            elif c == "#":
                end = self.text.find("\n", self.position)
                self.position = len(self.text) if end < 0 else end
            else:
                return

    def newlines(self) -> None:
        """Skip blanks and newlines."""
        self.blanks()
        while self.char() == "\n":
            self.newline()
            self.blanks()

    def newline(self) -> None:
        """Take a newline, and the bodies of the here-documents that wait for it."""
        self.position += 1
        waiting, self.pending = self.pending, []
        for document in waiting:
            self._read_body(document)

    def _read_body(self, document: HereDocument) -> None:
        lines: list[str] = []
        while True:
            self.spend()
            if self.position >= len(self.text):
                raise Unparsable("a here-document without its end")
            line = self._line(document)
            if line == document.delimiter:
                break
            lines.append(line + "\n")
        body = "".join(lines)
        if document.literal:
            document.redirect.word = (Text(body, quoted=True),)
        else:
            document.redirect.word = type(self)(body, self.depth + 1, self.allowance).body()

    def _line(self, document: HereDocument) -> str:
        """Read one line; in a body that is expanded, a backslash at its end joins the next one to it."""
        joined = ""
        while True:
            end = self.text.find("\n", self.position)
            end = len(self.text) if end < 0 else end
            line = self.text[self.position : end]
            self.position = end + 1 if end < len(self.text) else end
            line = line.lstrip("\t") if document.strip and not joined else line
            trailing = len(line) - len(line.rstrip("\\"))
            if document.literal or trailing % 2 == 0 or self.position >= len(self.text):
                return joined + line
            joined += line[:-1]

    def reserved(self) -> str:
        """Return the reserved word at the position, or what looks like one."""
        match = _RESERVED.match(self.text, self.position)
        return match.group() if match else ""
