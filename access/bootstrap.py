"""The first start: an owner, a village, a runner on this machine. Running it again changes nothing that is there."""

import json
import os
from pathlib import Path

import attrs
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.grants import grant_runner_token
from townwatch.store import members, runner_grants, runners, tokens, users, villages
from townwatch.store.log.schema import sync_directory
from townwatch.store.runners import RunnerRow

OWNER_ID = "user_owner"
DEMO_VILLAGE = "demo"
LOCAL_RUNNER = "runner_local"
RUNNER_FILE = "runner.json"
SECRET_FILE = "token.secret"


@attrs.frozen(kw_only=True)
class Bootstrapped:
    """The village, owner and runner that exist after a start. `runner_file` holds ``{"runnerId", "name", "token"}``
    (mode 0600).
    """

    owner_id: str
    village_id: str
    runner_id: str
    runner_file: Path


def token_secret(state_dir: Path) -> bytes:
    """The secret that our access tokens are signed with; made at the first start, kept in the state directory."""
    return secrets.keep_in_file(state_dir / SECRET_FILE)


def bootstrap(connection: Connection, state_dir: Path, now_ms: int, owner_name: str = "Owner") -> Bootstrapped:
    """Make what is missing. Call it through `Database.call` (or `run`), before anything else uses the database.

    The owner and the demo village are made only in an empty database: who deleted the village does not get it back.
    """
    if users.count(connection) == 0:
        users.create(connection, owner_name, now_ms, admin=True, user_id=OWNER_ID)
        villages.create(connection, DEMO_VILLAGE, "Demo village", now_ms, key=DEMO_VILLAGE)
        members.put(connection, DEMO_VILLAGE, OWNER_ID, "owner", now_ms)
    if runners.get(connection, LOCAL_RUNNER) is None:
        here = RunnerRow(runner_id=LOCAL_RUNNER, name="this machine", created_ms=now_ms)
        runners.put(connection, here)
        if villages.get(connection, DEMO_VILLAGE) is not None:  # the owner's first village, and no other
            runner_grants.grant(connection, LOCAL_RUNNER, DEMO_VILLAGE, OWNER_ID, now_ms)
    file = state_dir / RUNNER_FILE
    if not _still_good(connection, file, now_ms):
        granted = grant_runner_token(connection, LOCAL_RUNNER, now_ms)
        _write_private(file, {"runnerId": LOCAL_RUNNER, "name": "this machine", "token": granted.token})
    return Bootstrapped(owner_id=OWNER_ID, village_id=DEMO_VILLAGE, runner_id=LOCAL_RUNNER, runner_file=file)


def _still_good(connection: Connection, file: Path, now_ms: int) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        token = tokens.runner_token_by_hash(connection, secrets.digest(content["token"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    alive = token is not None and token.revoked_ms is None and (token.expires_ms is None or token.expires_ms > now_ms)
    return alive and token is not None and token.runner_id == content.get("runnerId")


def _write_private(file: Path, content: object) -> None:
    """All of it or nothing, readable by us alone from the first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(content, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)
