"""Every route by every kind of asker: who may not see gets 404, who may not do gets 403, who is nobody gets 401.

The table is complete by construction: an operation that is not in it fails the first test.
"""

import time

import pytest
import trio

from tests.support.cast import event
from townwatch.store.budgets.tables import budgets
from townwatch.store.calls import deliveries, webhooks
from townwatch.store.calls.deliveries import CallMessage
from townwatch.store.calls.webhooks import Webhook
from townwatch.transports.http.app import OPERATIONS

ASKERS = ("owner", "operator", "viewer", "stranger", None, "reader", "agent", "runner")
MANAGE = dict(zip(ASKERS, ("ok", 403, 403, 404, 401, 403, 403, 403), strict=True))
DRIVE = dict(zip(ASKERS, ("ok", "ok", 403, 404, 401, 403, 403, 403), strict=True))
READ = dict(zip(ASKERS, ("ok", "ok", "ok", 404, 401, "ok", 403, 403), strict=True))
SEE = dict(zip(ASKERS, ("ok", "ok", "ok", 404, 404, "ok", 403, 403), strict=True))
PERSON = dict(zip(ASKERS, ("ok", "ok", "ok", "ok", 401, "ok", 403, 403), strict=True))
ANY = dict.fromkeys(ASKERS, "ok")
VISITOR = {**ANY, "agent": 403, "runner": 403}
ADMIN = {**dict.fromkeys(ASKERS, 403), None: 401}
SELF = {**PERSON, "reader": 403}
SIGN_IN = dict.fromkeys(ASKERS, 401)
NONE_OF_MINE = {**dict.fromkeys(ASKERS, 404), None: 401, "reader": 403, "agent": 403, "runner": 403}
OTHER_PAGE = dict.fromkeys(ASKERS, 403)

