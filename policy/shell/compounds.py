"""Compound commands: groups, loops, conditions, functions."""

import re

from townwatch.policy.shell.lines import LineReader
from townwatch.policy.shell.syntax import Compound, Node, Script, Text, Unparsable, Word

_CASE_ENDS = frozenset({"esac", ";;"})


class CompoundReader(LineReader):
    """Reads compound commands. The parser is derived from it."""

    def command(self) -> Node:
        """Read one command. Implemented by the parser."""
        raise NotImplementedError

    def compound(self, word: str) -> Compound | None:
        """Read the compound command that begins with a word, or return None."""
        if self.char() == "(":
            return self._parenthesized()
        reader = {
            "{": self._group,
            "if": self._if,
            "while": self._while,
            "until": self._while,
            "for": self._for,
            "select": self._for,
            "case": self._case,
            "[[": self._condition,
            "function": self._function,
            "coproc": self._coproc,
        }.get(word)
        if reader is None:
            return None
        self.position += len(word)
        return reader(word)

    def _expect(self, word: str) -> None:
        self.newlines()
        if self.reserved() != word:
            raise Unparsable(f"{word} is missing")
        self.position += len(word)

    def _body(self, *stops: str) -> Script:
        found = self.script_until(frozenset(stops))
        if not found.items:
            raise Unparsable("a command is missing")
        return found

    def _parenthesized(self) -> Compound:
        self.position += 1
        self.skip_continuations()
        if self.char() == "(":
            start = self.position
            self.position += 1
            try:
                return Compound("arithmetic", words=(self._arithmetic("))"),))
            except Unparsable as error:
                if error.limit:
                    raise
                self.position = start
        body = self._body(")")
        if self.char() != ")":
            raise Unparsable("a parenthesis is not closed")
        self.position += 1
        return Compound("subshell", (body,))

    def _group(self, word: str) -> Compound:
        body = self._body("}")
        self._expect("}")
        return Compound("group", (body,))

    def _if(self, word: str) -> Compound:
        bodies: list[Script] = []
        while True:
            bodies.append(self._body("then"))
            self._expect("then")
            bodies.append(self._body("elif", "else", "fi"))
            found = self.reserved()
            self.position += len(found)
            if found == "else":
                bodies.append(self._body("fi"))
                self._expect("fi")
                break
            if found == "fi":
                break
            if found != "elif":
                raise Unparsable("fi is missing")
        return Compound("if", tuple(bodies))

    def _while(self, word: str) -> Compound:
        condition = self._body("do")
        self._expect("do")
        body = self._body("done")
        self._expect("done")
        return Compound("while", (condition, body))

    def _do(self) -> Script:
        self.newlines()
        if self.char() == ";":
            self.position += 1
            self.newlines()
        if self.reserved() == "{":
            return self._group(self._take("{")).bodies[0]
        self._expect("do")
        body = self._body("done")
        self._expect("done")
        return body

    def _take(self, word: str) -> str:
        self.position += len(word)
        return word

    def _for(self, word: str) -> Compound:
        self.blanks()
        if self.text.startswith("((", self.position):
            self.position += 2
            head = self._arithmetic("))")
            return Compound("for-arithmetic", (self._do(),), (head,))
        name = self._literal_name()
        self.newlines()
        if self.reserved() != "in":
            return Compound(word, (self._do(),), ((Text("\ue000"),),), name)
        self.position += 2
        words: list[Word] = []
        while True:
            self.blanks()
            if not self.char() or self.char() in "\n;":
                break
            found = self.word()
            if not found:
                raise Unparsable(f"unexpected {self.char()!r} in the words of a loop")
            words.append(found)
        return Compound(word, (self._do(),), tuple(words), name)

    def _literal_name(self) -> str:
        match = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?=[ \t\n;])").match(self.text, self.position)
        if match is None:
            raise Unparsable("a loop without the name of its variable")
        self.position = match.end()
        return match.group()

    def _case(self, word: str) -> Compound:
        self.blanks()
        words = [self.word()]
        if not words[0]:
            raise Unparsable("case without a word")
        self._expect("in")
        bodies: list[Script] = []
        while True:
            self.newlines()
            if self.reserved() == "esac":
                break
            if self.char() == "(":
                self.position += 1
            while True:
                self.blanks()
                pattern = self.word()
                if not pattern:
                    raise Unparsable("a pattern of case is missing")
                words.append(pattern)
                self.blanks()
                c = self.char()
                self.position += 1
                if c == ")":
                    break
                if c != "|":
                    raise Unparsable("a pattern of case is not closed")
            bodies.append(self.script_until(_CASE_ENDS))
            if self.char() == ";":
                self.position += 3 if self.text.startswith(";;&", self.position) else 2
            elif self.reserved() != "esac":
                raise Unparsable("esac is missing")
        self.position += 4
        return Compound("case", tuple(bodies), tuple(words))

    def _condition(self, word: str) -> Compound:
        words: list[Word] = []
        while True:
            self.spend()
            self.blanks()
            c = self.char()
            if not c or c == ";":
                raise Unparsable("]] is missing")
            if self.text.startswith("]]", self.position) and (not self.char(2) or self.char(2) in " \t\n;&|)<>"):
                self.position += 2
                return Compound("condition", words=tuple(words))
            if c in "()<>&|\n" and not (c in "<>" and self.char(1) == "("):
                words.append((Text(c),))
                self.position += 1
            else:
                words.append(self.word())

    def _function(self, word: str) -> Compound:
        self.blanks()
        match = re.compile(r"[^ \t\n|&;()<>'\"\\$`]+").match(self.text, self.position)
        if match is None:
            raise Unparsable("a function without a name")
        self.position = match.end()
        self.blanks()
        if (brackets := re.compile(r"\([ \t]*\)").match(self.text, self.position)) is not None:
            self.position = brackets.end()
        self.newlines()
        return Compound("function", (Script((("", self.command()),)),), name=match.group())

    def _coproc(self, word: str) -> Compound:
        self.blanks()
        match = re.compile(r"[A-Za-z_][A-Za-z0-9_]*[ \t]+(?=[{(]|if |while |for |case )").match(
            self.text, self.position
        )
        if match is not None:
            self.position = match.end()
        return Compound("coproc", (Script((("", self.command()),)),))
