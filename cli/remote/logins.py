"""Saved logins: `logins.json` in the state directory, mode 0600. One service each, by its address."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import attrs

FILE = "logins.json"
OWN = "this machine"
"""The login at this machine's own service, whose port may be another one tomorrow."""
EARLY_SECONDS = 60.0
"""A token that ends so soon is not used any more."""


@attrs.frozen(kw_only=True)
class Login:
    """`expires_at`: epoch milliseconds, None: it does not end. `ca`: PEM file for the service's certificate."""

    token: str = attrs.field(repr=False)
    name: str = ""
    expires_at: float | None = None
    token_id: str | None = None
    ca: str = ""

    @property
    def over(self) -> bool:
        return self.expires_at is not None and time.time() + EARLY_SECONDS > self.expires_at / 1000


def load(state: Path) -> dict[str, Login]:
    """Return the saved logins by address; none where the file is missing or cannot be read."""
    known = {field.name for field in attrs.fields(Login)}
    found: dict[str, Login] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        saved = cast("dict[str, dict[str, Any]]", json.loads((state / FILE).read_text(encoding="utf-8")))
        for url, values in saved.items():
            found[url] = Login(**{name: value for name, value in values.items() if name in known})
    return found


def save(state: Path, url: str, login: Login | None) -> None:
    """Keep the login at this address, or forget it. All of the file is written or nothing of it. Raises OSError."""
    logins = load(state)
    logins.pop(url, None)
    if login is not None:
        logins[url] = login
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = state / f"{FILE}.{os.getpid()}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({name: attrs.asdict(one) for name, one in logins.items()}, file, indent=2)
        part.replace(state / FILE)
    finally:
        part.unlink(missing_ok=True)
