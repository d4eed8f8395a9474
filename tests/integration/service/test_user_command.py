"""`townwatch user add`: somebody new, from the command line to a password of their own."""

import subprocess
import sys
from pathlib import Path

import httpx
import trio

from tests.support.service import open_town


async def user_add(state: Path, *words: str, command: tuple[str, ...] = ("add",)) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-P", "-m", "townwatch", "user", *command, *words, f"--state-dir={state}"]
    return await trio.run_process(line, check=False, capture_stdout=True, capture_stderr=True, cwd=state.parent)


async def test_somebody_new_comes_in_and_sets_a_password(tmp_path: Path) -> None:
    async with open_town(tmp_path / "town") as town, httpx.AsyncClient(base_url=town.url) as http:
        added = await user_add(town.state, "Bob", "--email=bob@example.org", "--village=demo", "--role=operator")
        assert added.returncode == 0, added.stderr
        link = added.stdout.decode().strip()
        assert link.startswith(f"{town.url}/?code=")
        answer = await http.post("/api/auth/exchange", json={"code": link.partition("code=")[2]})
        headers = {"authorization": f"Bearer {answer.json()['token']}"}
        me = (await http.get("/api/me", headers=headers)).json()
        assert (me["name"], me["admin"]) == ("Bob", False)
        assert [(one["villageId"], one["role"]) for one in me["villages"]] == [("demo", "operator")]
        body = {"password": "correct horse battery"}
        assert (await http.put("/api/me/password", json=body, headers=headers)).status_code == 200
        body["email"] = "bob@example.org"
        assert (await http.post("/api/auth/password", json=body)).json()["user"]["name"] == "Bob"
        for words, why in (
            (("Bob", "--email=BOB@example.org"), "belongs to another account"),
            (("Bob", "--village=nowhere"), "there is no village 'nowhere'"),
            (("",), "a name has"),
            (("Bob", "--email=bob"), "is no e-mail address"),
        ):
            wrong = await user_add(town.state, *words)
            assert wrong.returncode == 2
            assert why in wrong.stderr.decode() and wrong.stderr.count(b"\n") == 1


async def test_without_a_service_it_says_so(tmp_path: Path) -> None:
    done = await user_add(tmp_path / "nothing", "Bob")
    assert done.returncode == 2
    assert b"townwatch serve" in done.stderr
