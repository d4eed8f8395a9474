"""Identity of this runner: its id, its token and where its service lives, kept in ``<state dir>/runner.json`` (mode
0600).
"""

import json
import platform
import uuid
from contextlib import suppress
from pathlib import Path

import attrs

from townwatch.contracts.files import replace_durably
from townwatch.runner.link.tls import Tls

FILE = "runner.json"
DEFAULT_URL = "ws://127.0.0.1:8484/runner"


@attrs.frozen(kw_only=True)
class Identity:
    """`url`: the service's runner endpoint (ws:// or wss://). `village`: where its sessions belong. `token`: empty
    where the certificate in `tls` says who it is.
    """

    runner_id: str
    token: str
    url: str = DEFAULT_URL
    village: str = "demo"
    name: str = attrs.field(factory=platform.node)
    tls: Tls = attrs.field(factory=Tls)


def belongs(state_dir: Path, known: Identity) -> str:
    """Return whose a state directory is, and what that means for another runner: the line for who would replace it."""
    return (
        f"{state_dir} is {known.runner_id} of {known.url} already: another --state-dir for this one, or --anew to "
        "forget that"
    )


class NotEnrolled(Exception):
    """There is no usable runner.json; the message says what to do."""


def load(state_dir: Path) -> Identity:
    """Raises `NotEnrolled`."""
    path = state_dir / FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Identity(
            runner_id=known["runnerId"],
            token=known.get("token", "") if known.get("tls") else known["token"],
            url=known.get("url", DEFAULT_URL),
            village=known.get("villageId", "demo"),
            name=known.get("name") or platform.node(),
            tls=Tls(**known.get("tls", {})),
        )
    except FileNotFoundError:
        raise NotEnrolled(
            f"{path} is not there: start the service here once, or townwatch runner join URL --code CODE"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotEnrolled(f"{path} cannot be used ({error}): delete it and start the service, or enrol anew") from None


def save(state_dir: Path, identity: Identity) -> None:
    """Write runner.json so that only this user can read it, all of it or nothing; only where it says something else."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    values: dict[str, object] = {
        "runnerId": identity.runner_id,
        "token": identity.token,
        "url": identity.url,
        "villageId": identity.village,
        "name": identity.name,
    }
    if identity.tls != Tls():
        values["tls"] = attrs.asdict(identity.tls)
    text = json.dumps(values, indent=2)
    target = state_dir / FILE
    with suppress(OSError, ValueError):
        if target.read_text(encoding="utf-8") == text:
            return
    replace_durably(target, text.encode())


def new_session_id() -> str:
    """Make an id: 32 hex digits, at random."""
    return uuid.uuid4().hex
