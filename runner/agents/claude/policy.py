"""Permissions of an order as flags of Claude Code, and our own look at each command that it asks about. Pure.

Nothing here says yes by default: a policy that allows any command ("*") only means that none is forbidden, and the CLI
asks as ever.
"""

from townwatch.contracts.tasks import PolicySpec
from townwatch.policy.commands.paths import Place
from townwatch.policy.rules import command_policy, decide_command
from townwatch.policy.village import denied_words


def flags(policy: PolicySpec) -> list[str]:
    """Return the CLI's own flags for the policy."""
    allowed = [_rule(pattern) for pattern in policy.shell_allowlist if pattern.strip("* ")]
    if policy.network_mode == "open":
        allowed += ["WebFetch", "WebSearch"]
    denied = [_rule(pattern) for pattern in policy.shell_denylist]
    found = [f"--allowedTools={rule}" for rule in allowed]
    return found + [f"--disallowedTools={rule}" for rule in denied]


def _rule(pattern: str) -> str:
    """``git push*`` → ``Bash(git push:*)``; a pattern without a star is that command with any arguments."""
    words = pattern.rstrip("*").rstrip(": ")
    return f"Bash({words}:*)" if words else "Bash"


def forbidden(policy: PolicySpec, tool: str, command: str) -> str | None:
    """Return the pattern of the denylist that a command of the line falls under."""
    if tool != "Bash":
        return None
    for pattern in policy.shell_denylist:
        rules = command_policy([f"deny: {denied_words(pattern)}"], Place())
        if pattern.strip("*: ") and decide_command(rules, command).verdict == "deny":
            return pattern
    return None
