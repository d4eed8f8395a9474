"""The examples of docs/actors.md are programs: they run, and print what the page says."""

import logging
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "actors.md").read_text()
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$(?:(?:(?!```|^#).)*?^```text\n(?P<output>.*?)^```$)?", re.S | re.M)
TITLE = re.compile(r"^##? (.*)$", re.M)
EXAMPLES = [
    pytest.param(one["code"], one["output"], id=TITLE.findall(PAGE[: one.start()])[-1]) for one in BLOCK.finditer(PAGE)
]


def test_the_page_begins_with_a_program_and_every_chapter_but_two_has_one() -> None:
    without = [chapter.partition("\n")[0] for chapter in PAGE.split("\n## ")[1:] if "```python" not in chapter]
    assert without == [
        "Guide: when not to use an actor",
        "Guide: how many restarts are right",
        "What is guaranteed, and what is not",
    ]
    assert PAGE.index("```python") < PAGE.index("\n## ")


@pytest.fixture
def as_before() -> Iterator[None]:
    """Undo what an example does to the loggers."""
    loggers = [logging.getLogger(name) for name in ("pykka", "townwatch.supervision")]
    state = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    for logger, level, handlers in state:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(("code", "output"), EXAMPLES)
def test_example(code: str, output: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "example in docs/actors.md", "exec"), namespace)
    assert output is None or capsys.readouterr().out == output
