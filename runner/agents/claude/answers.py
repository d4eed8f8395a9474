"""A person's decision in the words of Claude Code: the same for its hooks and for its control protocol. Pure."""

from collections.abc import Mapping
from typing import Any

from townwatch.runner.agents.claude import tools
from townwatch.runner.agents.claude.tools import fields_of
from townwatch.runner.agents.events import Answer
from townwatch.runner.session.lifecycle import NotPossible


def decision(name: str, given: Mapping[str, Any], suggestions: Any, answer: Answer) -> dict[str, Any]:
    """Return {behavior, …}. Raises `NotPossible` for an answer that does not fit what was asked."""
    if answer.decision != "allow":
        return _denial(answer)
    if answer.option_id == "deny":
        raise NotPossible("the option deny does not go with the decision allow")
    found: dict[str, Any] = {"behavior": "allow", "updatedInput": dict(given)}
    if answer.updated_input is not None:
        changed = fields_of(answer.updated_input)
        if not changed:
            raise NotPossible("updatedInput must be an object: the tool's input, changed")
        found["updatedInput"] = dict(changed)
    if name == "AskUserQuestion":
        found["updatedInput"] = {**found["updatedInput"], "answers": _answers(given, answer)}
    elif answer.option_id is not None and answer.option_id.startswith("suggestion:"):
        number = answer.option_id.removeprefix("suggestion:")
        if not isinstance(suggestions, list) or not number.isdecimal() or int(number) >= len(suggestions):  # pyright: ignore[reportUnknownArgumentType]
            raise NotPossible(f"there is no option {answer.option_id!r} in this question")
        found["updatedPermissions"] = [suggestions[int(number)]]
    return found


def _denial(answer: Answer) -> dict[str, Any]:
    by = f"{answer.by} said no" if answer.by else "This was denied"
    message = f"{by}: {answer.note}" if answer.note else f"{by}."
    return {"behavior": "deny", "message": message, **({"interrupt": True} if answer.stop else {})}


def _answers(given: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """The answer of each question. A single one may be answered by the label of an option."""
    asked = [str(one.get("question", "")) for one in tools.questions(given)]
    answers = dict(answer.answers or {})
    if not answers and answer.option_id is not None and len(asked) == 1:
        answers = {asked[0]: answer.option_id}
    if missing := [one for one in asked if one not in answers]:
        raise NotPossible(f"the question needs an answer: give answers {{{missing[0]!r}: …}}, or deny")
    return {one: _one(answers[one]) for one in asked}


def _one(value: Any) -> str:
    """Several choices of one question are one text to the CLI."""
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
