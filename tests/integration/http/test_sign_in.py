"""Signing in, and tokens for programs."""

from pathlib import Path

from tests.support.rest import open_rest
from townwatch.store import audit


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
    entries = (await rest.database.read(audit.page, audit.Filter(villages=None))).items
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


async def test_a_village_of_ones_own(tmp_path):
    async with open_rest(tmp_path, everyone_makes_villages=True) as rest:
        new = {"villageId": "mine", "name": "Mine", "public": True}
        made = await rest.post("/api/villages", new, "stranger")
        assert made.status_code == 201
        mine = made.json()["villageId"]
        assert mine.startswith("mine-")
        assert (await rest.get(f"/api/villages/{mine}", None)).json()["role"] is None
        changed = await rest.ask("PATCH", f"/api/villages/{mine}", {"public": False}, "stranger")
        shown = {"villageId": mine, "name": "Mine", "public": False, "role": "owner", "leaveOutTexts": False}
        assert changed.json() == shown
        assert (await rest.get(f"/api/villages/{mine}", None)).status_code == 404
        put = await rest.ask("PUT", f"/api/villages/{mine}/members/user_viewer_1", {"role": "viewer"}, "stranger")
        assert put.status_code == 200
        assert (await rest.get(f"/api/villages/{mine}", "viewer")).json()["role"] == "viewer"
        listed = (await rest.get(f"/api/villages/{mine}/members", "viewer")).json()["items"]
        assert [(one["userId"], one["role"], one["email"]) for one in listed] == [
            ("user_stranger_1", "owner", None), ("user_viewer_1", "viewer", None),
        ]  # fmt: skip
        assert (
            await rest.ask("DELETE", f"/api/villages/{mine}/members/user_viewer_1", who="stranger")
        ).status_code == 200
        assert (await rest.get(f"/api/villages/{mine}", "viewer")).status_code == 404
        done = (await rest.get(f"/api/villages/{mine}/audit", "stranger")).json()["items"]
        assert [one["action"] for one in done] == ["member.remove", "member.put", "village.change", "village.create"]
        assert (await rest.ask("DELETE", f"/api/villages/{mine}", who="stranger")).status_code == 200
        assert (await rest.get(f"/api/villages/{mine}", "stranger")).status_code == 404


PASSWORD = "correct horse battery"


async def test_a_password_of_ones_own(rest):
    assert (await rest.ask("PUT", "/api/me/password", {"password": "short"})).status_code == 400
    old = rest.tokens["owner"]
    rest.cast.clock.now += 1000
    made = await rest.ask("PUT", "/api/me/password", {"password": PASSWORD})
    assert made.status_code == 200
    assert (await rest.get("/api/me", old)).status_code == 401  # every sign-in so far has ended
    token = made.json()["token"]
    assert (await rest.get("/api/me", token)).status_code == 200
    body = {"email": "OWNER@example.org", "password": PASSWORD}
    assert (await rest.post("/api/auth/password", body, None)).json()["user"]["userId"] == "user_owner_1"
    for current in ({}, {"current": "wrong"}):
        changed = await rest.ask("PUT", "/api/me/password", {"password": PASSWORD + "2", **current}, token)
        assert (changed.status_code, "current" in changed.json()["error"]["message"]) == (403, True)
    changed = await rest.ask("PUT", "/api/me/password", {"password": PASSWORD + "2", "current": PASSWORD}, token)
    assert changed.status_code == 200
    assert (await rest.post("/api/auth/password", body, None)).status_code == 401


async def test_guessing_a_password_is_slowed_by_account_and_by_address(rest):
    for email in ("owner@example.org", "nobody@example.org"):  # the same, whether there is such a person or not
        guesses = [
            await rest.post("/api/auth/password", {"email": email, "password": f"guess number {n}"}, None)
            for n in range(5 if email.startswith("owner") else 4)
        ]
        assert {guess.status_code for guess in guesses} == {401}
        said = {guess.json()["error"]["message"] for guess in guesses}
        assert said == {"the e-mail address or the password is wrong"}
    again = await rest.post("/api/auth/password", {"email": " OWNER@example.org", "password": "guess"}, None)
    assert again.status_code == 429
    assert 1 <= int(again.headers["retry-after"]) <= 10
    assert "passwords" in again.json()["error"]["message"]
    for _ in range(100):  # ten at once from one address, of whatever kind
        if (await rest.post("/api/auth/exchange", {"code": "twc_guess"}, None)).status_code == 429:
            break
    else:
        raise AssertionError("a hundred guesses from one address were looked at")


async def test_an_unknown_person_costs_as_much_as_a_wrong_password_and_never_the_loop(rest, monkeypatch):
    import threading

    import argon2

    from townwatch.access import passwords

    done = []
    verify = passwords._verify

    def watched(stored, password):
        done.append((argon2.extract_parameters(stored), threading.current_thread() is threading.main_thread()))
        return verify(stored, password)

    monkeypatch.setattr(passwords, "_verify", watched)
    await rest.api.sign_in.set_password("user_owner_1", PASSWORD)
    for email in ("owner@example.org", "viewer@example.org", "nobody@example.org"):  # wrong, without one, unknown
        answer = await rest.post("/api/auth/password", {"email": email, "password": "a wrong password"}, None)
        assert answer.status_code == 401
    assert len(done) == 3
    assert len(set(map(str, done))) == 1
    assert not any(on_loop for _, on_loop in done)
