"""Variables in front of a command: which ones change nothing about what it runs. Pure."""

import re

HARMLESS = frozenset(
    "CI NODE_ENV NO_COLOR FORCE_COLOR TERM LANG TZ COLUMNS RUST_LOG RUST_BACKTRACE PYTHONDONTWRITEBYTECODE"
    " PYTHONUNBUFFERED".split()
)
_LOOP = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)?|[A-Z]")
_MEANT = frozenset(
    "path cdpath fpath home shell prompt psvar argv status http_proxy https_proxy ftp_proxy all_proxy no_proxy"
    " histchars auto_resume".split()
)


def harmless_assignment(name: str, value: str, named: frozenset[str]) -> bool:
    """Return True for a literal value of a variable that programs do not run or load things by."""
    if name in named:
        return True
    if name == "PAGER":
        return value == "cat"
    if name == "TERM" or name == "TZ" or name == "LANG" or name.startswith("LC_"):
        return ((name in HARMLESS or name.startswith("LC_")) and "/" not in value.removeprefix(":")) or (
            name == "TZ" and re.fullmatch(r":?[A-Za-z]+(/[A-Za-z_+-]+)*", value) is not None
        )
    return name in HARMLESS


def harmless_variable(name: str) -> bool:
    """Return True for the variable of a loop that no program reads from its environment."""
    return _LOOP.fullmatch(name) is not None and name not in _MEANT and not name.startswith(("npm_", "git_", "ld_"))
