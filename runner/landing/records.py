"""Orders of people that a runner has taken: kept on its disk until they are over, so that a kill loses no outcome.

One file an order, replaced whole and synced before the act begins. What a process that was killed left as `doing` is
looked for afterwards (`after.py`); it is never done a second time without a person.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import attrs
import structlog
import trio

from townwatch.contracts.agent_events import Landed, LandingAct
from townwatch.contracts.codec import ContractError, Decoder, encode
from townwatch.contracts.files import replace_durably
from townwatch.runner.session.lifecycle import NotPossible

log = structlog.get_logger("landing")

DIRECTORY = "landing"
KEPT_SECONDS = 3 * 24 * 3600.0
"""How long what is over is kept: the service may ask for it again until it has settled the order."""
KEPT = 1000


@attrs.frozen(kw_only=True)
class LandFacts:
    """What an act is about, as far as it can be looked for afterwards."""

    branch: str | None = None
    commit: str | None = None
    remote: str | None = None
    base: str | None = None


@attrs.frozen(kw_only=True)
class LandRecord:
    """An order as it stands. asked: people decide. doing: it may be done by now. over: `outcome`, or `refused` says
    why there is none. `directory`: the tree's, where it can be looked at.
    """

    command_id: str
    session_id: str
    act: LandingAct
    by: str
    state: Literal["asked", "doing", "over"]
    directory: str
    facts: LandFacts = attrs.field(factory=LandFacts)
    approval_id: str | None = None
    rule: str | None = None
    why: str = ""
    approved_by: str | None = None
    outcome: Landed | None = None
    refused: str | None = None


_record: Decoder[LandRecord] = Decoder(LandRecord)


class LandRecords:
    """The records below a runner's own directory. All of it blocks: call it in a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / DIRECTORY

    def get(self, command_id: str) -> LandRecord | None:
        """Return what is known of an order; None: nothing was begun. Raises OSError, `ContractError`."""
        try:
            return _record.decode(self._path(command_id).read_bytes())
        except FileNotFoundError:
            return None

    def put(self, record: LandRecord) -> None:
        """Keep it; it is on the disk when this returns. Raises OSError."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        replace_durably(self._path(record.command_id), encode(record))
        if record.state == "over":
            self._forget_old()

    def unfinished(self) -> list[LandRecord]:
        """Return the orders that are not over."""
        found: list[LandRecord] = []
        for path in self._paths():
            try:
                if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                    continue  # the service asks for it no more
                found.append(_record.decode(path.read_bytes()))
            except (OSError, ContractError) as error:
                log.error("order_unreadable", path=str(path), reason=str(error))
        return [one for one in found if one.state != "over"]

    def _forget_old(self) -> None:
        dated: list[tuple[float, Path]] = []
        for path in self._paths():
            with suppress(FileNotFoundError):  # another process of this runner forgets, too
                dated.append((path.stat().st_mtime, path))
        late = time.time() - KEPT_SECONDS
        for number, (at, path) in enumerate(sorted(dated, reverse=True)):
            if at < late or number >= KEPT:
                path.unlink(missing_ok=True)

    def _paths(self) -> Iterator[Path]:
        return self._directory.glob("*.json")

    def _path(self, command_id: str) -> Path:
        return self._directory / f"{hashlib.sha256(command_id.encode()).hexdigest()[:32]}.json"


class KeptOrders:
    """The records, off the loop, with their trouble in words."""

    def __init__(self, directory: Path) -> None:
        self._records = LandRecords(directory)

    async def get(self, command_id: str) -> LandRecord | None:
        """Raises `NotPossible` where it is not known what was begun."""
        try:
            return await trio.to_thread.run_sync(self._records.get, command_id)
        except (OSError, ContractError) as error:
            raise NotPossible(f"not known: what was begun of this order cannot be read here ({error})") from None

    async def put(self, record: LandRecord) -> None:
        """Raises `NotPossible`: nothing is begun that would be lost with this process."""
        try:
            await trio.to_thread.run_sync(self._records.put, record)
        except OSError as error:
            raise NotPossible(f"nothing is done: the order cannot be kept on this disk ({error.strerror})") from None
