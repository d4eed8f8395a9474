"""A machine becomes a runner, gets a new token, loses it: with the command line, and the real service."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from tests.support.service import Town, open_town


@attrs.define(eq=False)
class Fleet:
    """A service with its REST API, and the state directory of a machine elsewhere."""

    town: Town
    http: httpx.AsyncClient
    state: Path

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.town.token}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def code(self, **body: Any) -> str:
        return (await self.ask("POST", "/api/runners/enrolments", body)).json()["code"]

    async def townwatch(self, *words: str, status: int = 0) -> str:
        """What it printed, on either stream."""
        done = await trio.run_process(
            command(self.state, *words), check=False, capture_stdout=True, capture_stderr=True, cwd=self.state.parent
        )
        told = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == status, told
        return told

    def known(self) -> dict[str, Any]:
        return json.loads((self.state / "runner.json").read_text())

    @asynccontextmanager
    async def runner(self) -> AsyncIterator["Output"]:
        """`townwatch runner`, connected."""
        start = partial(trio.lowlevel.open_process, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        process = await start(command(self.state, "runner"), cwd=self.state.parent)
        output = Output(process)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(output.read)
                await self.until_connected(True)
                yield output
                nursery.cancel_scope.cancel()
        finally:
            process.terminate()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def connected(self) -> bool:
        found = await self.ask("GET", f"/api/runners/{self.known()['runnerId']}")
        return found.json()["connected"]

    async def until_connected(self, wanted: bool, seconds: float = 15) -> float:
        """How long it took, in seconds."""
        began = trio.current_time()
        with trio.fail_after(seconds):
            while await self.connected() != wanted:
                await trio.sleep(0.02)
        return trio.current_time() - began


@attrs.define(eq=False)
class Output:
    process: trio.Process
    text: str = ""

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for data in self.process.stderr:
            self.text += data.decode()

    async def says(self, words: str) -> None:
        with trio.fail_after(15):
            while words not in self.text:
                await trio.sleep(0.02)


def command(state: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "townwatch", *words, f"--state-dir={state}"]


@asynccontextmanager
async def open_fleet(path: Path) -> AsyncIterator[Fleet]:
    async with open_town(path / "town") as town, httpx.AsyncClient(base_url=town.url, timeout=20) as http:
        yield Fleet(town, http, path / "elsewhere")


async def test_a_machine_joins_with_a_code_and_is_that_runner_from_then_on(tmp_path: Path) -> None:
    async with open_fleet(tmp_path) as fleet:
        code = await fleet.code(villageId="demo", name="builder")
        told = await fleet.townwatch("runner", "join", fleet.town.url, "--code", code)
        assert fleet.known()["runnerId"] in told
        assert fleet.known()["token"] not in told
        assert (fleet.state / "runner.json").stat().st_mode & 0o777 == 0o600
        assert (fleet.known()["url"], fleet.known()["villageId"]) == (f"ws{fleet.town.url[4:]}/runner", "demo")
        async with fleet.runner():
            found = (await fleet.ask("GET", f"/api/runners/{fleet.known()['runnerId']}")).json()
            assert (found["status"], found["villages"]) == ("online", ["demo"])
        again = await fleet.townwatch("runner", "join", fleet.town.url, "--code", code, status=2)
        assert "--anew" in again and "\n" not in again.strip()
        used = await fleet.townwatch("runner", "join", fleet.town.url, "--code", code, "--anew", status=2)
        assert "used" in used and "Traceback" not in used


async def test_who_runs_the_service_makes_a_code_on_its_machine(tmp_path: Path) -> None:
    async with open_fleet(tmp_path) as fleet:
        here = [sys.executable, "-P", "-m", "townwatch", "runner", "code", f"--state-dir={tmp_path / 'town'}"]
        made = await trio.run_process([*here, "--village=demo"], capture_stdout=True)
        await fleet.townwatch("runner", "join", fleet.town.url, "--code", made.stdout.decode().strip(), "--name", "b2")
        assert fleet.known()["name"] == "b2"
        wrong = await trio.run_process([*here, "--village=nowhere"], check=False, capture_stderr=True)
        assert (wrong.returncode, wrong.stderr) == (2, b"townwatch: there is no village 'nowhere'\n")


async def test_what_cannot_be_joined_says_why_in_a_line(tmp_path: Path) -> None:
    async with open_fleet(tmp_path) as fleet:
        for url, words in (
            ("http://127.0.0.1:9", "all attempts to connect"),
            ("http://townwatch.example", "in the clear"),
            ("ftp://townwatch.example", "no address"),
            (fleet.town.url.replace("http:", "https:"), fleet.town.url.replace("http:", "https:")),
            (fleet.town.url, "code is unknown, used or expired"),
        ):
            told = await fleet.townwatch("runner", "join", url, "--code", "twe_wrong", status=2)
            assert words in told and told.count("\n") == 1, told
        assert not (fleet.state / "runner.json").exists()


async def test_a_rotated_token_replaces_the_old_one_while_the_runner_works_on(tmp_path: Path) -> None:
    async with open_fleet(tmp_path) as fleet:
        await fleet.townwatch("runner", "join", fleet.town.url, "--code", await fleet.code())
        before = fleet.known()["token"]
        async with fleet.runner() as output:
            await fleet.townwatch("runner", "rotate")
            after = fleet.known()["token"]
            assert after != before
            assert await fleet.connected()
            path = f"/api/runners/{fleet.known()['runnerId']}"
            assert (await fleet.ask("GET", path, token=after)).status_code == 200
            # the old one ends, the connection is lost: the runner comes back with what runner.json says now
            granted = (await fleet.ask("POST", f"{path}/token", token=after)).json()["token"]
            (fleet.state / "runner.json").write_text(json.dumps({**fleet.known(), "token": granted}))
            await fleet.town.service.database.call(_end_all_but, granted)
            await fleet.ask("PUT", f"{path}/state", {"state": "active"})
            assert fleet.town.service.cut_runner(fleet.known()["runnerId"], "a test") == 1
            await output.says("the runner token has expired")
            await fleet.until_connected(True)


def _end_all_but(connection: Any, token: str) -> None:
    from townwatch.access.secrets import digest
    from townwatch.store.tables import runner_tokens

    others = runner_tokens.c.hash != digest(token)
    connection.execute(runner_tokens.update().where(others).values(expires_ms=1))


async def test_a_revoked_runner_is_cut_within_a_second_and_told_why(tmp_path: Path) -> None:
    async with open_fleet(tmp_path) as fleet:
        await fleet.townwatch("runner", "join", fleet.town.url, "--code", await fleet.code())
        async with fleet.runner() as output:
            path = f"/api/runners/{fleet.known()['runnerId']}"
            assert (await fleet.ask("DELETE", f"{path}/token")).status_code == 200
            assert await fleet.until_connected(False) < 1
            await output.says("the runner token is revoked")
            told = await fleet.townwatch("runner", "rotate", status=2)
            assert "token" in told
            # enrolled anew it may come back, as somebody else
            old = fleet.known()["runnerId"]
            await fleet.townwatch("runner", "join", fleet.town.url, "--code", await fleet.code(), "--anew")
            assert fleet.known()["runnerId"] != old
