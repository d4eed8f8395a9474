"""A page of an allowed origin may use the REST API; a browser keeps answers from any other page."""

from pathlib import Path

import attrs
import httpx

from tests.support.service import open_town
from townwatch.config.settings import Settings

PAGE, FOREIGN = "https://pages.example", "https://evil.example"
ASK = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


async def test_pages_of_allowed_origins_use_the_api(tmp_path: Path) -> None:
    def allow(settings: Settings) -> Settings:
        return attrs.evolve(settings, server=attrs.evolve(settings.server, allowed_origins=[PAGE]))

    async with open_town(tmp_path, allow) as town, httpx.AsyncClient(base_url=town.url) as client:
        preflight = await client.options("/api/runner/sessions", headers={"origin": PAGE, **ASK})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        token = {"authorization": f"Bearer {town.token}"}
        for path in ("/api/me", "/api/nonsense", "/api/openapi.json", "/api/runner/sessions/x/events.ndjson"):
            answer = await client.get(path, headers={"origin": PAGE, **token})
            assert answer.headers["access-control-allow-origin"] == PAGE, path
            assert answer.headers["vary"].lower().count("origin") == 1, path
        refused = await client.get("/api/me", headers={"origin": PAGE})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
        for origin in (FOREIGN, "null", f"{PAGE}.evil.example"):
            for answer in (
                await client.options("/api/runner/sessions", headers={"origin": origin, **ASK}),
                await client.get("/api/me", headers={"origin": origin, **token}),
            ):
                assert "access-control-allow-origin" not in answer.headers, origin
                assert "origin" in answer.headers["vary"].lower(), origin


async def test_no_origin_is_allowed_by_itself(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, httpx.AsyncClient(base_url=town.url) as client:
        answer = await client.options("/api/me", headers={"origin": PAGE, **ASK})
        assert not [name for name in answer.headers if name.startswith("access-control")]