TABLE = {
    "exchange_code": SIGN_IN,
    "sign_in_with_password": SIGN_IN,
    "join_runner": SIGN_IN,
    "get_sign_in_methods": ANY,
    "sign_out": PERSON,
    "set_password": SELF,
    "make_link": SELF,
    "sign_out_everywhere": SELF,
    "get_me": PERSON,
    "list_tokens": SELF,
    "make_token": SELF,
    "revoke_token": NONE_OF_MINE,
    "list_my_sign_ins": SELF,
    "end_my_sign_in": NONE_OF_MINE,
    "list_sign_ins_of": ADMIN,
    "end_sign_in_of": ADMIN,
    "list_my_connections": SELF,
    "list_connections": ADMIN,
    "close_connection": {**dict.fromkeys(ASKERS, 404), None: 401, "reader": 403, "agent": 403, "runner": 403},
    "list_users": ADMIN,
    "disable_user": ADMIN,
    "enable_user": ADMIN,
    "invite_person": ADMIN,
    "sign_person_out": ADMIN,
    "set_administrator_rights": ADMIN,
    "broadcast_event": ADMIN,
    "list_limits": PERSON,
    "list_replicas": PERSON,
    "list_villages": VISITOR,
    "create_village": ADMIN,
    "get_village": SEE,
    "change_village": MANAGE,
    "delete_village": MANAGE,
    "list_houses": SEE,
    "rename_house": {**MANAGE, "owner": 404},
    "get_policy": READ,
    "put_policy": MANAGE,
    "try_policy": MANAGE,
    "list_budgets": READ,
    "make_budget": MANAGE,
    "change_budget": MANAGE,
    "raise_budget": MANAGE,
    "delete_budget": MANAGE,
    "list_webhooks": MANAGE,
    "make_webhook": MANAGE,
    "get_webhook": MANAGE,
    "change_webhook": MANAGE,
    "delete_webhook": MANAGE,
    "rotate_webhook": MANAGE,
    "try_webhook": MANAGE,
    "list_channels": SELF,
    "make_channel": SELF,
    "confirm_channel": NONE_OF_MINE,
    "change_channel": NONE_OF_MINE,
    "delete_channel": NONE_OF_MINE,
    "try_channel": NONE_OF_MINE,
    "list_calls": SELF,
    "get_call_settings": SELF,
    "put_call_settings": SELF,
    "get_escalation": DRIVE,
    "put_escalation": MANAGE,
    "share_clip": DRIVE,
    "list_clips": DRIVE,
    "end_clip": {**DRIVE, "owner": 404, "operator": 404},
    "look_at_clip": SIGN_IN,
    "look_at_link": SIGN_IN,
    "decide_by_link": OTHER_PAGE,
    "take_back_by_link": OTHER_PAGE,
    "list_deliveries": MANAGE,
    "resend_delivery": MANAGE,
    "propose_rule": MANAGE,
    "save_rule": MANAGE,
    "list_agents": SEE,
    "resolve_alert": DRIVE,
    "see_failure": DRIVE,
    "list_members": READ,
    "put_member": MANAGE,
    "remove_member": MANAGE,
    "list_audit": MANAGE,
    "list_all_audit": ADMIN,
    "export_audit": MANAGE,
    "export_all_audit": ADMIN,
    "start_session": DRIVE,
    "register_bridge": DRIVE,
    "report_events": SELF,
    "report_event": SELF,
    "list_active_sessions": VISITOR,
    "end_bridge": DRIVE,
    "list_sessions": SEE,
    "count_sessions": SEE,
    "search": SEE,
    "get_session": SEE,
    "get_session_order": DRIVE,
    "get_diff": SEE,
    "list_conversations": DRIVE,
    "clean_worktree": DRIVE,
    "get_git_status": DRIVE,
    "get_land_order": DRIVE,
    "commit_changes": DRIVE,
    "switch_branch": DRIVE,
    "push_branch": DRIVE,
    "open_pull_request": DRIVE,
    "merge_branch": DRIVE,
    "type_input": DRIVE,
    "give_prompt": DRIVE,
    "list_prompts": DRIVE,
    "withdraw_prompt": DRIVE,
    "stop_session": DRIVE,
    "pause_session": DRIVE,
    "resume_session": DRIVE,
    "resize_session": DRIVE,
    "list_events": SEE,
    "get_recording": SEE,
    "export_events": SEE,
    "delete_session": MANAGE,
    "end_session": MANAGE,
    "list_approvals": READ,
    "list_alerts": READ,
    "decide_approval": DRIVE,
    "take_back_approval": DRIVE,
    "make_enrolment": MANAGE,
    "register_runner": {**ADMIN, "runner": "ok"},
    "list_runners": READ,
    "set_runner_villages": MANAGE,
    "get_runner": {**READ, "runner": 404},
    "remove_runner": {**MANAGE},
    "beat_runner": {**MANAGE, "runner": 404},
    "drain_runner": MANAGE,
    "set_runner_state": MANAGE,
    "rotate_runner_token": {**MANAGE, "runner": 404},
    "revoke_runner_token": MANAGE,
    "get_health": ANY,
    "get_readiness": ANY,
    "get_metrics": ANY,
    "get_status": ANY,
    "get_supervision": PERSON,
    "list_supervision_events": ADMIN,
}
BODIES = {
    "exchange_code": {"code": "wrong"},
    "sign_in_with_password": {"email": "a@b", "password": "wrong"},
    "join_runner": {"code": "wrong", "name": "n"},
    "make_token": {"name": "t", "scopes": ["read"]},
    "set_password": {"password": "correct horse battery"},
    "create_village": {"villageId": "new", "name": "New"},
    "invite_person": {"name": "New"},
    "set_administrator_rights": {"admin": True},
    "broadcast_event": {"event": "hello"},
    "make_budget": {"scope": "village", "unit": "usd", "amount": 5, "period": "day"},
    "change_budget": {"amount": 6},
    "raise_budget": {"amount": 1},
    "register_bridge": {
        "sessionId": "b1",
        "agentId": "b1",
        "agentType": "claude",
        "repoPath": "/w",
        "villageId": "closed",
    },
    "report_events": {"events": []},
    "report_event": {"sessionId": "none", "agentId": "a", "type": "thinking"},
    "change_village": {"name": "Renamed"},
    "rename_house": {"name": "Renamed"},
    "put_member": {"role": "viewer"},
    "start_session": {
        "villageId": "closed",
        "providerId": "codex",
        "repoRef": {"provider": "local", "path": "/x"},
        "task": {"title": "t", "goal": "g"},
        "runnerId": "r1",
    },
    "type_input": {"data": "x"},
    "give_prompt": {"text": "x"},
    "put_policy": {"rules": []},
    "try_policy": {"rules": []},
    "make_webhook": {"url": "https://example.org/", "kinds": ["alert.opened"]},
    "change_webhook": {"name": "Renamed"},
    "make_channel": {"form": "ntfy", "address": "https://ntfy.example/topic"},
    "confirm_channel": {"code": "12345678"},
    "change_channel": {"name": "Renamed"},
    "put_call_settings": {"timeZone": "UTC"},
    "put_escalation": {"minutes": 5},
    "share_clip": {"fromSeq": 1, "toSeq": 2},
    "look_at_clip": {"link": "wrong"},
    "look_at_link": {"link": "wrong"},
    "decide_by_link": {"link": "wrong", "decision": "allow"},
    "take_back_by_link": {"link": "wrong"},
    "save_rule": {"rules": [{"id": "a", "effect": "deny", "command": "rm *"}]},
    "clean_worktree": {},
    "commit_changes": {"message": "x"},
    "switch_branch": {"branch": "x"},
    "push_branch": {},
    "open_pull_request": {},
    "merge_branch": {},
    "resize_session": {"cols": 80, "rows": 24},
    "decide_approval": {"decision": "allow"},
    "end_session": {"reason": "its machine is gone"},
    "make_enrolment": {"villageId": "closed"},
    "register_runner": {},
    "set_runner_villages": {"villages": ["closed"]},
    "set_runner_state": {"state": "maintenance"},
}
NOTHING_HERE = {
    "get_session_order": 409,
    "clean_worktree": 409,
    "get_git_status": 409,
    "get_land_order": 404,
    "commit_changes": 409,
    "switch_branch": 409,
    "push_branch": 409,
    "open_pull_request": 409,
    "merge_branch": 409,
    "get_diff": 502,
    "list_conversations": 409,
    "take_back_approval": 409,
    "see_failure": 409,
    "end_bridge": 404,
    "report_event": 404,
}
"""What those who may are told where there is no order, worktree, runner, held decision, failure or bridge."""
QUERIES = {
    "list_sessions": "?villageId=closed",
    "count_sessions": "?villageId=closed",
    "search": "?q=word&villageId=closed",
    "list_approvals": "?villageId=closed",
    "list_alerts": "?villageId=closed",
    "list_runners": "?villageId=closed",
    "list_conversations": "?runnerId=r2",
}
ELSEWHERE = ("delete_village", "delete_session", "sign_out_everywhere")
"""The session lives, and the token is asked with once more: tested beside the others."""
VALUES = {
    "villageId": "closed",
    "sessionId": "s1",
    "approvalId": "a1",
    "commandId": "land:s1:none",
    "promptId": "p1",
    "runnerId": "r2",
    "userId": "user_viewer_1",
    "tokenId": "tok_none",
    "alertId": "alert1",
    "connectionId": "nobody",
    "webhookId": "hook_1",
    "budgetId": "bud_1",
    "channelId": "chan_none",
    "signInId": "in_none",
    "clipId": "clip_none",
    "repoId": "house_none",
    "deliveryId": "1",
}


