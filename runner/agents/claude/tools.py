"""Claude Code's tools: what a call is about, what it touches, what a person is asked. Pure."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, cast

from townwatch.contracts.events import Category, Risk
from townwatch.runner.agents import events as a
from townwatch.runner.agents.shell import simple_commands

Json = Mapping[str, Any]
WRITES = {"Write": "file_path", "Edit": "file_path", "MultiEdit": "file_path", "NotebookEdit": "notebook_path"}
READS = {"Read": "file_path", "NotebookRead": "notebook_path"}
NETWORK = frozenset({"WebFetch", "WebSearch"})
TITLES = ("command", "file_path", "notebook_path", "pattern", "url", "query", "description", "prompt", "plan")
_DEPENDENCIES = {
    **{key: {"i", "install", "add"} for key in ("npm", "pnpm", "yarn", "bun")},
    **{key: {"install"} for key in ("pip", "pip3", "pipx", "gem", "apt", "apt-get", "brew")},
    **{key: {"add", "install"} for key in ("uv", "poetry", "cargo", "pdm")},
    "go": {"get", "install"},
}
_NETWORK_PROGRAMS = frozenset({"curl", "wget", "ssh", "scp", "rsync", "nc", "telnet", "ftp"})
_DANGEROUS = frozenset({"sudo", "su", "dd", "mkfs", "shutdown", "reboot", "chmod", "chown"})


def text_of(value: Any) -> str:
    """Return the text of a content: a string, or blocks of which some are text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    blocks = [cast(Json, block) for block in cast("list[Any]", value) if isinstance(block, dict)]
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def fields_of(value: Any) -> Json:
    """Return a JSON object, or an empty one."""
    return cast(Json, value) if isinstance(value, dict) else {}


def title(name: str, given: Json) -> str:
    """Return what a call is about, in a line."""
    if name == "AskUserQuestion":
        return "; ".join(str(one.get("question", "")) for one in questions(given))
    found = next((str(given[key]) for key in TITLES if isinstance(given.get(key), str)), "")
    return found.strip().partition("\n")[0][:300]


def questions(given: Json) -> list[Json]:
    """Return the questions of an AskUserQuestion."""
    asked = given.get("questions")
    return [fields_of(one) for one in cast("list[Any]", asked)] if isinstance(asked, list) else []


def plan(name: str, given: Json) -> a.AgentPlan | None:
    """Return the to-do list that a call writes, if it writes one."""
    todos = given.get("todos")
    if name != "TodoWrite" or not isinstance(todos, list):
        return None
    items = [fields_of(one) for one in cast("list[Any]", todos)]
    return a.AgentPlan(
        items=[a.PlanItem(text=str(i.get("content", "")), status=str(i.get("status", ""))) for i in items]
    )


def started(call_id: str, name: str, given: Json) -> list[a.AgentEvent | a.Fact]:
    """Return what the start of a call says."""
    if name == "Bash":
        return [a.CommandStarted(id=call_id, command=str(given.get("command", "")))]
    found = plan(name, given)
    return [found] if found is not None else []


def ended(call_id: str, name: str, given: Json, output: str, exit_code: int | None, ran: bool) -> list[a.Fact]:
    """Return what the end of a call says. `ran`: it was neither denied nor refused."""
    if name == "Bash":
        return [a.CommandEnded(id=call_id, output=output, exit_code=exit_code, ran=ran)]
    if not ran or exit_code not in (None, 0):
        return []
    path = given.get(WRITES.get(name) or READS.get(name) or "")
    if isinstance(path, str) and path:
        return [a.FileAccess(path=path, reason="write" if name in WRITES else "read")]
    return []


def question(name: str, given: Json, suggestions: Any, **more: Any) -> a.Question:
    """Return what a person is asked before the call may run."""
    about = title(name, given)
    category, risk = _kind(name, given)
    options = [a.AnswerOption(id="allow", label="Allow once", kind="allow_once")]
    for number, suggestion in enumerate(cast("list[Any]", suggestions) if isinstance(suggestions, list) else []):
        label = _suggestion(fields_of(suggestion))
        options.append(a.AnswerOption(id=f"suggestion:{number}", label=label, kind="allow_always"))
    options.append(a.AnswerOption(id="deny", label="Deny", kind="reject_once"))
    if category == "question":
        options = _choices(given)
    return a.Question(
        summary=f"{name}: {about}"[:500] if about else name,
        category=category,
        risk=risk,
        tool=name,
        input=dict(given),
        diff=diff(name, given),
        options=options,
        suggestions=suggestions or None,
        questions=given.get("questions") if category == "question" else None,
        from_afar=a.FromAfar(note="deny"),
        **more,
    )


