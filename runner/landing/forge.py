"""Pull requests by the forge's own program: `gh` (GitHub), `glab` (GitLab)."""

import json
import re
from typing import Any, cast

from townwatch.runner.landing.programs import ProgramFailed, Programs
from townwatch.runner.landing.tree import Forge

URL = re.compile(r"https?://[^\s\"'<>]+")
LIST_SECONDS = 20.0


def words_to_open(forge: Forge, title: str, body: str, branch: str, base: str | None, *, draft: bool) -> list[str]:
    """Return the command that opens a pull request. `base` None: the forge's own choice."""
    into = [] if base is None else [f"--{'base' if forge == 'gh' else 'target-branch'}", base]
    more = ["--draft"] if draft else []
    if forge == "gh":
        return ["gh", "pr", "create", "--title", title, "--body", body, "--head", branch, *into, *more]
    words = ["glab", "mr", "create", "--title", title, "--description", body, "--source-branch", branch]
    return [*words, *into, *more, "--yes"]


async def open_ones(programs: Programs, forge: Forge, branch: str) -> dict[str, str]:
    """Return the open pull requests of a branch: address → commit. Raises `ProgramFailed`: it is not known."""
    words = ["gh", "pr", "list", "--head", branch, "--state", "open", "--json", "url,headRefOid"]
    url, commit = "url", "headRefOid"
    if forge == "glab":
        words = ["glab", "mr", "list", "--source-branch", branch, "--output", "json"]
        url, commit = "web_url", "sha"
    done = await programs.run(words, " ".join(words[:3]), seconds=LIST_SECONDS)
    try:
        listed: Any = json.loads(done.text)
        if not isinstance(listed, list):
            raise TypeError
        return {str(one[url]): str(one[commit]) for one in cast("list[dict[str, Any]]", listed)}
    except (ValueError, KeyError, TypeError):
        raise ProgramFailed(f"{' '.join(words[:3])} answered with no list: {done.text[:200]!r}") from None
