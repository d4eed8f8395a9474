"""A command with the words that the star of an allow rule has to cover, in the place where it runs. Pure."""

from collections.abc import Callable

import attrs

from townwatch.policy.commands.arguments import Operand, ParsedCommand
from townwatch.policy.commands.paths import Place
from townwatch.policy.shell.expansion import UNKNOWN, Argument


@attrs.frozen
class CoveredCommand:
    """`rest`: the operands that the star covers. `directory`: where the command runs; None: not known."""

    command: ParsedCommand
    rest: tuple[Operand, ...]
    place: Place
    directory: str | None

    @property
    def traits(self) -> frozenset[str]:
        """The traits of the program's table; none without a table."""
        return self.command.spec.traits if self.command.spec is not None else frozenset[str]()

    @property
    def words(self) -> list[str]:
        """The texts of all operands."""
        return [one.word.text for one in self.command.targets]

    @property
    def first(self) -> str:
        """The text of the first operand, "" without any."""
        return next(iter(self.words), "")

    @property
    def rest_words(self) -> list[str]:
        """The texts of the operands that the star covers."""
        return [one.word.text for one in self.rest]

    def inside(self, word: Argument) -> bool:
        """Return True for a word that is a known path of the workspace."""
        return word.known and self.directory is not None and self.place.inside(self._absolute(word, self.directory))

    def all_inside(self) -> bool:
        """Return True where every operand is a known path of the workspace."""
        return all(self.inside(one.word) for one in self.command.targets)

    def leaves(self, word: Argument) -> bool:
        """Return True for a word that names a place outside of the workspace."""
        text = word.text
        if not text.startswith(("/", "~", "..")) or text in ("/dev/null", "/dev/stdout", "/dev/stderr"):
            return False
        if text.startswith("/") and word.known:
            return not self.place.inside(self._absolute(word, "/"))
        return not self.inside(word)

    def removes_inside(self, word: Argument) -> bool:
        """Return True for a pattern of names in a known directory of the workspace: what it matches are entries of that
        directory, never ``..``, and a link among them is removed itself.
        """
        folder, slash, names = word.text.rpartition("/")
        if not slash or not Argument(folder).known or word.splits or UNKNOWN in names or names.startswith("."):
            return False
        return self.inside(Argument(folder))

    def _absolute(self, word: Argument, directory: str) -> str:
        return self.place.absolute(word.text, directory)


Check = Callable[[CoveredCommand], str | None]
"""Returns why a command leaves its program's usual purpose, or None where it does not."""
