"""A service, its people, a runner, and receivers of calls on real sockets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from tests.integration.service.test_promises import event, started
from tests.support.browser_push import PushBrowser
from tests.support.mail_server import PASSWORD, USER, MailHost
from tests.support.people import rest, sign_in
from tests.support.receiver import Heard, Receiver, open_receiver
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.config.settings import CallsSettings, MailSettings, Settings, WebhookSettings
from townwatch.notify import reader

ALL = "/api/me/channels"
PAGE = "https://town.example"


def asks(approval_id: str, seq: int, session: str = "s1", **more: Any) -> dict[str, Any]:
    fields = {"category": "shell", "summary": "npm test", "risk": "low", "requestedAt": 1, **more}
    approval = {"approvalId": approval_id, "sessionId": session, **fields}
    return event("APPROVAL_REQUESTED", seq, session, approval=approval)


@attrs.define(eq=False)
class Desk:
    """`http`: the owner's."""

    town: Town
    http: httpx.AsyncClient
    runner: ScriptedRunner
    receiver: Receiver
    browser: PushBrowser = attrs.field(factory=PushBrowser)

    async def channel(self, form: str, path: str = "/call", who: httpx.AsyncClient | None = None, **more: Any) -> str:
        """Make a channel; return its path in the API."""
        where: dict[str, Any] = {"address": f"{self.receiver.url}{path}"}
        if form == "push":
            where = {"subscription": self.browser.subscription(f"{self.receiver.url}{path}")}
        made = await (who or self.http).post(ALL, json={"form": form, **where, **more})
        assert made.status_code == 201, made.text
        return f"{ALL}/{made.json()['channelId']}"

    async def begin(self) -> None:
        """Start session s1; what was before has no channel."""
        await self.runner.send(started())
        await self.runner.acked(1)

    async def ask(self, approval_id: str, seq: int, **more: Any) -> None:
        await self.runner.send(asks(approval_id, seq, **more))
        await self.runner.acked(seq)

    async def heard(self, path: str, count: int = 1) -> list[Heard]:
        await self.receiver.until(lambda _all: len(self.receiver.at(path)) >= count)
        return self.receiver.at(path)

    async def calls(self, who: httpx.AsyncClient | None = None) -> list[dict[str, Any]]:
        return (await (who or self.http).get("/api/me/calls")).json()["items"]

    async def until_calls(
        self, wanted: Callable[[list[dict[str, Any]]], bool], who: httpx.AsyncClient | None = None
    ) -> list[dict[str, Any]]:
        with trio.fail_after(30):
            while not wanted(found := await self.calls(who)):
                await trio.sleep(0.02)
        return found

    @asynccontextmanager
    async def somebody(self, name: str, role: str | None = "operator") -> AsyncIterator[httpx.AsyncClient]:
        async with rest(self.town, await sign_in(self.town, name, role)) as http:
            yield http


@asynccontextmanager
async def open_desk(
    path: Path, mail: MailHost | None = None, *, security: Any = "starttls", grace_ms: int = 0, **server: Any
) -> AsyncIterator[Desk]:
    """`grace_ms`: how long an approval has to wait before it calls."""
    before, reader.GRACE_MS = reader.GRACE_MS, grace_ms
    hooks = WebhookSettings(private_networks=["127.0.0.0/8"], retry_seconds=0.05, seconds=5.0, attempts=3)
    mails = MailSettings()
    if mail is not None:
        mails = MailSettings(
            host="127.0.0.1", port=mail.port, security=security, user=USER, password=PASSWORD,
            sender="town@mail.example", ca=mail.ca, seconds=2.0,
        )  # fmt: skip

    def change(found: Settings) -> Settings:
        changed = attrs.evolve(found.server, **{"public_url": PAGE, **server})
        calls = CallsSettings(contact="mailto:ops@town.example")
        return attrs.evolve(found, webhooks=hooks, mail=mails, calls=calls, server=changed)

    try:
        with open_receiver() as receiver:
            async with open_town(path, change) as town, rest(town, town.token) as http, town.runner() as runner:
                yield Desk(town, http, runner, receiver)
    finally:
        reader.GRACE_MS = before
