"""Operands and options that leave a program's usual purpose: what the star of a rule does not cover. Pure."""

import re

from townwatch.policy.commands.arguments import PYTHONS, GivenOption, Operand, ParsedCommand
from townwatch.policy.commands.covered import CoveredCommand
from townwatch.policy.commands.matching import CommandRule, Match
from townwatch.policy.commands.paths import Place
from townwatch.policy.commands.purposes import PURPOSES
from townwatch.policy.programs.spec import Spec
from townwatch.policy.shell.expansion import Argument

_SUSPICIOUS = re.compile(
    r"exec|command|cmd|program|shell|script|eval|expr|code|plugin|extension|preload|require|import|load|module|config|conf$|"
    r"rc$|rcfile|settings|init|startup|hook|preproc|^--pre$|pager|editor|browser|viewer|out|dest|write|save|log-?file|dump|"
    r"export|target|prefix|root|^--dir|directory|cwd|chdir|path|home|workdir|-dir$|registry|index|proxy|host|server|remote|"
    r"compiler|linker|wrapper|launcher|render|filter|transport|rsh|askpass|env|define|include|from|template|agent|driver|"
    r"engine|backend|lib|classpath|jar|rules|report|trace|profile|delete|remove|force|in-?place|edit|upload|download|install|"
    r"setup|bootstrap|preset|resolver|transform|^--ui$|^--git$|user|group|url|uri|socket|listen|bind|inspect|python|node|java|ruby|perl|sudo|password|token|key|cert|global|run"
)
_LOADS = frozenset({"-f", "--format", "--formatter", "--reporter", "--runner"})
"""Options of linters and of what runs tests that take a name, or a file of code."""
_CODE = re.compile(r"(^|.*/)[^/]*\.([cm]?[jt]sx?|py|rb|php|so|dll|dylib|jar|lua|sh)", re.S)
_HARMLESS_PROPERTY = re.compile(r"(skipTests|skipITs|skip\.\w+|maven\.test\.skip|(it\.)?test|\w+\.skip)(=[\w.#*,!-]*)?")
_INLINE = ("-c", "-e", "--eval", "-r", "--run", "-p", "--print", "-E")
"""Options of interpreters whose value is code, or that print a value."""
_BENIGN_SHORT = frozenset("aAhHlLnNqQsStuvVykmdwz0123456789FG?#")
SHELL_STATE = frozenset(
    "export declare typeset local readonly alias unalias trap hash enable shopt read mapfile readarray unset"
    " getopts bind complete compopt let pushd popd umask ulimit set".split()
)
_NEVER = SHELL_STATE | frozenset(
    "vi vim nvim view ex ed red emacs nano pico micro tmux screen at batch crontab source . compgen fc history"
    " eval exec caller shift setopt autoload emulate gdb lldb sqlite3 expect psql mysql".split()
)
"""Programs and commands of the shell that no star covers."""


def uncovered(
    rule: CommandRule, command: ParsedCommand, match: Match, place: Place, directory: str | None
) -> str | None:
    """Return why the star of an allow rule does not cover the rest of a command, or None where it does."""
    if not rule.star:
        return None
    if command.unknown_part is not None and not _names_unknown(rule, command):
        return f"{command.name} {command.unknown_part} is not known"
    if command.name in _NEVER and rule.command is not None:
        return f"no * covers {command.name}"
    if command.name in SHELL_STATE:
        return f"{command.name} changes the state of the shell"
    covered = CoveredCommand(command, match.operands, place, directory)
    if ":ask" in covered.traits and rule.literals < max(2, len(command.key.split())):
        return f"{command.key} is not covered by *"
    for option in match.options:
        if (reason := _option(option, covered)) is not None:
            return reason
    for operand in match.operands:
        if command.name in ("rm", "rmdir") and covered.removes_inside(operand.word):
            continue
        if not operand.word.known and not _harmless_unknown(operand, covered.traits):
            return "a word that is not known may be an option or another file"
    return _operands(rule, covered)


def _names_unknown(rule: CommandRule, command: ParsedCommand) -> bool:
    assert command.unknown_part is not None
    return rule.command is not None and any(one.word.text == command.unknown_part for one in rule.command.operands)


def _harmless_unknown(operand: Operand, traits: frozenset[str]) -> bool:
    if ":plain" in traits:
        return True
    return not operand.word.may_be_option and "\ue000" not in operand.word.text and ":writes" not in traits


def _option(option: GivenOption, covered: CoveredCommand) -> str | None:
    command, traits = covered.command, covered.traits
    spec = command.spec
    if option.leading and option.spec is not None and not option.spec.escape:
        return None
    value = option.value
    if value is not None and (option.spec is None or ":own" in traits) and not _near(value, covered):
        return f"the value of {option.text} is a file outside of the workspace"
    if option.spec is None:
        return _unknown_option(option, covered)
    if option.spec.escape:
        property_ = value.text if value is not None and command.key.endswith(("mvn", "mvnw")) else ""
        if "-D" in option.names and _HARMLESS_PROPERTY.fullmatch(property_):
            return None
        harmless = option.spec.kind == "w" and value is not None and value.text in ("/dev/null", "-", "/dev/stdout")
        local = command.key in ("pip install", "pip3 install") and "-e" in option.names and value is not None
        if harmless or (local and value is not None and "://" not in value.text and covered.inside(value)):
            return None
        return f"the option {option.text} leaves the usual purpose of {command.key}"
    if value is None:
        return None
    if not value.known and ":plain" not in traits and (value.splits or option.spec.value != "="):
        return f"the value of {option.text} is not known"
    if _LOADS & set(option.names) and spec is not None and _loads(spec, value):
        return f"{option.text} may load code"
    if option.spec.kind == "w" and _writes(option, command) and value.text not in ("-", "/dev/null", "/dev/stdout"):
        if command.name == "tar" and ":" in value.text:
            return "tar runs a remote shell for a name with a colon"
        if not covered.inside(value):
            return f"{option.text} writes outside of the workspace"
    return None


