"""Exactly once in the log, in order, whatever is sent, however often, with crashes in between."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.property.journal_model import ModelSession
from tests.support.whole_log import read_all
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import Lost, Retention

SESSIONS = ("a", "b", "c")
VILLAGES = {"a": "one", "b": "one", "c": "two"}
sends = st.lists(st.tuples(st.sampled_from(SESSIONS), st.integers(1, 30), st.binary(max_size=8)), max_size=20)


class Journal(RuleBasedStateMachine):
    """Runners that repeat, skip, come late and give up; a service that crashes; retention that forgets."""

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="tw-log-"))
        self.log = EventLog.open(self.home / "j.db", synchronous="normal", reserve_bytes=0)
        self.model: dict[str, ModelSession] = {}
        self.deleted: set[str] = set()

    @rule(batch=sends)
    def append(self, batch: list[tuple[str, int, bytes]]) -> None:
        records = [LogRecord(s, seq, VILLAGES[s], "X", 1.0, body) for s, seq, body in batch]
        result = self.log.append(records)
        stored: list[tuple[str, int, bytes]] = []
        repeats: dict[str, int] = {}
        for session, seq, body in batch:
            model = self.model.setdefault(session, ModelSession(VILLAGES[session]))
            outcome = model.offer(seq, body)
            if outcome == "stored" and session in self.deleted:
                del model.stored[seq]
                outcome = "repeat"
            if outcome == "stored":
                stored.append((session, seq, body))
            elif outcome == "repeat":
                repeats[session] = repeats.get(session, 0) + 1
        assert [(r.session_id, r.seq, r.body) for r in result.stored] == stored
        assert result.repeats == repeats

    @rule(session=st.sampled_from(SESSIONS), low=st.integers(1, 35), length=st.integers(0, 5))
    def give_up(self, session: str, low: int, length: int) -> None:
        self.log.append([], lost=[Lost(session, low, low + length, "refused")])
        if session in self.model:
            self.model[session].lose(low, low + length)

    @rule()
    def crash(self) -> None:
        """The process dies: what it had open is gone, the files stay. A copy of them is what the next one finds."""
        crashed = self.home.with_name(self.home.name + "-crashed")
        shutil.copytree(self.home, crashed, ignore=shutil.ignore_patterns("*-shm"))
        self.log.close()
        shutil.rmtree(self.home)
        crashed.rename(self.home)
        self.log = EventLog.open(self.home / "j.db", synchronous="normal", reserve_bytes=0)

    @rule(village=st.sampled_from(("one", "two")), size=st.integers(0, 100), chunk=st.integers(1, 10))
    def retain(self, village: str, size: int, chunk: int) -> None:
        while self.log.retain(village, Retention(max_bytes=size), chunk=chunk).more:
            pass
        for session, model in self.model.items():
            if model.village == village:
                left = {r.seq for r in self.log.read(session)}
                model.stored = {seq: body for seq, body in model.stored.items() if seq in left}
        assert sum(len(b) for m in self.model.values() if m.village == village for b in m.stored.values()) <= size

    @rule(session=st.sampled_from(SESSIONS))
    def delete(self, session: str) -> None:
        while self.log.delete_session(session, chunk=3).more:
            pass
        if session in self.model:
            self.deleted.add(session)
            self.model[session].stored.clear()
            self.model[session].lose(1, self.model[session].max_seq)

    @invariant()
    def the_log_is_what_the_model_says(self) -> None:
        if not hasattr(self, "log"):
            return
        heads = self.log.heads()
        assert set(heads) == {s for s, m in self.model.items() if m.known} - self.deleted
        for session, model in self.model.items():
            assert [(r.seq, r.body) for r in self.log.read(session)] == sorted(model.stored.items())
            if head := heads.get(session):
                assert (head.last_seq, head.max_seq) == (model.last_seq, model.max_seq)
                assert list(head.holes) == model.holes()
                assert (head.events, head.bytes) == (len(model.stored), sum(map(len, model.stored.values())))
                assert head.first_seq == min(model.stored, default=0)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            positions = [r.position for r in read_all(self.log)]
            assert positions == sorted(set(positions))
            self.log.close()
            shutil.rmtree(self.home)


TestJournal = Journal.TestCase
TestJournal.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
