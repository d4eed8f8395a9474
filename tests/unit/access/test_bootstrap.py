"""The first start, and every start after it."""

import json
import stat
from pathlib import Path

from townwatch.access.authenticator import Authenticator
from townwatch.access.bootstrap import bootstrap, token_secret
from townwatch.access.jwt import OwnTokens
from townwatch.access.sign_in import SignIn
from townwatch.store import members, villages
from townwatch.store.database import Database


async def test_an_owner_with_a_village_and_a_runner_that_can_sign_in(
    database: Database, own: OwnTokens, tmp_path: Path, clock
) -> None:
    made = await database.call(bootstrap, tmp_path, clock.ms)
    village = await database.read(villages.get, made.village_id)
    assert village is not None
    assert (village.village_id, village.name, village.public) == ("demo", "Demo village", False)
    assert await database.read(members.role_of, "demo", made.owner_id) == "owner"
    sign_in = SignIn(database, own, now_ms=clock.now_ms)
    signed_in = await sign_in.exchange(await sign_in.issue_code(made.owner_id))
    authenticator = Authenticator(database, own, now_ms=clock.now_ms)
    owner = await authenticator.authenticate(signed_in.token)
    assert (owner.user_id, owner.admin) == (made.owner_id, True)
    file = json.loads(made.runner_file.read_text())
    runner = await authenticator.runner(file["token"])
    assert runner.runner_id == made.runner_id == file["runnerId"]


async def test_a_second_start_changes_nothing(database: Database, tmp_path: Path, clock) -> None:
    made = await database.call(bootstrap, tmp_path, clock.ms)
    before = made.runner_file.read_bytes()
    assert await database.call(bootstrap, tmp_path, clock.ms + 1) == made
    assert made.runner_file.read_bytes() == before


async def test_a_runner_file_that_was_lost_or_broken_is_made_anew(database: Database, tmp_path: Path, clock) -> None:
    made = await database.call(bootstrap, tmp_path, clock.ms)
    old = json.loads(made.runner_file.read_text())["token"]
    for damage in (b"", b"{", b'{"token": 5}', b'{"token": "twr_guess", "runnerId": "runner_local"}'):
        made.runner_file.write_bytes(damage)
        await database.call(bootstrap, tmp_path, clock.ms)
        assert json.loads(made.runner_file.read_text())["token"] not in (old, "twr_guess")


async def test_a_demo_village_that_was_deleted_stays_deleted(database: Database, tmp_path: Path, clock) -> None:
    await database.call(bootstrap, tmp_path, clock.ms)
    await database.call(villages.remove, "demo")
    await database.call(bootstrap, tmp_path, clock.ms)
    assert await database.read(villages.get, "demo") is None


async def test_the_files_are_ours_alone(database: Database, tmp_path: Path, clock) -> None:
    made = await database.call(bootstrap, tmp_path, clock.ms)
    assert token_secret(tmp_path) == token_secret(tmp_path)
    for file in (made.runner_file, tmp_path / "token.secret"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
