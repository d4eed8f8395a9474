"""Shells that are not parsed: a plain line of words is compared, everything else asks. Pure."""

import re

from townwatch.policy.commands.arguments import read
from townwatch.policy.commands.findings import CommandFinding, CommandPolicy
from townwatch.policy.commands.judge import Judge
from townwatch.policy.commands.matching import match_broad
from townwatch.policy.shell.expansion import Argument

_PLAIN = {
    "zsh": re.compile(r"[\w./][\w./ :,+-]*"),
    "fish": re.compile(r"[\w./][\w./ :,+-]*"),
    "pwsh": re.compile(r"[A-Z][A-Za-z]+-[A-Z][A-Za-z]+( [\w./\\ -]*)?"),
    "cmd": re.compile(r"(dir|echo|type|cd|ver|vol)( [\w./\\ :-]*)?"),
}
_KEYWORDS = frozenset(
    "and or not begin end if else while for function switch case exec noglob nocorrect repeat foreach select"
    " coproc time builtin command eval source alias set".split()
)
_ALIASES = {
    "ri": "Remove-Item",
    "rm": "Remove-Item",
    "rmdir": "Remove-Item",
    "del": "Remove-Item",
    "erase": "Remove-Item",
    "rd": "Remove-Item",
    "iex": "Invoke-Expression",
    "iwr": "Invoke-WebRequest",
    "curl": "Invoke-WebRequest",
    "wget": "Invoke-WebRequest",
    "irm": "Invoke-RestMethod",
    "saps": "Start-Process",
    "start": "Start-Process",
    "mi": "Move-Item",
    "ci": "Copy-Item",
    "sc": "Set-Content",
    "ac": "Add-Content",
    "icm": "Invoke-Command",
    "ni": "New-Item",
    "kill": "Stop-Process",
    "spps": "Stop-Process",
}
_SEPARATORS = re.compile(r"[;&|\n(){}`]")


def decide_other(policy: CommandPolicy, text: str, shell: str) -> CommandFinding:
    """Return deny for a denied command that is plainly there, the rules' word for a plain line, else ask."""
    words = text.split()
    pattern = _PLAIN.get(shell)
    if pattern is not None and pattern.fullmatch(text) and words and words[0] not in _KEYWORDS and "%" not in text:
        return Judge(policy).decide(text.replace("\\", "/"))
    if "'" not in text and '"' not in text:
        for piece in _SEPARATORS.split(text)[:2000]:
            names = [one for one in piece.split() if one not in ("and", "or", "not", "&", "begin")]
            if names and (found := _denied(policy, names, shell)) is not None:
                return found
    return CommandFinding("ask", None, f"{shell} is not parsed", text[:200])


def _denied(policy: CommandPolicy, names: list[str], shell: str) -> CommandFinding | None:
    first = names[0].lstrip("=")
    if shell == "pwsh":
        first = _ALIASES.get(first.casefold(), first)
    command = read([Argument(first), *(Argument(one) for one in names[1:64])])
    for rule in policy.rules:
        if rule.effect == "deny" and match_broad(rule, command, policy.place, policy.place.directory):
            return CommandFinding("deny", rule.name, f"is denied by {rule.name}", " ".join(names)[:200])
    return None
