"""Sessions counted by house, agent, person and outcome: each as the other filters leave them, and nobody else's."""

from typing import Any

import pytest

from tests.support.cast import event
from townwatch.contracts.ui import repo_id
from townwatch.transports.http.routes.reading import counts


def started(path: str) -> dict[str, Any]:
    fields = {"providerId": "codex", "providerVersion": "1", "workspacePath": path}
    return {**event("SESSION_STARTED", 1, **fields), "repoRef": {"provider": "local", "path": path}}


async def test_counts_are_what_one_would_see_by_choosing(rest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for session, path in {"s1": "/w", "s2": "/w", "s3": "/x"}.items():
        await rest.session(started(path), session_id=session)
    await rest.session(started("/y"), session_id="s4", village="open")
    w, x = (repo_id(rest.keys["closed"], path) for path in ("/w", "/x"))
    found = (await rest.get("/api/session-counts?villageId=closed")).json()
    assert (found["houses"], list(found["agents"].values())) == ({w: 2, x: 1}, [1, 1, 1])
    assert (found["people"], found["outcomes"]) == ({}, {"live": 3})
    found = (await rest.get(f"/api/session-counts?villageId=closed&repoId={x}")).json()
    assert (found["houses"], list(found["agents"].values()), found["outcomes"]) == ({w: 2, x: 1}, [1], {"live": 1})
    for agent, count in (await rest.get(f"/api/session-counts?villageId=closed&repoId={w}")).json()["agents"].items():
        listed = await rest.get(f"/api/runner/sessions?villageId=closed&repoId={w}&agentId={agent}")
        assert listed.json()["total"] == count
    assert sum((await rest.get("/api/session-counts", "stranger")).json()["houses"].values()) == 1
    monkeypatch.setattr(counts, "MOST", 2)
    assert set((await rest.get("/api/session-counts?villageId=closed")).json().values()) == {None}
