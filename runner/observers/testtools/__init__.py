"""Test tools: how each is called, what it prints of its counts and its failures, one entry a tool. Pure."""

from townwatch.runner.observers.testtools.javascript import JAVASCRIPT
from townwatch.runner.observers.testtools.others import OTHERS
from townwatch.runner.observers.testtools.python import PYTHON
from townwatch.runner.observers.testtools.tool import TestTool

TOOLS: dict[str, TestTool] = {tool.name: tool for tool in (*PYTHON, *JAVASCRIPT, *OTHERS)}
"""By name."""
