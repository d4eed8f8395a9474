"""The environment of a session's processes."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

_SIZE = frozenset({"COLUMNS", "LINES"})
"""As old as the shell that set them: the terminal itself knows its size."""
_FOREIGN = re.compile(
    r"(?x) CLAUDECODE | CLAUDE_CODE_(?:ENTRYPOINT|SSE_PORT|SESSION_ID) | CODEX_(?:SANDBOX\w*|THREAD_ID) | GEMINI_CLI"
    r" | AI_AGENT | TMUX\w* | STY | WINDOW(?:ID)? | ZELLIJ\w* | TERM_PROGRAM\w* | TERM_SESSION_ID | LC_TERMINAL\w*"
    r" | TERMINAL_EMULATOR"
    r" | VSCODE_\w+ | KITTY_\w+ | WEZTERM_\w+ | ITERM_\w+ | ALACRITTY_\w+ | GHOSTTY_\w+ | KONSOLE_\w+ | VTE_VERSION"
    r" | WT_SESSION | WT_PROFILE_ID | COLORFGBG | NVIM | VIM | VIMRUNTIME | INSIDE_EMACS | SSH_TTY"
    r" | GPG_TTY | XTERM_\w+ | TRACEPARENT | TRACESTATE"
)
"""What tells of the terminal, the multiplexer, the agent or the trace in which the runner itself was started."""
TRACEPARENT = "TRACEPARENT"
"""Place of a process in a trace (W3C Trace Context), as CI systems and agent CLIs know it."""
_UTF8 = re.compile(r"(?i)utf-?8")


def session_environment(
    own_terminal: bool, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> dict[str, str]:
    """Ours, with the `townwatch` command at the end of the path.

    `directory`: where the session begins; PWD names it. Programs that believe PWD (OpenCode does) would work where the
    runner was started instead. In its own terminal a name that leads there by links, as shells keep it, stays.

    `own_terminal`: the session runs in the terminal in which its runner was started (`townwatch run`) and keeps what is
    said about that one. Else the session's terminal is the page's: 256 colours and more, UTF-8.
    """
    found = {name: value for name, value in (os.environ if environ is None else environ).items() if name not in _SIZE}
    if own_terminal:
        found.setdefault("TERM", "xterm-256color")
    else:
        found = {name: value for name, value in found.items() if _FOREIGN.fullmatch(name) is None}
        found |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        _speak_utf8(found)
    if directory is not None and not (own_terminal and _same_place(found.get("PWD"), directory)):
        found.pop("OLDPWD", None)
        found["PWD"] = str(directory)
    found["PATH"] = os.pathsep.join([found.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return found


def _same_place(named: str | None, directory: Path) -> bool:
    if named is None or not os.path.isabs(named) or ".." in Path(named).parts:
        return False
    try:
        return os.path.samefile(named, directory)
    except OSError:
        return False


def _speak_utf8(found: dict[str, str]) -> None:
    """The page draws UTF-8: a locale that says something else, or nothing, is replaced."""
    effective = found.get("LC_ALL") or found.get("LC_CTYPE") or found.get("LANG") or ""
    if not _UTF8.search(effective):
        for name in ("LC_ALL", "LC_CTYPE"):
            found.pop(name, None)
        found["LANG"] = "C.UTF-8"
    found.setdefault("LANG", effective)