def _unknown_option(option: GivenOption, covered: CoveredCommand) -> str | None:
    spec, traits = covered.command.spec, covered.traits
    if not Argument(option.text).known and ":plain" not in traits:
        return "an option that is not known"
    if ":plain" in traits or ":any" in traits:
        return None
    if spec is None or ":own" in traits or ":ask" in traits:
        return f"the option {option.text} may leave the program's purpose" if suspicious(option.text) else None
    return f"the option {option.text} is not known for {spec.name}"


def _loads(spec: Spec, value: Argument) -> bool:
    return (":own" in spec.traits or spec.name in ("eslint", "stylelint")) and (
        value.text.startswith((".", "/")) or _CODE.fullmatch(value.text) is not None
    )


def _writes(option: GivenOption, command: ParsedCommand) -> bool:
    if command.name == "tar" and "-f" in option.names:
        return command.has("-c", "--create", "-r", "--append", "-u", "--update", "--delete")
    return True


def _near(value: Argument, covered: CoveredCommand) -> bool:
    """Return False for the value of an option that names a file outside of the workspace."""
    return not value.text.startswith(("/", "~", "../")) or covered.inside(value)


def suspicious(text: str) -> bool:
    """Return True for an option of a program without a table that may run, load or write something."""
    if text.startswith("--"):
        return _SUSPICIOUS.search(text.casefold()) is not None
    letters = text[1:]
    if len(letters) > 1:
        return True
    return letters not in _BENIGN_SHORT


def _operands(rule: CommandRule, covered: CoveredCommand) -> str | None:
    command, traits = covered.command, covered.traits
    if (":writes" in traits or ":target" in traits) and (reason := _written(covered)) is not None:
        return reason
    if ":first" in traits and command.name != "ssh" and (reason := _script(covered)) is not None:
        return reason
    for check in dict.fromkeys([PURPOSES.get(command.key), PURPOSES.get(command.name)]):
        if check is not None and (reason := check(covered)) is not None:
            return reason
    if (
        command.spec is None
        and command.name not in ("[", "test")
        and rule.command is None
        and "-c" in [one.text for one in command.options]
    ):
        return "inline code"
    return None


def _written(covered: CoveredCommand) -> str | None:
    command, place, directory = covered.command, covered.place, covered.directory
    words = [one.word for one in command.targets]
    target = command.values("-t", "--target-directory")
    if ":target" in covered.traits and not (command.name == "install" and command.has("-d", "--directory")):
        words = [] if target else words[-1:]
    if command.name in ("chmod", "chown", "chgrp") and not command.has("--reference"):
        if (
            command.name == "chmod"
            and words
            and re.search(r"s|t|^[0-7]*[1-7][0-7]{3}$", words[0].text)
            and not words[0].text.startswith("0")
        ):
            return "special mode bits"
        words = words[1:]
    for word in [*words, *target]:
        if command.name in ("rsync", "scp") and ":" in word.text:
            continue
        if word.text in ("/dev/null", "-") and command.name == "tee":
            continue
        if command.name in ("rm", "rmdir") and not word.known and covered.removes_inside(word):
            continue
        if (
            word.known
            and directory is None
            and word.text.startswith("/")
            and place.inside(place.absolute(word.text, "/"))
        ):
            continue
        if not covered.inside(word) or (command.name == "ln" and _link_leaves(word, covered)):
            return f"{command.name} writes outside of the workspace, in .git, or where it is not known"
        if command.name == "rm" and directory is not None and place.absolute(word.text, directory) == place.root:
            return "the whole workspace"
    return None


def _link_leaves(word: Argument, covered: CoveredCommand) -> bool:
    """A relative target of a link is relative to the link's directory."""
    command, place, directory = covered.command, covered.place, covered.directory
    last = command.targets[-1].word
    if directory is None or not command.has("-s") or word is last or word.text.startswith("/") or not last.known:
        return False
    base = place.absolute(last.text, directory)
    return not place.inside(place.absolute(word.text, base.rpartition("/")[0] or "/"))


def _script(covered: CoveredCommand) -> str | None:
    """Interpreters: code from a file of the workspace only."""
    command = covered.command
    if PYTHONS.fullmatch(command.name) and command.subcommands:
        return None
    if command.has("-v", "-V", "--version", "-h", "--help") and not command.operands:
        return None
    if command.has("--check") and command.name.startswith("node"):
        return None
    if not command.targets:
        if command.has(*_INLINE, "--test"):
            return None
        return f"{command.name} runs code of its standard input"
    script = command.targets[0].word
    if script.text in ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        return f"{command.name} runs code of its standard input"
    if not command.has(*_INLINE) and not covered.inside(script):
        return f"{command.name} runs code from outside of the workspace"
    return None
