"""Signing in, and tokens for programs."""

from pathlib import Path

from store import audit


async def test_a_code_signs_in_once(rest):
    made = await rest.post("/api/auth/link")
    assert made.status_code == 201
    code = made.json()["code"]
    assert made.json()["path"] == f"/?code={code}"
    answer = await rest.post("/api/auth/exchange", {"code": code}, None)
    assert answer.status_code == 200
    signed_in = answer.json()
    assert signed_in["user"] == {"userId": "user_owner_1", "name": "Owner"}
    assert (await rest.get("/api/me", signed_in["token"])).json()["userId"] == "user_owner_1"
    assert (await rest.post("/api/auth/exchange", {"code": code}, None)).status_code == 401


async def test_a_code_ends_after_a_quarter_of_an_hour(rest):
    code = (await rest.post("/api/auth/link")).json()["code"]
    rest.cast.clock.now += 15 * 60_000
    assert (await rest.post("/api/auth/exchange", {"code": code}, None)).status_code == 401


async def test_a_token_does_what_it_is_for_and_is_shown_once(rest):
    made = await rest.post("/api/tokens", {"name": "ci", "scopes": ["read", "drive"]})
    token, token_id = made.json()["token"], made.json()["tokenId"]
    assert (await rest.get("/api/me", token)).json()["scopes"] == ["drive", "read"]
    listed = await rest.get("/api/tokens")
    assert token not in listed.text
    assert token_id in listed.text
    assert (await rest.ask("DELETE", f"/api/tokens/{token_id}", who="operator")).status_code == 404
    assert (await rest.ask("DELETE", f"/api/tokens/{token_id}")).status_code == 200
    assert (await rest.get("/api/me", token)).status_code == 401
    entries = (await rest.database.read(audit.page, None)).items
    assert [one.action for one in entries] == ["token.revoke", "token.create"]


async def test_what_is_secret_is_not_kept_for_an_idempotency_key(rest):
    body = {"name": "ci", "scopes": ["read"]}
    made = [await rest.post("/api/tokens", body, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert made[0].json()["token"] != made[1].json()["token"]
    secret = made[0].json()["token"].encode()
    database = Path(rest.database.engine.url.database)
    files = list(database.parent.glob(f"{database.name}*"))
    assert files
    assert not any(secret in file.read_bytes() for file in files)


async def test_a_token_cannot_give_more_than_its_maker_may(rest):
    made = (await rest.post("/api/tokens", {"name": "ci", "scopes": ["read"]})).json()
    assert (await rest.post("/api/tokens", {"name": "more", "scopes": ["manage"]}, made["token"])).status_code == 403
    assert (await rest.post("/api/auth/link", who=made["token"])).status_code == 403


async def test_a_village_of_ones_own(rest):
    new = {"villageId": "mine", "name": "Mine", "public": True}
    assert (await rest.post("/api/villages", new, "stranger")).status_code == 201
    assert (await rest.get("/api/villages/mine", None)).json()["role"] is None
    changed = await rest.ask("PATCH", "/api/villages/mine", {"public": False}, "stranger")
    assert changed.json() == {"villageId": "mine", "name": "Mine", "public": False, "role": "owner"}
    assert (await rest.get("/api/villages/mine", None)).status_code == 404
    put = await rest.ask("PUT", "/api/villages/mine/members/user_viewer_1", {"role": "viewer"}, "stranger")
    assert put.status_code == 200
    assert (await rest.get("/api/villages/mine", "viewer")).json()["role"] == "viewer"
    listed = (await rest.get("/api/villages/mine/members", "viewer")).json()["items"]
    assert [(one["userId"], one["role"], one["email"]) for one in listed] == [
        ("user_stranger_1", "owner", None), ("user_viewer_1", "viewer", None),
    ]  # fmt: skip
    assert (await rest.ask("DELETE", "/api/villages/mine/members/user_viewer_1", who="stranger")).status_code == 200
    assert (await rest.get("/api/villages/mine", "viewer")).status_code == 404
    done = (await rest.get("/api/villages/mine/audit", "stranger")).json()["items"]
    assert [one["action"] for one in done] == ["member.remove", "member.put", "village.change", "village.create"]
    assert (await rest.ask("DELETE", "/api/villages/mine", who="stranger")).status_code == 200
    assert (await rest.get("/api/villages/mine", "stranger")).status_code == 404
