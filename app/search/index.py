"""The search index behind the log: reads what the log has beyond it, in small steps; forgets what the log forgot.

`step` is called by one task only (`indexer`), so the index has one writer. Its position in each session is stored in
the same transaction as the text: after a crash it goes on where it was. Nothing that can be read here is older than
the log's word on it: a match whose events are gone is not shown, even while its text could not be removed yet.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import attrs
import structlog

from townwatch.app.search.texts import SessionTexts
from townwatch.contracts import events as e
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.codec import ContractError
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.store.log.records import Head, LogRecord
from townwatch.store.search.query import excerpt
from townwatch.store.search.records import (
    Advance,
    Found,
    FoundText,
    Freshness,
    Piece,
    SearchError,
    SearchStore,
    Wanted,
)

log = structlog.get_logger("search")

STEP_SECONDS = 0.05
"""Work of one step; one event more at most."""
READ_EVENTS, READ_BYTES = 500, 256 << 10
WARM_EVENTS = 100
"""Events read again where a session's screen is not in memory: what stands on it was indexed before."""
OPEN_SESSIONS = 200
"""Sessions whose screen is kept in memory."""
KEEP_FREE = 64 << 20
"""Free space on the disk below which nothing is indexed: the rest is the log's."""


class Log(Protocol):
    """The part of the event log that the index reads. Calls block."""

    def heads(self) -> dict[str, Head]: ...

    def head(self, session_id: str) -> Head | None: ...

    def read(self, session_id: str, after: int = 0, limit: int = 1000, max_bytes: int = 4 << 20) -> list[LogRecord]: ...


def room_on(folder: Path) -> Callable[[], int]:
    """A function that returns the free bytes of the disk."""

    def free() -> int:
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    return free