def test_the_table_has_every_operation():
    assert set(TABLE) == {operation.name for operation in OPERATIONS}


async def prepare(rest):
    await rest.runner("r1")
    await rest.runner("r2", village="closed")
    approval = {
        "approvalId": "a1", "sessionId": "s1", "category": "shell", "summary": "rm", "risk": "high", "requestedAt": 1,
    }  # fmt: skip
    hook = Webhook(
        webhook_id="hook_1", village_id=rest.keys["closed"], name="", url="https://example.org/", kinds="alert.opened",
        enabled=True, secret="", from_position=0, created_by="owner", created_ms=1,
    )  # fmt: skip
    await rest.database.call(webhooks.add, hook)
    await rest.database.call(_add_budget, rest.keys["closed"])
    message = CallMessage(target_id="hook_1", message_id="m1", kind="alert.opened", body="{}")
    assert await rest.database.call(deliveries.queue, message, 1) == 1
    await rest.session(
        event("SESSION_STARTED", 1, providerId="codex", providerVersion="1", workspacePath="/w"),
        event("APPROVAL_REQUESTED", 2, approval=approval),
        event("ALERT_RAISED", 3, alertId="alert1", severity="error", category="build", title="t", description="d"),
    )


def _add_budget(connection, village):
    values = {"scope": "village", "unit": "usd", "amount": 5, "period": "total", "changed_ms": 1, "created_ms": 1}
    connection.execute(budgets.insert().values(budget_id="bud_1", village_id=village, **values))


