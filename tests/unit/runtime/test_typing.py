"""A wrong use is red in the editor: basedpyright finds in typed.py what is marked WRONG, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("typed.py")


def test_the_type_checker_sees_replies_addresses_and_forgotten_awaits(tmp_path: Path):
    checker = Path(sys.executable).with_name("basedpyright")
    if not checker.exists():
        pytest.skip("basedpyright is not installed")
    root, package = FILE.parents[3], tmp_path / "townwatch"
    package.mkdir()
    for part in (root / "runtime", root / "supervision", root / "townwatch" / "__init__.py"):
        (package / part.name).symlink_to(part)
    settings = {"include": [str(FILE)], "extraPaths": [str(tmp_path)], "typeCheckingMode": "standard", "venv": ""}
    settings |= {"reportUnusedCoroutine": "error", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [str(checker), "-p", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    found = {
        (one["range"]["start"]["line"] + 1, one["rule"])
        for one in json.loads(done.stdout)["generalDiagnostics"]
        if one["severity"] == "error"
    }
    lines = enumerate(FILE.read_text().splitlines(), 1)
    assert found == {(number, line.partition("# WRONG: ")[2]) for number, line in lines if "# WRONG: " in line}