class SearchIndex:
    """`open_store` is tried again until it succeeds: a search that cannot start keeps nothing else from starting."""

    def __init__(self, event_log: Log, open_store: Callable[[], SearchStore], free: Callable[[], int]) -> None:
        self._log = event_log
        self._open_store = open_store
        self._free = free
        self._store: SearchStore | None = None
        self._positions: dict[str, int] = {}
        self._texts: OrderedDict[str, SessionTexts] = OrderedDict()
        self._owed: set[str] = set()
        """Sessions whose removed events could not be removed here yet."""
        self._turn = ""
        """The session that was served last in turn: others come first."""
        self._newest_first = False
        """Whether this step served what is newest; every other one serves each session in its turn."""
        self._current_at: int | None = None
        self.reason: str | None = None
        """Why the last step failed."""

    # --- for those who ask --------------------------------------------------------------------------

    def find(self, wanted: Wanted) -> Found:
        """A page of matches whose events can be read. Blocks. Raises `SearchError`."""
        if self._store is None:
            raise SearchError(self.reason or "the search index is being opened; try again")
        found = self._store.find(wanted)
        return attrs.evolve(found, matches=[_shown(one, wanted) for one in found.matches if self._readable(one)])

    def freshness(self, village_ids: Collection[str]) -> Freshness:
        """Return how far the index is behind what these villages have in the log."""
        behind = sum(
            max(0, head.last_seq - self._positions.get(head.session_id, 0))
            for head in self._log.heads().values()
            if head.village_id in village_ids and head.events
        )
        return Freshness(behind=behind, current_at=self._current_at, reason=self.reason if behind else None)

    def _readable(self, match: FoundText) -> bool:
        first = self._first_seq(match.session_id)
        return first is not None and match.from_seq >= first

    # --- for those who remove -----------------------------------------------------------------------

    def removed(self, session_ids: Sequence[str]) -> None:
        """Remove the text of events that the log has removed. Blocks; what cannot be removed now is owed."""
        for session_id in session_ids:
            try:
                self._remove(session_id)
            except Exception as error:  # deleting from the log goes on, whatever happens here
                self._owed.add(session_id)
                log.error("search_text_not_removed_yet", session=session_id, reason=str(error))

    def _remove(self, session_id: str) -> None:
        if self._store is None:
            raise SearchError("the search index is not open")
        first = self._first_seq(session_id)
        if first is None:
            self._store.forget([session_id])
            self._positions.pop(session_id, None)
        elif first > 1:
            self._store.trim(session_id, first)

    def _first_seq(self, session_id: str) -> int | None:
        head = self._log.head(session_id)
        if head is None:
            return None
        return head.first_seq if head.events else head.max_seq + 1

    # --- the writer ---------------------------------------------------------------------------------

    def step(self) -> bool:
        """Index a little of what is new; return True if there is more to do. Blocks. Raises `SearchError`."""
        try:
            more = self._step()
        except Exception as error:
            self._texts.clear()  # they may have been read further than is stored
            known = isinstance(error, SearchError)
            if self.reason is None:
                log.warning("search_stopped", reason=str(error), effect="search is behind; all else goes on")
            self.reason = str(error) if known else "indexing failed; the service's log has the details"
            raise
        if self.reason is not None:
            log.info("search_goes_on")
        self.reason = None
        return more

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _step(self) -> bool:
        store = self._opened()
        if store.renewed():
            self._positions.clear()
            self._texts.clear()
        for session_id in self._owed.copy():
            self._remove(session_id)
            self._owed.discard(session_id)
        now, heads = epoch_ms(), self._log.heads()
        if behind := self._behind(heads.values()):
            if self._free() < KEEP_FREE:
                raise SearchError(
                    f"the disk has less than {KEEP_FREE >> 20} MB free; make room, or lower [journal] keep_mb"
                )
            advances = self._advances(behind)
            store.add(advances, self._first_seq)
            self._positions.update({one.session_id: one.seq for one in advances})
            if self._behind(behind):
                return True
        self._current_at = now
        return store.tidy()

    def _behind(self, heads: Iterable[Head]) -> list[Head]:
        return [head for head in heads if head.last_seq > self._positions.get(head.session_id, 0)]

    def _opened(self) -> SearchStore:
        """The store; when it is opened, text of what the log does not have (any more) goes."""
        if self._store is None:
            store = self._open_store()
            store.renewed()
            self._positions = store.positions()
            heads = self._log.heads()
            gone = [one for one, seq in self._positions.items() if one not in heads or seq > heads[one].max_seq]
            store.forget(gone)
            for session_id in gone:
                del self._positions[session_id]
            self._store = store
            self._owed |= {one for one in self._positions if (self._first_seq(one) or 1) > 1}
        return self._store

    def _advances(self, behind: Sequence[Head]) -> list[Advance]:
        until = time.monotonic() + STEP_SECONDS
        self._newest_first = not self._newest_first
        found: list[Advance] = []
        for head in self._by_time(behind) if self._newest_first else self._in_turn(behind):
            found.append(self._advance(head, until))
            if not self._newest_first:
                self._turn = head.session_id
            if time.monotonic() > until:
                break
        return found

    def _by_time(self, behind: Sequence[Head]) -> list[Head]:
        """Choose a session: what goes on now comes first, a long past must not keep it waiting."""
        return sorted(behind, key=lambda head: -head.last_ts_ms)

    def _in_turn(self, behind: Sequence[Head]) -> list[Head]:
        """Yield the sessions, each in its turn."""
        ordered = sorted(behind, key=lambda head: head.session_id)
        start = next((place for place, head in enumerate(ordered) if head.session_id > self._turn), 0)
        return [*ordered[start:], *ordered[:start]]

    def _advance(self, head: Head, until: float) -> Advance:
        session_id = head.session_id
        seq = self._positions.get(session_id, 0)
        texts = self._texts_of(session_id, seq)
        pieces: list[Piece] = []
        records = self._log.read(session_id, seq, READ_EVENTS, READ_BYTES)
        for record in records:
            if record.seq > head.last_seq:  # behind a hole that may be filled yet
                seq = head.last_seq
                break
            texts = _take(texts, record, pieces)
            time.sleep(0)  # lets other threads run: the event loop comes first
            seq = record.seq
            if record.type == e.SessionEnded.TYPE:
                self._texts.pop(session_id, None)
            if time.monotonic() > until:
                break
        pieces += texts.flush()
        if session_id in self._texts:
            self._texts[session_id] = texts
        if not records:
            seq = head.last_seq  # what is missing is not stored any more
        return Advance(session_id=session_id, village_id=head.village_id, seq=seq, pieces=pieces)

    def _texts_of(self, session_id: str, seq: int) -> SessionTexts:
        texts = self._texts.pop(session_id, None)
        if texts is None:
            texts = SessionTexts()
            ignored: list[Piece] = []
            for record in self._log.read(session_id, max(0, seq - WARM_EVENTS), WARM_EVENTS, READ_BYTES) if seq else ():
                if record.seq <= seq:
                    texts = _take(texts, record, ignored)
            ignored += texts.flush()
        self._texts[session_id] = texts
        while len(self._texts) > OPEN_SESSIONS:
            self._texts.popitem(last=False)
        return texts


def _shown(match: FoundText, wanted: Wanted) -> FoundText:
    snippet, spans = excerpt(match.text, wanted.query)
    return attrs.evolve(match, snippet=snippet, spans=spans)


def _take(texts: SessionTexts, record: LogRecord, pieces: list[Piece]) -> SessionTexts:
    """Add the pieces of one stored event. One that cannot be read has none: it must not keep the rest from coming."""
    try:
        pieces += texts.take(decode_event(record.body))
    except ContractError:
        pass
    except Exception as error:
        log.error("event_not_indexed", session=record.session_id, seq=record.seq, reason=repr(error))
        return SessionTexts()
    return texts
