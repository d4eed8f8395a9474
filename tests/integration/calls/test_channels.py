"""Channels of people, through a composed service: to a push service, chats and a mail server on real sockets."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.integration.calls.desk import ALL, PAGE, Desk, open_desk
from tests.integration.service.test_promises import ended, event
from tests.support.browser_push import vapid_claims
from tests.support.certificates import Authority
from tests.support.mail_server import MailHost, open_mail_host
from tests.support.people import person, rest
from townwatch.contracts.clock import epoch_ms
from townwatch.store import members, users


async def test_each_form_says_what_waits_and_where_it_is_answered(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.channel("push", "/push")
        await desk.channel("ntfy", "/folder/topic", token="tk_secret")
        await desk.channel("slack", "/slack")
        await desk.channel("teams", "/teams")
        await desk.begin()
        command = "npm test -- <!channel> [click](https://evil.example)"
        context = {"tool": "Bash", "input": {"command": command}, "cwd": "/src/app"}
        await desk.ask("a1", 2, summary=command, context=context)

        (push,) = await desk.heard("/push")
        assert push.headers["content-encoding"] == "aes128gcm" and push.headers["urgency"] == "high"
        assert 60 <= int(push.headers["ttl"]) <= 86_400
        key = (await desk.http.get("/api/me/call-settings")).json()["pushKey"]
        claims = vapid_claims(push, key)
        assert claims["aud"] == desk.receiver.url and claims["sub"] == "mailto:ops@town.example"
        assert 0 < claims["exp"] - epoch_ms() / 1000 <= 86_400
        told = desk.browser.message(push)
        assert told["title"] == "runner_s1 asks to run a command" and told["village"] == "demo"
        assert told["text"] == f"{command}\nin /src/app", "all of it: it is answered where it is shown"
        assert told["acts"] is True and told["path"] == f"answer.html#{told['link']}"
        assert command.encode() not in push.body

        (ntfy,) = await desk.heard("/folder/")
        assert ntfy.headers["authorization"] == "Bearer tk_secret"
        assert ntfy.event["topic"] == "topic" and ntfy.event["message"] == command
        assert ntfy.event["click"].startswith(f"{PAGE}/answer.html#twl_")
        (slack,) = await desk.heard("/slack")
        texts = [block["text"] for block in slack.event["blocks"] if block["type"] == "section"]
        assert [(one["type"], command in one["text"]) for one in texts] == [("plain_text", True)]
        assert "<" not in slack.event["text"]
        (teams,) = await desk.heard("/teams")
        card = teams.event["attachments"][0]["content"]
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "no Markdown"
        links = {ntfy.event["click"], card["actions"][0]["url"], slack.event["blocks"][1]["elements"][0]["url"]}
        assert len(links) == 3, "each call has a link of its own"


async def test_who_is_told_what(tmp_path: Path) -> None:
    """Kinds by channel and by village; members only; a viewer gets no link."""
    async with open_desk(tmp_path) as desk, desk.somebody("viewer", "viewer") as viewer:
        await desk.channel("ntfy", "/failed", kinds=["session.failed", "session.ended"])
        await desk.channel("ntfy", "/silent", villages={"demo": []})
        await desk.channel("ntfy", "/own", kinds=[], villages={"demo": ["alert.opened"]})
        await desk.channel("ntfy", "/viewer", viewer, kinds=["approval.requested"])
        async with desk.somebody("stranger", None) as stranger:
            await desk.channel("ntfy", "/stranger", stranger)
            refused = await stranger.post(
                ALL, json={"form": "ntfy", "address": "https://ntfy.example/x", "villages": {"demo": []}}
            )
            assert refused.status_code == 404 and "that you belong to" in refused.json()["error"]["message"]
        await desk.begin()
        alert = {"alertId": "al1", "severity": "error", "category": "build", "title": "red", "description": "build"}
        await desk.runner.send(event("ALERT_RAISED", 2, **alert))
        await desk.ask("a1", 3)
        await desk.heard("/")
        await desk.runner.send(ended(4, finalState="FAILED", exitCode=3))
        await desk.receiver.until(lambda all_: len(all_) >= 3)
        told = {one.event["topic"]: one.event for one in desk.receiver.heard}
        assert set(told) == {"failed", "own", "viewer"} and len(desk.receiver.heard) == 3
        assert told["failed"]["title"] == "runner_s1 failed (exit code 3)", "once, though both kinds are wanted"
        assert told["own"]["title"] == "runner_s1: error alert: red"
        assert "twl_" not in told["viewer"]["click"] and "#/approvals/" in told["viewer"]["click"]


async def test_a_person_who_was_removed_or_locked_out_gets_nothing_more(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, desk.somebody("gone") as gone, desk.somebody("locked") as locked:
        desk.receiver.modes["/"] = "fail"  # every call waits for its second attempt
        for name, who in (("gone", gone), ("locked", locked)):
            await desk.channel("ntfy", f"/{name}", who)
        await desk.begin()
        await desk.ask("a1", 2)
        await desk.receiver.until(lambda all_: len(all_) >= 2)
        database = desk.town.service.database
        await database.call(members.remove, "demo", "user_gone")
        await database.call(users.set_disabled, "user_locked", True)
        desk.receiver.modes.clear()
        found = await desk.until_calls(lambda all_: all_[0]["state"] == "void", gone)
        assert "does not belong" in found[0]["error"]
        tries = len(desk.receiver.heard)
        await desk.channel("ntfy", "/owner")
        await desk.ask("a2", 3)
        await desk.receiver.until(lambda all_: all_[-1].event["topic"] == "owner")
        assert len(desk.receiver.heard) == tries + 1


async def test_what_was_answered_calls_nobody(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.channel("ntfy", "/late", afterSeconds=3600)
        await desk.channel("ntfy", "/soon")
        await desk.begin()
        await desk.ask("a1", 2)
        await desk.heard("/")
        decided = await desk.http.post("/api/runner/sessions/s1/approvals/a1", json={"decision": "deny"})
        assert decided.status_code == 200
        database = desk.town.service.database
        await database.call(_all_due)
        await desk.http.patch(await _path(desk, "late"), json={"name": "late"})  # it looks again
        found = await desk.until_calls(lambda all_: "waiting" not in {one["state"] for one in all_})
        kinds = {one["kind"] for one in found if one["state"] == "void" and one["error"] == "it was answered"}
        assert kinds == {"approval.requested", "approval.escalated"}
        assert len(desk.receiver.heard) == 1


async def _path(desk: Desk, topic: str) -> str:
    found = (await desk.http.get(ALL)).json()["items"]
    return next(f"{ALL}/{one['channelId']}" for one in found if one["shown"].endswith(topic))


def _all_due(connection: Any) -> None:
    from townwatch.store.calls.tables import call_deliveries as table

    connection.execute(table.update().where(table.c.state == "waiting").values(next_ms=0))


async def test_a_browser_that_ended_its_subscription_is_not_called_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        desk.receiver.modes["/push"] = "gone"
        path = await desk.channel("push", "/push")
        assert (await desk.http.post(f"{path}/test")).status_code == 200
        (call,) = await desk.until_calls(lambda all_: all_ and all_[0]["state"] == "dead")
        assert "ended its subscription" in call["error"]
        (shown,) = (await desk.http.get(ALL)).json()["items"]
        assert (shown["enabled"], "ended" in shown["trouble"]) == (False, True)
        assert (await desk.http.post(f"{path}/test")).status_code == 409


async def test_addresses_are_checked_hidden_and_sealed(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.channel("slack", "/services/T0/B0/verysecretpart")
        shown = await desk.http.get(ALL)
        assert "verysecretpart" not in shown.text
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"verysecretpart" not in kept
        good = desk.browser.subscription("https://push.example/x")
        wrong: list[dict[str, Any]] = [
            {"form": "slack", "address": "http://10.1.2.3/x"},
            {"form": "ntfy", "address": "https://ntfy.example/"},
            {"form": "teams", "address": "ftp://teams.example/x"},
            {"form": "slack"},
            {"form": "mail", "address": "a@b.example"},
            {"form": "push"},
            {"form": "push", "subscription": {**good, "endpoint": "https://192.168.1.1/x"}},
            {"form": "push", "subscription": {**good, "p256dh": "AAAA"}},
            {"form": "push", "subscription": {**good, "auth": "AAAA"}},
        ]
        for body in wrong:
            answer = await desk.http.post(ALL, json=body)
            assert answer.status_code == 400, (body, answer.text)
        token = await person(desk.town, "programmer", "owner")
        async with rest(desk.town, token) as program:
            body = {"form": "ntfy", "address": "https://ntfy.example/x"}
            assert (await program.post(ALL, json=body)).status_code == 403, "a channel is a way in: not by a program"
            assert (await program.get(ALL)).json() == {"items": []}


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_e_mail_is_sent_once_its_address_is_confirmed(tmp_path: Path, security: str) -> None:
    authority = Authority(tmp_path / "ca")
    async with (
        open_mail_host(authority, tls=security == "tls") as mail,
        open_desk(tmp_path / "state", mail, security=security) as desk,
    ):
        made = (await desk.http.post(ALL, json={"form": "mail", "address": "ada@mail.example"})).json()
        assert (made["confirmed"], made["enabled"]) == (False, False)
        path = f"{ALL}/{made['channelId']}"
        await desk.begin()
        await desk.ask("a1", 2)
        (letter,) = await mail.until(1)
        code = re.search(r"\b\d{8}\b", letter.get_payload())
        assert code is not None
        assert (await desk.http.patch(path, json={"enabled": True})).status_code == 409
        assert (await desk.http.post(f"{path}/test")).status_code == 409
        assert (await desk.http.post(f"{path}/confirm", json={"code": "00000000"})).status_code == 403
        confirmed = await desk.http.post(f"{path}/confirm", json={"code": code[0]})
        assert confirmed.json()["enabled"]
        summary = "rm\r\nBcc: everybody@mail.example\r\n.\r\nnot this"
        await desk.ask("a2", 3, summary=summary)
        _, letter = await mail.until(2)
        sender, recipient, _, how = mail.came[1]
        assert (sender, recipient, how) == ("town@mail.example", "ada@mail.example", "tls")
        assert letter["Subject"] == "runner_s1 asks to run a command [demo]" and letter["Bcc"] is None
        assert letter["Auto-Submitted"] == "auto-generated"
        text = letter.get_payload()
        assert "rm Bcc: everybody@mail.example . not this" in text and f"{PAGE}/answer.html#twl_" in text
        kept = b"".join(one.read_bytes() for one in (tmp_path / "state").rglob("*") if one.is_file())
        assert code[0].encode() not in kept


@pytest.mark.parametrize(
    ("mode", "told", "again"),
    [
        ("refuse", "550 to RCPT TO", False),
        ("busy", "451 to RCPT TO", True),
        ("hang", "no answer|did not answer within 2 s", True),
        ("flood", "does not end", True),
        ("inject", "between STARTTLS and TLS", True),
    ],
)
async def test_a_mail_server_that_fails_hangs_or_lies(tmp_path: Path, mode: str, told: str, again: bool) -> None:
    async with open_mail_host(Authority(tmp_path / "ca")) as mail, open_desk(tmp_path / "state", mail) as desk:
        channel = await _confirmed(desk, mail)
        mail.mode, mail.tries = mode, 0
        await desk.http.post(f"{channel}/test")
        found = await desk.until_calls(lambda all_: all_[0]["attempts"] > 0)
        assert re.search(told, found[0]["error"]), found
        assert found[0]["state"] == ("waiting" if again else "dead")
        refused = await desk.http.post(ALL, json={"form": "mail", "address": "eve@mail.example"})
        assert refused.status_code == 502 and len((await desk.http.get(ALL)).json()["items"]) == 1


async def _confirmed(desk: Desk, mail: MailHost) -> str:
    made = (await desk.http.post(ALL, json={"form": "mail", "address": "ada@mail.example"})).json()
    code = re.search(r"\b\d{8}\b", (await mail.until(1))[0].get_payload())
    assert code is not None
    path = f"{ALL}/{made['channelId']}"
    assert (await desk.http.post(f"{path}/confirm", json={"code": code[0]})).status_code == 200
    return path


async def test_codes_are_not_guessed_and_not_sent_without_end(tmp_path: Path) -> None:
    async with open_mail_host(Authority(tmp_path / "ca")) as mail, open_desk(tmp_path / "state", mail) as desk:
        made = (await desk.http.post(ALL, json={"form": "mail", "address": "ada@mail.example"})).json()
        answers = [
            (await desk.http.post(f"{ALL}/{made['channelId']}/confirm", json={"code": f"{n:08}"})).status_code
            for n in range(12)
        ]
        assert answers == [403] * 10 + [409] * 2
        sent = [
            (await desk.http.post(ALL, json={"form": "mail", "address": f"p{n}@mail.example"})).status_code
            for n in range(6)
        ]
        assert sent == [201] * 4 + [429] * 2
        await trio.testing.wait_all_tasks_blocked()
        assert len(mail.came) == 5
