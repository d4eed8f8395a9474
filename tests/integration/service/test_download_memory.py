"""Many long recordings at once need little memory: bench/downloads.py with small numbers."""

from pathlib import Path

import pytest

from bench.downloads import measure

READERS, MEGABYTES = 12, 8
GROWTH_MB = 60
"""Of 96 MB that are asked for at once."""


@pytest.mark.timeout(240)
def test_unread_recordings_are_not_in_memory_and_all_arrive_in_the_end(tmp_path: Path) -> None:
    found = measure(tmp_path, READERS, MEGABYTES, unread_seconds=2.0)
    assert found.whole == READERS
    assert found.growth_mb < GROWTH_MB
