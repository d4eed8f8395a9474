"""The rights matrix fails when a check is taken out; all of them: python -m tests.integration.rights.mutants."""

import subprocess
import sys

import pytest

from tests.integration.rights.mutants import MUTANTS
from tests.property.mutants.actors import ROOT

SHOWN = ("scopes of tokens are not looked at", "villages of others are seen", "a viewer types")


def test_those_that_are_shown_are_there() -> None:
    assert set(SHOWN) <= {one.name for one in MUTANTS}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SHOWN)
def test_the_matrix_notices_a_check_that_is_taken_out(name: str) -> None:
    command = [sys.executable, "-m", "tests.integration.rights.mutants", name, "--mutants-only"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 mutants, 0 survived" in result.stdout
