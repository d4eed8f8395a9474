"""Programs that run another program: where the inner command begins. Pure."""

import re
from functools import cache

import attrs

from townwatch.policy.commands.arguments import GivenOption, ParsedCommand
from townwatch.policy.programs.spec import OptionSpec, parse_option
from townwatch.policy.programs.wrapping import SUBCOMMANDS, TABLE
from townwatch.policy.shell.expansion import UNKNOWN, Argument

SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash", "rbash", "fish", "mksh"})
TRANSPARENT = frozenset({"command", "builtin", "nice", "timeout", "time", "nohup", "stdbuf", "env"})
"""The inner command decides alone."""


@attrs.frozen
class Inner:
    """The command inside. `prefix` are the wrapper's own words; at most one of `words` and `script` is there."""

    wrapper: str
    transparent: bool
    options: tuple[GivenOption, ...] = ()
    prefix: tuple[Argument, ...] = ()
    words: tuple[Argument, ...] | None = None
    script: Argument | None = None
    environment: tuple[str, ...] = ()
    """Assignments that the wrapper makes."""
    doubt: str | None = None
    """Why a person must look, whatever the inner command is."""
    appended: bool = False
    """Words that are not known follow the inner command's."""


@cache
def _table() -> dict[str, tuple[int, str, dict[str, OptionSpec]]]:
    found: dict[str, tuple[int, str, dict[str, OptionSpec]]] = {}
    for line in TABLE.strip().splitlines():
        head, _, rest = line.partition(":")
        name, count, *flags = head.split()
        found[name] = (int(count), "".join(flags), _options(rest))
    for name, (count, flags, rest) in SUBCOMMANDS.items():
        found[name] = (count, flags, _options(rest))
    return found


def _options(text: str) -> dict[str, OptionSpec]:
    specs = [parse_option(word) for word in text.split() if word not in ("!-",)]
    return {name: spec for spec in specs for name in spec.names}


def unwrap(command: ParsedCommand) -> Inner | None:
    """Return the inner command of a wrapper, or None for a command that is none."""
    name = command.name
    words = command.arguments
    if name == "env":
        return _env(words)
    if name in SHELLS:
        return _shell(name, words)
    if name == "eval" and len(words) > 1 and words[1].text == "--":
        words = [words[0], *words[2:]]
    if name in ("eval", "."):
        return Inner(name, False, script=Argument(" ".join(one.text for one in words[1:]))) if name == "eval" else None
    if name == "find":
        return _find(words)
    if name in ("fd", "fdfind"):
        return _after_option(command, words, ("-x", "--exec", "-X", "--exec-batch"))
    table = _table()
    for count in (3, 2, 1):
        key, rest = _key(name, words, count)
        if key is not None and key in table:
            return _generic(key, words, rest, table[key])
    return _scripted(command)


def _key(name: str, words: list[Argument], count: int) -> tuple[str | None, int]:
    """Return (name and sub-commands, where the rest begins), options in front of a sub-command skipped."""
    if count == 1:
        return name, 1
    found, at = [name], 1
    values = {
        "docker": ("-H", "--host", "--context", "-c", "--config", "-l"),
        "kubectl": ("-n", "--namespace", "--context", "--kubeconfig"),
        "git": ("-C", "-c", "--git-dir", "--work-tree"),
        "npm": ("--prefix", "-C", "-w"),
        "pnpm": ("-C", "--filter", "--dir"),
        "uv": ("--directory", "--project"),
        "compose": ("-f",),
        "yarn": ("--cwd",),
    }.get(name, ())
    if name in ("docker", "docker-compose"):
        values = (*values, "-f", "--file", "-p", "--project-name", "--env-file", "--profile", "--project-directory")
    while at < len(words) and len(found) < count:
        text = words[at].text
        if text.startswith("-"):
            at += 2 if text in values else 1
        else:
            found.append(text)
            at += 1
    return (" ".join(found), at) if len(found) == count else (None, 0)


