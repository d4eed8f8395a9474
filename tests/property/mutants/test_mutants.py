"""The tests of actors and supervisors notice every bug in the list of tests/property/mutants/actors.py."""

import subprocess
import sys

import pytest

from tests.property.mutants.actors import MUTANTS, ROOT


@pytest.mark.mutants
@pytest.mark.timeout(300)
def test_no_mutant_survives() -> None:
    command = [sys.executable, "-m", "tests.property.mutants.actors"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(MUTANTS)} mutants, 0 survived" in result.stdout
