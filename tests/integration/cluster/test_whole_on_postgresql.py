"""What reads the event log beside the cast, calls and search, does so where the log is in PostgreSQL."""

from functools import partial
from pathlib import Path

import attrs
import pytest

from tests.integration.cluster.test_standby import on
from tests.integration.service.test_search import begun, end, output, said, search
from tests.support import postgres
from tests.support.people import rest
from tests.support.receiver import open_receiver
from tests.support.service import open_town
from townwatch.config.settings import Settings, WebhookSettings

pytestmark = pytest.mark.timeout(120)


def calling(url: str, settings: Settings) -> Settings:
    return attrs.evolve(on(url, settings), webhooks=WebhookSettings(private_networks=["127.0.0.0/8"]))


async def test_a_call_is_made_and_text_is_found_and_forgotten(tmp_path: Path, postgres_server: str) -> None:
    url = postgres.fresh_schema(postgres_server, "whole_on_it")
    with open_receiver() as receiver:
        async with open_town(tmp_path, partial(calling, url)) as town, rest(town, town.token) as http:
            wanted = {"url": f"{receiver.url}/x", "kinds": ["session.ended"]}
            made = (await http.post("/api/villages/demo/webhooks", json=wanted)).json()
            async with town.runner() as runner:
                await said(runner, begun("s1", "ada"), output(2, "a walrus in the harbour\r\n"), end(3))
            (heard,) = await receiver.until(bool)
            assert heard.signed_with(made["secret"])
            assert [hit["sessionId"] for hit in (await search(http, "walrus"))["items"]] == ["s1"]
            assert (await http.delete("/api/runner/sessions/s1")).status_code == 200
            assert (await search(http, "walrus"))["items"] == []