def _generic(key: str, words: list[Argument], start: int, entry: tuple[int, str, dict[str, OptionSpec]]) -> Inner:
    count, flags, options = entry
    given: list[GivenOption] = [
        GivenOption(one.text, (one.text,), i) for i, one in enumerate(words[1:start], 1) if one.text[:1] == "-"
    ]
    prefix: list[Argument] = []
    environment: list[str] = []
    script: Argument | None = None
    doubt: str | None = None
    at = start
    while at < len(words):
        word = words[at]
        text = word.text
        if word.may_be_option:
            doubt = "an option of the wrapper that is not known"
        if text == "--":
            at += 1
            if len(prefix) >= count or key in ("kubectl exec", "oc exec") or count == 0:
                break
            continue
        if text.startswith("-") and len(text) > 1:
            at += 1
            taken = _wrapper_option(text, options, words, at)
            given += [attrs.evolve(one, index=at - 1) for one in taken[0]]
            at = taken[1]
            continue
        if "a" in flags and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", text, re.S):
            environment.append(text)
            at += 1
            continue
        if len(prefix) < count:
            prefix.append(word)
            at += 1
            continue
        break
    rest = tuple(words[at:])
    rest = (*(one.value for one in given if one.value is not None and one.text == "--entrypoint"), *rest)
    if "c" in flags:
        script = next((one.value for one in given if one.value is not None and one.names[0] == "-c"), None)
    if key == "trap" and (behind := words[2:] if words[1:2] and words[1].text == "--" else words[1:]):
        return Inner(key, False, script=behind[0])
    if key in ("npx", "npm exec", "npm x"):
        script = next((one.value for one in given if one.value is not None and one.names[0] == "-c"), None)
    if key == "command" and any(text in ("-v", "-V") for text in (one.text for one in words[1:])):
        return Inner(key, True)
    if "c" in flags and key == "flock" and script is None and len(rest) >= 2 and rest[0].text in ("-c", "--command"):
        script, rest = rest[1], ()
    if key == "parallel":
        rest = rest[: next((i for i, one in enumerate(rest) if one.text[:3] in (":::", ":::+", "::::")), len(rest))]
    transparent = key in TRANSPARENT
    if script is not None:
        return Inner(
            key, transparent, tuple(given), tuple(prefix), script=script, environment=tuple(environment), doubt=doubt
        )
    if not rest:
        return Inner(key, transparent, tuple(given), tuple(prefix), environment=tuple(environment), doubt=doubt)
    if "s" in flags and not (key == "ssh" and all(re.fullmatch(r"[\w./:@%+=,-]+", one.text) for one in rest)):
        text = " ".join(one.text for one in rest)
        return Inner(
            key,
            transparent,
            tuple(given),
            tuple(prefix),
            script=Argument(text),
            environment=tuple(environment),
            doubt=doubt,
            appended="u" in flags,
        )
    return Inner(key, transparent, tuple(given), tuple(prefix), rest, None, tuple(environment), doubt, "u" in flags)


def _wrapper_option(
    text: str, options: dict[str, OptionSpec], words: list[Argument], at: int
) -> tuple[list[GivenOption], int]:
    """Read one word of the wrapper's options; return what it is and where to go on."""
    name, equals, rest = text.partition("=")
    if text.startswith("--"):
        spec = options.get(name)
        if spec is None:
            begun = {id(one): one for full, one in options.items() if full.startswith(name) and len(name) > 3}
            spec = next(iter(begun.values())) if len(begun) == 1 else None
        names = spec.names if spec is not None else (name,)
        if equals:
            return [GivenOption(name, names, 0, Argument(rest), spec)], at
        if spec is not None and spec.value == "=" and at < len(words):
            return [GivenOption(name, names, 0, words[at], spec)], at + 1
        return [GivenOption(name, names, 0, None, spec)], at
    if (whole := options.get(text)) is not None:
        if whole.value == "=" and at < len(words):
            return [GivenOption(text, whole.names, 0, words[at], whole)], at + 1
        return [GivenOption(text, whole.names, 0, None, whole)], at
    found: list[GivenOption] = []
    if re.fullmatch(r"-\d+", text) and "-N" in options:
        return [GivenOption(text, ("-N",), 0, None, options["-N"])], at
    for place in range(1, len(text)):
        letter = f"-{text[place]}"
        spec = options.get(letter)
        names = spec.names if spec is not None else (letter,)
        if spec is not None and spec.value in ("=", "?"):
            after = text[place + 1 :]
            if after or spec.value == "?":
                return [*found, GivenOption(letter, names, 0, Argument(after) if after else None, spec)], at
            if at < len(words):
                return [*found, GivenOption(letter, names, 0, words[at], spec)], at + 1
        found.append(GivenOption(letter, names, 0, None, spec))
    return found, at


