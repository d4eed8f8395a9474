"""The words of a command as its program reads them: options, values, operands, sub-commands. Pure."""

import posixpath
import re

import attrs

from townwatch.policy.programs.spec import OptionSpec, Spec, spec_of
from townwatch.policy.shell.expansion import Argument

SAME_SUBCOMMAND = {
    "npm": {
        "i": "install",
        "add": "install",
        "in": "install",
        "run-script": "run",
        "rum": "run",
        "t": "test",
        "tst": "test",
        "un": "uninstall",
        "remove": "uninstall",
        "rm": "uninstall",
        "unlink": "uninstall",
        "x": "exec",
        "up": "update",
        "upgrade": "update",
        "list": "ls",
        "la": "ls",
        "ll": "ls",
        "c": "config",
        "ln": "link",
        "rb": "rebuild",
    },
    "cargo": {"b": "build", "c": "check", "t": "test", "r": "run", "d": "doc", "rm": "remove"},
    "git": {"stage": "add", "annotate": "blame"},
    "pnpm": {"i": "install", "rm": "remove", "uninstall": "remove", "un": "remove", "t": "test"},
    "docker": {"images": "images"},
    "systemctl": {},
}
"""Other names of a sub-command."""
SAME_PROGRAM = {"pip3": "pip", "nodejs": "node", "docker-compose": "docker compose", "gmake": "make", "fdfind": "fd"}
MODULES = frozenset(
    "pytest unittest mypy ruff black isort flake8 pylint json.tool py_compile compileall tabnanny this platform"
    " calendar pyright basedpyright bandit coverage pip pre_commit".split()
)
"""Modules that ``python -m`` may run under a rule for python."""
PYTHONS = re.compile(r"python[0-9.]*|pypy[0-9.]*")
STANDARD = ("/bin/", "/usr/bin/")


@attrs.frozen
class GivenOption:
    """One option as it was given. `names` are all names of it; `spec` is None for one that is not known."""

    text: str
    names: tuple[str, ...]
    index: int
    value: Argument | None = None
    spec: OptionSpec | None = None
    leading: bool = False
    """In front of the sub-command."""
    glued: bool = False


@attrs.frozen
class Operand:
    """One operand. `behind`: behind ``--``; `doubtful`: it may be the value of an option that is not known."""

    word: Argument
    index: int
    behind: bool = False
    doubtful: bool = False


@attrs.define
class ParsedCommand:
    """One simple command, read by its program's table."""

    word: str
    name: str
    spec: Spec | None
    arguments: list[Argument]
    options: list[GivenOption] = attrs.field(factory=list[GivenOption])
    operands: list[Operand] = attrs.field(factory=list[Operand])
    subcommands: int = 0
    """How many of the operands are sub-commands that have a line of their own."""
    dashes: bool = False
    foreign: int | None = None
    """Index of the word from which on the words belong to another program: a script, a task."""
    unknown_part: str | None = None
    """A sub-command or module without a line."""

    @property
    def standard(self) -> bool:
        """True for a bare name or the file of it in /bin or /usr/bin."""
        return "/" not in self.word or self.word in (f"{folder}{self.name}" for folder in STANDARD)

    @property
    def key(self) -> str:
        """The name of its line: program and sub-commands."""
        return self.spec.name if self.spec is not None else self.name

    def has(self, *names: str) -> bool:
        """Return True if one of the options was given."""
        return any(name in option.names for option in self.options for name in names)

    def values(self, *names: str) -> list[Argument]:
        """Return the values of the options."""
        return [one.value for one in self.options if one.value is not None and set(names) & set(one.names)]

    @property
    def targets(self) -> list[Operand]:
        """The operands behind the sub-commands."""
        return self.operands[self.subcommands :]


def read(arguments: list[Argument], *, windows: bool = False) -> ParsedCommand:
    """Read a command whose program is known."""
    word = arguments[0].text
    name = posixpath.basename(word)
    name = SAME_PROGRAM.get(name, name) if name != "docker-compose" else name
    spec = spec_of(word) if word.startswith("./") else spec_of(name)
    if spec is None and PYTHONS.fullmatch(name):
        spec = spec_of("python")
    command = ParsedCommand(word, name, spec, arguments)
    _Reader(command).read()
    return command