@pytest.mark.parametrize("who", ASKERS, ids=str)
async def test_who_may_what(rest, who):
    """Writes that succeed come last of all operations, and deletions behind them."""
    await prepare(rest)
    wrong = {}
    late, last = ("remove_member", "remove_runner"), ("set_password", "sign_out")
    lasting = {"withdraw_prompt"}
    ends = {
        one.name: (one.method == "DELETE" and one.name not in lasting) or one.name == "end_session"
        for one in OPERATIONS
    }
    order = {one.name: (one.name in last, ends[one.name], one.name in late) for one in OPERATIONS}
    for operation in sorted(OPERATIONS, key=lambda one: order[one.name]):
        if operation.name in ELSEWHERE and TABLE[operation.name][who] == "ok":
            continue
        path = operation.path.format(**VALUES) + QUERIES.get(operation.name, "")
        while (answer := await rest.ask(operation.method, path, BODIES.get(operation.name), who)).status_code == 429:
            await trio.sleep(0.05)  # a person may ask so often, and no more
        expected = TABLE[operation.name][who]
        expected = NOTHING_HERE.get(operation.name, operation.status) if expected == "ok" else expected
        if answer.status_code != expected:
            wrong[operation.name] = (answer.status_code, expected, answer.text[:200])
        elif answer.status_code >= 400:
            assert answer.json()["error"].keys() >= {"code", "message"}
    assert wrong == {}


@pytest.mark.parametrize("who", ["stranger", None], ids=str)
async def test_what_may_not_be_seen_is_answered_like_what_is_not_there(rest, who):
    await prepare(rest)
    for path in ("/api/villages/{}", "/api/runner/sessions/{}", "/api/runners/{}"):
        real = {"villages": "closed", "sessions": "s1", "runners": "r2"}[path.split("/")[-2]]
        seen, missing = await rest.get(path.format(real), who), await rest.get(path.format("nothing"), who)
        assert seen.status_code == missing.status_code
        assert seen.text.replace(real, "?") == missing.text.replace("nothing", "?")


@pytest.mark.parametrize("who", ["stranger", None], ids=str)
async def test_anybody_reads_a_public_village_and_nobody_writes_to_it(rest, who):
    await rest.session(event("TERMINAL_CHUNK", 1, data="hi", stream="stdout"), session_id="s2", village="open")
    assert (await rest.get("/api/villages/open", who)).json()["role"] is None
    assert [one["sessionId"] for one in (await rest.get("/api/runner/sessions", who)).json()["items"]] == ["s2"]
    assert (await rest.get("/api/runner/sessions/s2/events", who)).json()["items"][0]["data"] == "hi"
    refused = await rest.post("/api/runner/sessions/s2/stop", who=who)
    assert refused.status_code == (401 if who is None else 403)
    members = await rest.get("/api/villages/open/members", who)
    assert members.status_code == (401 if who is None else 404)


@pytest.mark.parametrize("token", ["x", "tw_api_nothing", "a.b.c", "Bearer", "é".encode().decode("latin-1")])
async def test_a_bad_token_is_401_even_where_none_is_needed(rest, token):
    answer = await rest.http.get("/api/villages", headers={"authorization": f"Bearer {token}".encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "E_UNAUTH"
    assert (await rest.http.get("/api/villages", headers={"authorization": "Basic eDp5"})).status_code == 401


async def test_names_of_other_peoples_sessions_are_not_in_the_tree(rest):
    await prepare(rest)
    told = (await rest.get("/api/supervision", "stranger")).text
    assert "s1" not in told
    assert "closed" not in told
    assert "session:s1" in (await rest.get("/api/supervision", "admin")).text


async def test_an_event_of_the_tree_has_its_time_in_epoch_milliseconds(rest):
    rest.api.history.note("escalated", {"supervisor": "root", "child": "a", "recent": 2, "period": 5.0})
    (item,) = (await rest.get("/api/supervision/events?path=root", "admin")).json()["items"]
    assert isinstance(item["at"], int)
    assert abs(item["at"] / 1000 - time.time()) < 3600