def _env(words: list[Argument]) -> Inner:
    environment: list[str] = []
    doubt: str | None = None
    at = 1
    while at < len(words):
        text = words[at].text
        if words[at].may_be_option:
            doubt = "an option of env that is not known"
        if text in ("-i", "-", "--ignore-environment", "-0", "--null", "-v", "--debug") or text == "--":
            at += 1
        elif text in ("-u", "--unset"):
            at += 2
        elif text.startswith("--unset="):
            at += 1
        elif text in ("-C", "--chdir", "-P", "-L", "-U") or text.startswith("--chdir="):
            doubt = "env changes the directory or the search path"
            at += 1 if "=" in text else 2
        elif re.match(r"-[iv0]*S|--split-string", text):
            glued = (
                text.partition("S")[2] if text.startswith("-") and not text.startswith("--") else text.partition("=")[2]
            )
            rest = words[at + 1 :]
            script = " ".join([glued, *(one.text for one in rest)]) if glued else " ".join(one.text for one in rest)
            return Inner("env", False, script=Argument(script.strip()), doubt="env -S splits a text")
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", text, re.S):
            environment.append(text)
            at += 1
        elif text.startswith("-"):
            if re.fullmatch(r"-u.+", text):
                at += 1
                continue
            doubt = f"an option of env that is not known: {text}"
            at += 1
        else:
            break
    rest = tuple(words[at:])
    return Inner("env", True, words=rest or None, environment=tuple(environment), doubt=doubt)


def _shell(name: str, words: list[Argument]) -> Inner | None:
    """``sh -c SCRIPT``; None for a shell that reads a file or its standard input."""
    at, doubt = 1, None
    command = False
    while at < len(words):
        text = words[at].text
        if words[at].may_be_option:
            doubt = "an option of the shell that is not known"
            break
        if not re.match(r"[-+].", text) or text == "--":
            at += text == "--"
            break
        at += 1
        if text.startswith("--"):
            if text in ("--rcfile", "--init-file"):
                at += 1
            if text not in ("--norc", "--noprofile", "--posix", "--login"):
                doubt = f"the shell's option {text}"
            continue
        letters = text[1:]
        if text.startswith("-") and "c" in letters:
            command = True
        if set(letters) - set("celu"):
            doubt = f"the shell's option {text}"
        if letters[-1] in "oO":
            at += 1
        if command:
            continue
    if not command:
        return None
    if name not in ("bash", "sh", "dash"):
        doubt = f"{name} is not parsed"
    script = words[at] if at < len(words) else Argument(UNKNOWN)
    return Inner(name, True, script=script, doubt=doubt, appended=len(words) > at + 1)


def _find(words: list[Argument]) -> Inner | None:
    for at, word in enumerate(words):
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            inner = tuple(words[at + 1 :])
            end = next((i for i, one in enumerate(inner) if one.text in (";", "+")), len(inner))
            rest = tuple(Argument(UNKNOWN, quoted=True) if one.text == "{}" else one for one in inner[:end])
            return Inner(
                "find",
                False,
                (GivenOption(word.text, (word.text,), at),),
                words=rest or None,
                doubt="more"
                if any(
                    one.text in ("-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprintf", "-fls")
                    for one in inner[end + 1 :]
                )
                else None,
            )
    return None


def inner_commands_of_find(words: list[Argument]) -> list[tuple[Argument, ...]]:
    """Return every command that find is told to run."""
    found: list[tuple[Argument, ...]] = []
    at = 0
    while at < len(words):
        if words[at].text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next((i for i in range(at + 1, len(words)) if words[i].text in (";", "+")), len(words))
            found.append(tuple(words[at + 1 : end]))
            at = end
        at += 1
    return [one for one in found if one]


def _after_option(command: ParsedCommand, words: list[Argument], names: tuple[str, ...]) -> Inner | None:
    for at, word in enumerate(words):
        if word.text in names:
            rest = tuple(words[at + 1 :])
            return Inner(command.name, False, (GivenOption(word.text, (word.text,), at),), words=rest or None)
    return None


_SCRIPTS = {
    "git rebase": ("-x", "--exec"),
    "git difftool": ("-x", "--extcmd"),
    "tar": ("--to-command", "-I", "--use-compress-program", "-F", "--checkpoint-action"),
    "rsync": ("-e", "--rsh"),
    "rg": ("--pre",),
    "man": ("-P", "--pager"),
    "split": ("--filter",),
    "git grep": ("-O", "--open-files-in-pager"),
    "git fetch": ("--upload-pack",),
    "git clone": ("-u", "--upload-pack"),
    "zip": ("-TT", "--unzip-command"),
    "sort": ("--compress-program",),
    "go test": ("-exec",),
    "make": ("-E", "--eval"),
}
"""Options whose value is a command line."""


def _scripted(command: ParsedCommand) -> Inner | None:
    if command.key in ("git submodule", "git submodule foreach") and len(command.operands) > 2:
        words = [one.word.text for one in command.operands[2:]]
        return Inner("git submodule foreach", False, script=Argument(" ".join(words)))
    names = _SCRIPTS.get(command.key)
    if names is None:
        return None
    for value in command.values(*names):
        return Inner(command.key, False, script=Argument(value.text.removeprefix("exec=")))
    return None
