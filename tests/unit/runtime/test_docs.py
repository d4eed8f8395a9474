"""The examples of docs/actors.md are programs, and they run."""

import pathlib
import re
from typing import Any

import pytest
import trio

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "actors.md"
EXAMPLES = re.findall(
    r"^## (?P<title>.*?)$.*?^```python\n(?P<code>.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
)


def test_the_page_has_an_example_in_each_of_its_chapters() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("code", [code for _, code in EXAMPLES], ids=[title for title, _ in EXAMPLES])
def test_example(code: str) -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example in docs/actors.md", "exec"), namespace)
    trio.run(namespace["main"])
