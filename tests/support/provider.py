"""A real OpenID Connect provider in a process of its own, and a browser that is made of HTTP requests."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import attrs
import httpx
import pytest

JS = Path(__file__).parents[1] / "js"
CLIENT, SECRET = "townwatch", "a secret: with / odd % characters"
PEOPLE = {
    "ada": {"name": "Ada Lovelace", "email": "ada@example.org", "email_verified": True, "groups": ["staff", "ops"]},
    "bob": {"name": "Bob", "email": "bob@elsewhere.example", "email_verified": True, "groups": ["staff"]},
    "eve": {"name": "Eve", "email": "eve@example.org", "email_verified": False, "groups": []},
}
_ACTION = re.compile(r'action="([^"]+)"')
_ABORT = re.compile(r'href="([^"]+/abort)"')


@contextmanager
def open_provider(
    redirect_uri: str, *, secret: str | None = SECRET, people: Mapping[str, Any] = PEOPLE, algorithm: str = "RS256"
) -> Iterator[str]:
    """Its issuer address. Skips the test where the npm packages are missing."""
    if not (JS / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("the npm packages of tests/js are missing: make test installs them")
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if node is None:
        pytest.skip("there is no node: make test installs one")
    options = {
        "redirectUris": [redirect_uri],
        "clientId": CLIENT,
        "clientSecret": secret,
        "people": people,
        "algorithm": algorithm,
    }
    pipe = subprocess.PIPE
    command = [node, str(JS / "provider.mjs"), json.dumps(options)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=JS) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["issuer"]
        finally:
            process.kill()


@attrs.define(eq=False)
class Browser:
    """Keeps cookies, follows redirects one by one, fills the provider's forms in."""

    http: httpx.AsyncClient
    seen: list[httpx.Response] = attrs.field(factory=list)

    async def go(self, url: str) -> httpx.Response:
        """The first answer that is no redirect."""
        answer = await self._get(url)
        while answer.is_redirect:
            answer = await self._get(urljoin(str(answer.url), answer.headers["location"]))
        return answer

    async def _get(self, url: str) -> httpx.Response:
        self.seen.append(await self.http.get(url, follow_redirects=False))
        return self.seen[-1]

    async def sign_in(self, start: str, login: str) -> httpx.Response:
        """From the button to the page: login and consent, as far as the provider asks for them."""
        answer = await self.go(start)
        while (form := _ACTION.search(answer.text)) and "/interaction/" in str(answer.url):
            prompt = "login" if 'name="login"' in answer.text else "consent"
            fields = {"prompt": prompt, "login": login, "password": "x"}
            submitted = await self.http.post(urljoin(str(answer.url), form[1]), data=fields, follow_redirects=False)
            self.seen.append(submitted)
            answer = await self.go(urljoin(str(submitted.url), submitted.headers["location"]))
        return answer

    async def abort(self, start: str) -> httpx.Response:
        """Somebody thinks better of it."""
        answer = await self.go(start)
        found = _ABORT.search(answer.text)
        assert found is not None
        return await self.go(urljoin(str(answer.url), found[1]))
