"""The first start: an owner, a village, a runner on this machine. Running it again changes nothing that is there."""

import json
import socket
from pathlib import Path
from secrets import token_hex

import attrs
import structlog
from sqlalchemy import Connection

from townwatch.access import secrets
from townwatch.access.grants import grant_runner_token
from townwatch.contracts.files import replace_durably
from townwatch.store import members, runner_grants, runners, service_secrets, tokens, users, villages
from townwatch.store.runners import RunnerRow

_log = structlog.get_logger("access")
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


def share_secret(connection: Connection, state_dir: Path) -> None:
    """Make the secret of the shared database the one in the state directory, and the other way round at the first
    start: what one process signed in stays signed in at the next one that leads.
    """
    mine = state_dir / SECRET_FILE
    before = secrets.keep_in_file(mine)
    shared = bytes.fromhex(service_secrets.keep(connection, SECRET_FILE, before.hex()))
    if shared != before:
        secrets.replace_file(mine, shared)


def bootstrap(
    connection: Connection, state_dir: Path, now_ms: int, owner_name: str = "Owner", *, shared: bool = False
) -> Bootstrapped:
    """Make what is missing. Call it through `Database.call` (or `run`), before anything else uses the database.

    The owner and the demo village are made only in an empty database: who deleted the village does not get it back.
    `shared`: by several machines, of which each has a runner of its own; the first one's keeps its token.
    """
    if users.count(connection) == 0:
        users.create(connection, owner_name, now_ms, admin=True, user_id=OWNER_ID)
        villages.create(connection, DEMO_VILLAGE, "Demo village", now_ms, key=DEMO_VILLAGE)
        members.put(connection, DEMO_VILLAGE, OWNER_ID, "owner", now_ms)
    file = state_dir / RUNNER_FILE
    good = _still_good(connection, file, now_ms)
    runner_id, name = (good, "") if good is not None else _local_runner(connection, file, now_ms, shared=shared)
    if runners.get(connection, runner_id) is None:
        here = RunnerRow(runner_id=runner_id, name=name or "this machine", created_ms=now_ms)
        runners.put(connection, here)
        if villages.get(connection, DEMO_VILLAGE) is not None:  # the owner's first village, and no other
            runner_grants.grant(connection, runner_id, DEMO_VILLAGE, OWNER_ID, now_ms)
    if good is None:
        set_aside(file, now_ms)
        granted = grant_runner_token(connection, runner_id, now_ms)
        _write_private(file, {"runnerId": runner_id, "name": name, "token": granted.token})
    return Bootstrapped(owner_id=OWNER_ID, village_id=DEMO_VILLAGE, runner_id=runner_id, runner_file=file)


def set_aside(file: Path, now_ms: int) -> None:
    """Keep a runner.json that names a runner of another service: only that file has its token."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        ours = str(known["runnerId"]).startswith(LOCAL_RUNNER) or not (known.get("token") or known.get("tls"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if not ours:
        kept = file.with_name(f"{file.name}.{now_ms}")
        file.rename(kept)
        _log.warning(
            "runner_file_set_aside", runner=known["runnerId"], service=known.get("url"), file=str(kept),
            advice="this machine's runner is this service's now; to have the other one back, give it a --state-dir",
        )  # fmt: skip


def _local_runner(connection: Connection, file: Path, now_ms: int, *, shared: bool) -> tuple[str, str]:
    """Return id and name for this machine's runner, whose file holds no token that is still good."""
    if not shared or not tokens.has_runner_token(connection, LOCAL_RUNNER, now_ms):
        return LOCAL_RUNNER, "this machine"
    host = socket.gethostname()
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        if str(before["runnerId"]).startswith(f"{LOCAL_RUNNER}_"):
            return before["runnerId"], str(before.get("name") or host)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return f"{LOCAL_RUNNER}_{token_hex(4)}", f"runner on {host}"


def _still_good(connection: Connection, file: Path, now_ms: int) -> str | None:
    """Return whose token the file holds, or None where it does not open the door any more."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        token = tokens.runner_token_by_hash(connection, secrets.digest(content["token"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    alive = token is not None and token.revoked_ms is None and (token.expires_ms is None or token.expires_ms > now_ms)
    if not alive or token is None or token.runner_id != content.get("runnerId"):
        return None
    return token.runner_id


def _write_private(file: Path, content: object) -> None:
    """Write the whole file or nothing, readable by us alone from the first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_durably(file, json.dumps(content).encode())
