"""Every operation that changes something leaves one entry in the audit log, and says who, where and on what."""

import pytest

from tests.integration.http.test_access import BODIES, TABLE, VALUES, prepare
from townwatch.store import audit
from townwatch.transports.http.app import OPERATIONS

OWNERS = sorted(
    (one for one in OPERATIONS if one.audit is not None and TABLE[one.name]["owner"] == "ok"), key=lambda one: one.name
)
ELSEWHERE = {
    "exchange_code",
    "sign_in_with_password",
    "join_runner",
    "revoke_token",
    "close_connection",
    "register_runner",
    "create_village",
    "disable_user",
    "enable_user",
    "invite_person",
    "sign_person_out",
    "set_administrator_rights",
    *("end_clip", "rename_house"),
    *("end_my_sign_in", "end_sign_in_of"),
    "broadcast_event",
    *("confirm_channel", "change_channel", "delete_channel", "try_channel"),
    *("decide_by_link", "take_back_by_link"),
}
"""Those that an owner's token alone does not open: below, and in the tests of each."""
UNASKED = {
    "delete_village",
    "remove_runner",
    "delete_session",
    "clean_worktree",
    *("commit_changes", "switch_branch", "push_branch", "open_pull_request", "merge_branch"),
    "take_back_approval",
    "see_failure",
    "end_bridge",
}
"""Not while a session lives there, nor without a worktree, a held decision, a failure, a bridge or git there."""


def test_the_two_lists_together_have_every_operation_that_is_noted():
    noted = {one.name for one in OPERATIONS if one.audit is not None}
    assert noted == {one.name for one in OWNERS} | ELSEWHERE


@pytest.mark.parametrize("operation", [one for one in OWNERS if one.name not in UNASKED], ids=lambda one: one.name)
async def test_it_leaves_one_entry(rest, operation):
    await prepare(rest)
    before = await rest.database.read(audit.entries_after, 0, 1000, None)
    answer = await rest.ask(operation.method, operation.path.format(**VALUES), BODIES.get(operation.name))
    assert answer.status_code == operation.status, answer.text
    (entry,) = (await rest.database.read(audit.entries_after, 0, 1000, None))[len(before) :]
    assert (entry.action, entry.kind, entry.user_id, entry.address) == (
        operation.audit, "user", "user_owner_1", "127.0.0.1",
    )  # fmt: skip
    if operation.on == "session":
        assert entry.session_id == "s1"
    if operation.on in ("session", "village", "runner"):
        assert entry.village_id == rest.keys["closed"]
    again = await rest.ask(operation.method, operation.path.format(**VALUES), BODIES.get(operation.name), "stranger")
    if again.status_code >= 400:  # what was refused was not done
        assert len(await rest.database.read(audit.entries_after, 0, 1000, None)) == len(before) + 1


async def test_signing_in_names_who_came(rest):
    code = await rest.api.sign_in.issue_code("user_viewer_1")
    assert (await rest.post("/api/auth/exchange", {"code": code}, None)).status_code == 200
    (entry,) = await rest.database.read(audit.entries_after, 0, 1000, None)
    assert (entry.action, entry.user_id, entry.address) == ("auth.sign_in", "user_viewer_1", "127.0.0.1")
    assert code not in str(entry)


@pytest.mark.parametrize("name", [" ", "\x85", "\u3000"])
async def test_a_token_whose_name_nobody_can_read_gets_one(rest, name):
    made = await rest.post("/api/tokens", {"name": name, "scopes": ["read"]})
    assert made.status_code == 201
    assert "token" in [one["name"] for one in (await rest.get("/api/tokens")).json()["items"]]


async def test_what_a_token_does_names_the_token(rest):
    made = (await rest.post("/api/tokens", {"name": "t", "scopes": ["read", "manage"]})).json()
    answer = await rest.ask("PATCH", "/api/villages/closed", {"name": "New"}, made["token"])
    assert answer.status_code == 200
    entry = (await rest.database.read(audit.entries_after, 0, 1000, None))[-1]
    assert (entry.kind, entry.token_id, entry.user_id) == ("api_token", made["tokenId"], "user_owner_1")
    assert (await rest.ask("DELETE", f"/api/tokens/{made['tokenId']}")).status_code == 200
    entry = (await rest.database.read(audit.entries_after, 0, 1000, None))[-1]
    assert (entry.action, entry.target) == ("token.revoke", made["tokenId"])
    assert made["token"] not in str(await rest.database.read(audit.entries_after, 0, 1000, None))
