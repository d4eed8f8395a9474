"""Questions of the agent by ACP, which has no word for them: Qwen sends one as a permission whose call's `_meta` holds
the questions, and takes the answers beside the outcome, by the number of each question.
"""

from townwatch.runner.agents import shape
from townwatch.runner.agents.events import Answer, FromAfar, Question
from townwatch.runner.agents.readings import Asked, answer_to
from townwatch.runner.agents.shape import Json


def question(call: Json) -> Question | None:
    """Return what the agent asks a person; None where it asks for a permission. Raises `ShapeError`."""
    meta = shape.optional_member(call, "_meta")
    if meta.get("qwenInteractionKind") != "user_question":
        return None
    asked = shape.items(meta, "qwenQuestions")
    return Question(
        summary=shape.text(asked[0], "question") if asked else "a question",
        category="question",
        tool=shape.optional_text(meta, "toolName") or "question",
        tool_use_id=shape.text(call, "toolCallId"),
        questions=[dict(one) for one in asked],
        from_afar=FromAfar(note="no", changed_input=False),
    )


def answers(asked: Asked, answer: Answer) -> Json:
    """Return the members that go beside an outcome: the answers of a yes. Raises `NotPossible` where one is missing."""
    if asked.question.category != "question" or answer.decision != "allow":
        return {}
    texts = [shape.text(shape.maybe(one), "question") for one in shape.maybe_list(asked.question.questions)]
    given = [answer_to(text, str(number), of=len(texts), answer=answer) for number, text in enumerate(texts)]
    return {"answers": {str(number): ", ".join(words) for number, words in enumerate(given)}}
