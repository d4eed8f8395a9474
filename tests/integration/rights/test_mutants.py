"""The rights matrix fails when a check is taken out; all of them: python -m tests.integration.rights.mutants."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.rights.mutants import MUTANTS
from tests.property.mutants.actors import ROOT

SHOWN = ("scopes of tokens are not looked at", "villages of others are seen", "a viewer types")


def test_those_that_are_shown_are_there_and_each_is_at_one_place() -> None:
    assert set(SHOWN) <= {one.name for one in MUTANTS}
    for one in MUTANTS:
        spec = find_spec(one.module)
        assert spec is not None and spec.origin is not None, one.module
        assert Path(spec.origin).read_text(encoding="utf-8").count(one.old) == 1, one.name


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SHOWN)
def test_the_matrix_notices_a_check_that_is_taken_out(name: str) -> None:
    command = [sys.executable, "-m", "tests.integration.rights.mutants", name, "--mutants-only"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 mutants, 0 survived" in result.stdout
