"""Which pull requests are open, as the forge's own program says; what it does not say is not known."""

import json
import os
from pathlib import Path

import pytest

from townwatch.runner.landing import forge
from townwatch.runner.landing.programs import ProgramFailed, Programs
from townwatch.runner.landing.tree import Forge

LISTED = {
    "gh": [{"url": "https://github.example/a/b/pull/7", "headRefOid": "c0ffee"}],
    "glab": [{"web_url": "https://gitlab.example/a/b/-/merge_requests/7", "sha": "c0ffee", "title": "more"}],
}


def programs(folder: Path, name: str, script: str) -> Programs:
    (folder / name).write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > asked\n{script}\n")
    (folder / name).chmod(0o755)
    return Programs(folder, {"PATH": f"{folder}:{os.environ['PATH']}"})


@pytest.mark.parametrize("name", ["gh", "glab"])
async def test_the_open_ones_of_a_branch_with_their_commits(tmp_path: Path, name: Forge) -> None:
    (tmp_path / "answer").write_text(json.dumps(LISTED[name]))
    found = await forge.open_ones(programs(tmp_path, name, "cat answer"), name, "feature; $(x)")
    assert list(found.values()) == ["c0ffee"]
    assert all(one.endswith("/7") for one in found)
    assert "feature; $(x)" in (tmp_path / "asked").read_text().splitlines()


@pytest.mark.parametrize("name", ["gh", "glab"])
@pytest.mark.parametrize("script", ["echo no such remote >&2; exit 1", "echo hello", "echo '{}'", "echo '[{}]'"])
async def test_an_answer_that_is_no_list_is_not_known_and_not_none(tmp_path: Path, name: Forge, script: str) -> None:
    with pytest.raises(ProgramFailed):
        await forge.open_ones(programs(tmp_path, name, script), name, "feature")