def _choices(given: Json) -> list[a.AnswerOption]:
    """The options of a single question; more than one question is answered by `answers` alone."""
    asked = questions(given)
    listed = asked[0].get("options") if len(asked) == 1 else None
    found = [fields_of(one) for one in cast("list[Any]", listed)] if isinstance(listed, list) else []
    return [
        a.AnswerOption(
            id=str(one.get("label", "")), label=str(one.get("label", "")), description=one.get("description")
        )
        for one in found
    ]


def _suggestion(one: Json) -> str:
    """A rule that the CLI itself offers, in words."""
    where = {"session": "this session", "localSettings": "this project", "projectSettings": "this project's settings"}
    scope = where.get(str(one.get("destination")), str(one.get("destination", "")))
    match one.get("type"):
        case "addRules":
            rules = one.get("rules")
            found = [fields_of(rule) for rule in cast("list[Any]", rules)] if isinstance(rules, list) else []
            words = ", ".join(f"{rule.get('toolName')}({rule.get('ruleContent', '')})" for rule in found)
            return f"Always {one.get('behavior', 'allow')} {words} in {scope}"
        case "setMode":
            return f"Switch to mode {one.get('mode')} for {scope}"
        case "addDirectories":
            listed = one.get("directories")
            names = ", ".join(str(name) for name in cast("list[Any]", listed)) if isinstance(listed, list) else ""
            return f"Allow access to {names} in {scope}"
        case other:
            return f"{other} for {scope}"


def _kind(name: str, given: Json) -> tuple[Category, Risk]:
    if name == "Bash":
        return command_kind(str(given.get("command", "")))
    if name in WRITES:
        return "edit", "med"
    if name in NETWORK:
        return "network", "med"
    if name == "AskUserQuestion":
        return "question", "low"
    if name == "ExitPlanMode":
        return "plan", "low"
    return "other", "med"


def command_kind(command: str) -> tuple[Category, Risk]:
    """Return the category and risk of a line of shell, from the programs in it."""
    kinds = [_program_kind(words) for words in simple_commands(command)]
    for wanted in ("merge", "deps_add", "network"):
        if wanted in (category for category, _ in kinds):
            return wanted, "high" if any(risk == "high" for _, risk in kinds) else "med"
    return "shell", "high" if not kinds or any(risk == "high" for _, risk in kinds) else "med"


def _program_kind(words: Iterable[str]) -> tuple[Category, Risk]:
    plain = [word for word in words if "=" not in word.partition(" ")[0] or word.startswith("-")]
    program, *rest = [plain[0].rpartition("/")[2], *plain[1:]] if plain else [""]
    verb = next((word for word in rest if not word.startswith("-")), "")
    risk: Risk = (
        "high" if program in _DANGEROUS or (program == "rm" and any(w.startswith("-") for w in rest)) else "med"
    )
    if (program == "git" and verb in ("merge", "push")) or (program == "gh" and rest[:2] == ["pr", "merge"]):
        return "merge", "high" if "--force" in rest or "-f" in rest else risk
    if verb in _DEPENDENCIES.get(program, ()):
        return "deps_add", risk
    if program in _NETWORK_PROGRAMS:
        return "network", risk
    return "shell", risk


def diff(name: str, given: Json) -> str | None:
    """Return the change that a call would make, as a unified diff of what it says."""
    path = str(given.get(WRITES.get(name, ""), ""))
    if name == "Write":
        return _unified(path, "", str(given.get("content", "")))
    if name == "Edit":
        return _unified(path, str(given.get("old_string", "")), str(given.get("new_string", "")))
    edits = given.get("edits")
    if name == "MultiEdit" and isinstance(edits, list):
        pieces = [fields_of(one) for one in cast("list[Any]", edits)]
        return "".join(_unified(path, str(p.get("old_string", "")), str(p.get("new_string", ""))) for p in pieces)
    return None


def _unified(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, lineterm="")
    return "".join(f"{line}\n" for line in lines)
