"""Questions of Qwen to a person, in the shapes that it sends: no bare yes answers them."""

from typing import Any

import pytest

from tests.support.tracing import of_type
from townwatch.runner.agents.acp import questions
from townwatch.runner.agents.acp.host import choice
from townwatch.runner.agents.acp.reading import UpdateReader
from townwatch.runner.agents.events import Answer
from townwatch.runner.agents.qwen.reading import QwenReader
from townwatch.runner.agents.readings import Asked, Settled
from townwatch.runner.session.lifecycle import NotPossible

COLOUR: dict[str, Any] = {"question": "Which colour?", "header": "Colour", "options": [{"label": "red"}]}
SIZE: dict[str, Any] = {"question": "Which size?", "header": "Size", "options": [{"label": "big"}]}


def asked_by_acp(*of: dict[str, Any]) -> Asked:
    meta = {"toolName": "ask_user_question", "qwenInteractionKind": "user_question", "qwenQuestions": list(of)}
    options = [
        {"optionId": "proceed_once", "name": "Submit", "kind": "allow_once"},
        {"optionId": "cancel", "name": "Cancel", "kind": "reject_once"},
    ]
    call = {"toolCallId": "c1", "status": "pending", "title": "Ask user", "kind": "think", "_meta": meta}
    (asked,) = of_type(UpdateReader().asked("1", {"toolCall": call, "options": options}), Asked)
    return asked


def test_several_questions_are_answered_by_their_number() -> None:
    asked = asked_by_acp(COLOUR, SIZE)
    assert (asked.question.category, asked.question.summary) == ("question", "Which colour?")
    answer = Answer(decision="allow", answers={"Which colour?": "red", "Which size?": ["big", "small"]})
    assert choice(asked, answer) == "proceed_once"
    assert questions.answers(asked, answer) == {"answers": {"0": "red", "1": "big, small"}}


def test_a_single_one_is_answered_by_an_option() -> None:
    answer = Answer(decision="allow", option_id="red")
    assert choice(asked_by_acp(COLOUR), answer) == "proceed_once"
    assert questions.answers(asked_by_acp(COLOUR), answer) == {"answers": {"0": "red"}}


@pytest.mark.parametrize("given", [None, {"Which colour?": "red"}])
def test_a_yes_without_each_answer_is_none(given: Any) -> None:
    with pytest.raises(NotPossible, match="has no answer"):
        questions.answers(asked_by_acp(COLOUR, SIZE), Answer(decision="allow", answers=given))


def test_a_no_needs_no_answer() -> None:
    answer = Answer(decision="deny")
    assert choice(asked_by_acp(COLOUR), answer) == "cancel"
    assert questions.answers(asked_by_acp(COLOUR), answer) == {}


def asked_by_file(reader: QwenReader) -> Asked:
    request = {"subtype": "can_use_tool", "tool_name": "ask_user_question", "tool_use_id": "c1"}
    event = {"type": "control_request", "request_id": "r1", "request": {**request, "input": {"questions": [COLOUR]}}}
    (asked,) = of_type(reader.event(event), Asked)
    return asked


def test_qwens_terminal_takes_no_answer_from_afar() -> None:
    asked = asked_by_file(QwenReader())
    assert (asked.question.category, asked.question.summary) == ("question", "Which colour?")
    assert asked.question.from_afar.allow == "no"


@pytest.mark.parametrize(
    ("text", "denied", "outcome"),
    [
        ("User has provided the following answers:\n\n**Colour**: red", False, "allow"),
        ("User declined to answer the questions.", False, "deny"),
        ("User has provided the following answers:", True, "deny"),
    ],
)
def test_what_its_terminal_answered_is_known_by_the_calls_result(text: str, denied: bool, outcome: str) -> None:
    reader = QwenReader()
    asked_by_file(reader)
    if denied:
        reader.calls.deny("c1")
    block = {"type": "tool_result", "tool_use_id": "c1", "is_error": False, "content": text}
    result = {"type": "user", "message": {"role": "user", "content": [block]}}
    assert of_type(reader.event(result), Settled) == [Settled(request="r1", outcome=outcome)]  # type: ignore[arg-type]
    assert of_type(reader.event(result), Settled) == []
