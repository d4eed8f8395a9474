"""Where each CLI keeps its conversations, and how one is recognised there. No file of credentials is opened.

Each of these returns what its CLI has, the newest first, and raises `OSError` or `CannotTell` where it cannot tell.
"""

import sqlite3
import stat
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from townwatch.runner.agents.earlier.files import (
    MOST_FILES,
    CannotTell,
    FoundConversation,
    newest,
    records,
    text,
    title_of,
    words_of,
)
from townwatch.runner.reading import read_file

Env = Mapping[str, str]
Reader = Callable[[Path, float], FoundConversation | None]
"""(file, changed) → the conversation in it; None where there is none that a person began."""
BUSY_SECONDS = 2.0


def _home(env: Env, variable: str, *below: str) -> Path:
    """Return the directory that a variable names, else the one below HOME."""
    return Path(env[variable]) if env.get(variable) else Path(env.get("HOME") or "~").expanduser().joinpath(*below)


def _each(base: Path, pattern: str, read: Reader) -> list[FoundConversation]:
    files = newest(base, pattern)
    found: list[FoundConversation] = []
    unreadable: list[OSError] = []
    known = 0
    for at, path in files:
        try:
            one = read(path, at)
        except OSError as error:
            unreadable.append(error)
            continue
        except CannotTell:
            continue
        known += 1
        if one is not None:
            found.append(one)
    if files and not known:
        raise unreadable[0] if unreadable else CannotTell("its files are of a shape that is not known here")
    return found


def claude(env: Env) -> list[FoundConversation]:
    """``projects/DIRECTORY/CONVERSATION.jsonl``."""

    def read(path: Path, at: float) -> FoundConversation | None:
        lines = records(path)
        where = next((found for line in lines if (found := text(line, "cwd"))), None)
        asked = [line for line in lines if line.get("type") == "user" and not line.get("isMeta")]
        if path.stem.startswith("agent-") or any(line.get("isSidechain") for line in asked[:1]):
            return None
        if where is None:
            if any(line.get("type") == "user" for line in lines):
                raise CannotTell("no directory is named")
            return None  # begun, and nothing was said
        said = [words_of(line.get("message", {}).get("content")) for line in asked if _is_object(line.get("message"))]
        return FoundConversation(name=path.stem, directory=where, at=at, title=title_of(said)) if asked else None

    return _each(_home(env, "CLAUDE_CONFIG_DIR", ".claude") / "projects", "*/*.jsonl", read)


def codex(env: Env) -> list[FoundConversation]:
    """``sessions/YEAR/MONTH/DAY/rollout-….jsonl``, of which the first line says whose it is."""

    def read(path: Path, at: float) -> FoundConversation | None:
        lines = records(path)
        about = next((line for line in lines if line.get("type") == "session_meta"), None)
        name, where = (None, None) if about is None else (text(about, "payload", "id"), text(about, "payload", "cwd"))
        if about is None or name is None or where is None:
            raise CannotTell("no session_meta")
        if _is_object(about["payload"].get("source")):  # of a subagent
            return None
        payloads = [line["payload"] for line in lines if _is_object(line.get("payload"))]
        said = [words_of(one.get("message")) for one in payloads if one.get("type") == "user_message"]
        said += [words_of(one.get("content")) for one in payloads if one.get("role") == "user"]
        return FoundConversation(name=name, directory=where, at=at, title=title_of(said))

    return _each(_home(env, "CODEX_HOME", ".codex") / "sessions", "*/*/*/rollout-*.jsonl", read)


def opencode(env: Env) -> list[FoundConversation]:
    """The table ``session`` of ``opencode.db``, which is opened for reading only."""
    path = _home(env, "XDG_DATA_HOME", ".local", "share") / "opencode" / "opencode.db"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(f"{path} is no regular file")
    except FileNotFoundError:
        return []
    # A database without a log is not in use, and SQLite would make one to read it: it is taken as it stands.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    wanted = "id, directory, title, time_updated FROM session WHERE parent_id IS NULL ORDER BY time_updated DESC"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=BUSY_SECONDS)) as database:
            rows: list[Any] = database.execute(f"SELECT {wanted} LIMIT {MOST_FILES}").fetchall()
        return [
            FoundConversation(name=str(name), directory=str(where), at=float(at) / 1000, title=title_of([str(title)]))
            for name, where, title, at in rows
        ]
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise CannotTell(f"its database cannot be read: {error}") from None


def gemini(env: Env) -> list[FoundConversation]:
    """``tmp/PROJECT/chats/session-….jsonl``; beside them ``.project_root`` names the directory."""

    def read(path: Path, at: float) -> FoundConversation | None:
        lines = records(path)
        name = next((found for line in lines if (found := text(line, "sessionId"))), None)
        if name is None:
            raise CannotTell("no sessionId")
        if any(line.get("kind") == "subagent" for line in lines[:1]):
            return None
        where = read_file(path.parents[1] / ".project_root", most=4096).decode().strip()
        said = [words_of(line.get("content")) for line in lines if line.get("type") == "user"]
        return FoundConversation(name=name, directory=where, at=at, title=title_of(said)) if any(said) else None

    return _each(_home(env, "GEMINI_CLI_HOME") / ".gemini" / "tmp", "*/chats/session-*.jsonl", read)


def qwen(env: Env) -> list[FoundConversation]:
    """``projects/DIRECTORY/chats/CONVERSATION.jsonl``."""

    def read(path: Path, at: float) -> FoundConversation | None:
        lines = records(path)
        where = next((found for line in lines if (found := text(line, "cwd"))), None)
        if where is None:
            raise CannotTell("no directory is named")
        messages = [line["message"] for line in lines if line.get("type") == "user" and _is_object(line.get("message"))]
        said = [words_of(one.get("parts") or one.get("content")) for one in messages]
        return FoundConversation(name=path.stem, directory=where, at=at, title=title_of(said)) if any(said) else None

    return _each(_home(env, "QWEN_HOME", ".qwen") / "projects", "*/chats/*.jsonl", read)


def copilot(env: Env) -> list[FoundConversation]:
    """``session-state/CONVERSATION/events.jsonl``."""

    def read(path: Path, at: float) -> FoundConversation | None:
        lines = records(path)
        about = next((line for line in lines if line.get("type") == "session.start"), None)
        where = None if about is None else text(about, "data", "context", "cwd")
        if about is None or where is None:
            raise CannotTell("no session.start")
        said = [text(line, "data", "content") or "" for line in lines if line.get("type") == "user.message"]
        name = text(about, "data", "sessionId") or path.parent.name
        return FoundConversation(name=name, directory=where, at=at, title=title_of(said)) if any(said) else None

    return _each(_home(env, "COPILOT_HOME", ".copilot") / "session-state", "*/events.jsonl", read)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


STORES: dict[str, Callable[[Env], list[FoundConversation]]] = {
    "claude_code": claude,
    "codex": codex,
    "opencode": opencode,
    "gemini_cli": gemini,
    "qwen_code": qwen,
    "copilot": copilot,
}
"""providerId → its reader."""