class _Reader:
    def __init__(self, command: ParsedCommand) -> None:
        self.command, self.spec = command, command.spec
        self.words = command.arguments
        self.at = 1
        self.after_unknown = False

    def read(self) -> None:
        command = self.command
        if command.name == "tar" and len(self.words) > 1 and re.fullmatch(r"[A-Za-z0-9]+", self.words[1].text):
            self._old_bundle(self.words[1].text)
        while self.at < len(self.words):
            word = self.words[self.at]
            index = self.at
            self.at += 1
            text = word.text
            if text == "--" and word.known and not self._single():
                command.dashes = True
                if self._has(":rest"):
                    command.foreign = self.at if command.foreign is None else command.foreign
                for behind in range(self.at, len(self.words)):
                    self._operand(self.words[behind], behind, behind=True)
                return
            if text.startswith("-") and text != "-" and not self._number(text, index):
                self._option(word, index)
            elif self._operand(word, index):
                return
        return

    def _old_bundle(self, letters: str) -> None:
        """``tar xzf FILE``: no hyphen, and the values follow in the order of the letters."""
        self.at = 2
        for letter in letters:
            spec = self.spec.options.get(f"-{letter}") if self.spec is not None else None
            value = self._take_value() if spec is not None and spec.value == "=" else None
            self._add(f"-{letter}", spec, 1, value, glued=True)

    def _has(self, trait: str) -> bool:
        return self.spec is not None and trait in self.spec.traits

    def _single(self) -> bool:
        return self._has(":single")

    def _number(self, text: str, index: int) -> bool:
        """Add ``-20``, which means a count where the table says so."""
        if self.spec is None or re.fullmatch(r"-\d+", text) is None:
            return False
        count = self.spec.options.get("-N")
        if count is None and not self._has(":any"):
            return False
        self.command.options.append(GivenOption(text, ("-N",), index, spec=count or OptionSpec(("-N",))))
        return True

    def _operand(self, word: Argument, index: int, *, behind: bool = False) -> bool:
        """Add an operand; True where the rest belongs to another program."""
        command = self.command
        operand = Operand(word, index, behind, doubtful=self.after_unknown)
        self.after_unknown = False
        command.operands.append(operand)
        if self._has(":sub") and not behind:
            found = spec_of(f"{self.spec.name} {word.text}") if self.spec is not None else None
            if found is not None:
                command.subcommands = len(command.operands)
                command.spec = self.spec = found
                command.options = [attrs.evolve(one, leading=True) for one in command.options]
            elif not self._has(":own"):
                command.unknown_part = word.text
                self.spec = command.spec
            return False
        if self._has(":first") and command.foreign is None:
            command.foreign = index + 1
            for later in range(self.at, len(self.words)):
                command.operands.append(Operand(self.words[later], later, behind))
            return True
        return False

    def _option(self, word: Argument, index: int) -> None:
        text = word.text
        if PYTHONS.fullmatch(self.command.name) and re.fullmatch(r"-[BbdEIOPqsSuvx]*m.*", text) and self._has(":first"):
            self._module(text, index)
        elif self._single():
            self._one_hyphen(word, index)
        elif text.startswith("--"):
            self._long(word, index)
        else:
            self._bundle(word, index)

    def _module(self, text: str, index: int) -> None:
        """``python -m MODULE``: the module is the sub-command."""
        command = self.command
        glued = text.partition("m")[2]
        command.operands.append(Operand(Argument("-m"), index))
        if not glued and self.at < len(self.words):
            module = self.words[self.at]
            self.at += 1
        else:
            module = Argument(glued)
        command.operands.append(Operand(module, self.at - 1))
        command.subcommands = 2
        command.options = [attrs.evolve(one, leading=True) for one in command.options]
        found = spec_of(module.text.replace("pre_commit", "pre-commit")) if module.text in MODULES else None
        command.unknown_part = None if found is not None else module.text
        command.spec = self.spec = found

    def _take_value(self) -> Argument | None:
        if self.at >= len(self.words):
            return None
        self.at += 1
        return self.words[self.at - 1]

    def _add(
        self, text: str, spec: OptionSpec | None, index: int, value: Argument | None = None, *, glued: bool = False
    ) -> None:
        names = spec.names if spec is not None else (text,)
        self.command.options.append(GivenOption(text, names, index, value, spec, glued=glued))
        self.after_unknown = spec is None and not glued

    def _long(self, word: Argument, index: int) -> None:
        name, equals, rest = word.text.partition("=")
        spec = self._named(name)
        if equals:
            self._add(name, spec, index, Argument(rest, word.splits, word.quoted), glued=True)
        elif spec is not None and spec.value == "=":
            self._add(name, spec, index, self._take_value())
        else:
            self._add(name, spec, index)

    def _named(self, name: str) -> OptionSpec | None:
        """Return the option of that name, or of the only one that begins so."""
        if self.spec is None:
            return None
        if (found := self.spec.options.get(name)) is not None:
            return found
        begun = {id(spec): spec for full, spec in self.spec.options.items() if full.startswith(name) and len(name) > 3}
        return next(iter(begun.values())) if len(begun) == 1 else None

    def _one_hyphen(self, word: Argument, index: int) -> None:
        assert self.spec is not None
        text = word.text if not word.text.startswith("--") or self.command.name == "find" else word.text[1:]
        name, equals, rest = text.partition("=")
        spec = self.spec.options.get(text) or (self.spec.options.get(name) if equals else None)
        if spec is not None and equals and spec.names[0] != text:
            self._add(name, spec, index, Argument(rest, word.splits, word.quoted), glued=True)
        elif spec is not None:
            self._add(text, spec, index, self._take_value() if spec.value == "=" else None)
        elif (short := self.spec.options.get(text[:2])) is not None and short.value == "=":
            self._add(text[:2], short, index, Argument(text[2:], word.splits, word.quoted), glued=True)
        else:
            self._add(name, None, index, Argument(rest) if equals else None, glued=bool(equals))

    def _bundle(self, word: Argument, index: int) -> None:
        text = word.text
        options = self.spec.options if self.spec is not None else {}
        if (whole := options.get(text)) is not None and len(text) > 2:  # -uu, -vv, -ra
            self._add(text, whole, index, self._take_value() if whole.value == "=" else None)
            return
        if (
            (named := options.get(text.partition("=")[0])) is not None
            and len(text.partition("=")[0]) > 2
            and "=" in text
        ):
            self._add(text.partition("=")[0], named, index, Argument(text.partition("=")[2]), glued=True)
            return
        for place in range(1, len(text)):
            name = f"-{text[place]}"
            spec = options.get(name)
            rest = text[place + 1 :]
            if spec is not None and spec.value == "=":
                value = Argument(rest, word.splits, word.quoted) if rest else self._take_value()
                self._add(name, spec, index, value, glued=bool(rest))
                return
            if spec is not None and spec.value == "?":
                self._add(name, spec, index, Argument(rest) if rest else None, glued=True)
                return
            self._add(name, spec, index, glued=bool(rest))
