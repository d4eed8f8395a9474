"""Redocly's linter, with its recommended rules, has nothing to say against the OpenAPI document."""

import json
import subprocess
from typing import Any

import pytest

from tests.support.service import JS, node
from townwatch.contracts.codec import encode
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.openapi import document

pytestmark = pytest.mark.node


def findings(described: Any) -> list[str]:
    if not (JS / "node_modules" / "@redocly" / "openapi-core").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    run = [node(), str(JS / "openapi.mjs")]
    done = subprocess.run(run, input=encode(described), capture_output=True, cwd=JS, timeout=120, check=True)
    return [f"{one['ruleId']} at {one['at']}: {one['message']}" for one in json.loads(done.stdout)]


def test_the_linter_finds_nothing() -> None:
    described = document(OPERATIONS, "1.2.3")
    assert findings(described) == []
    del described["paths"]["/api/status"]["get"]["operationId"]
    assert [one.partition(" ")[0] for one in findings(described)] == ["operation-operationId"]
