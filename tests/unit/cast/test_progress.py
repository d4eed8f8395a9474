"""A mark says exactly what had been told: with the log, it tells each message that was not, and no other."""

import random
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from townwatch.actors.people.progress import MOST_UNDER_WAY, UNKNOWN, LogProgress, Teller, read_mark
from townwatch.actors.people.seen import SeenLog, both
from townwatch.app.returning.seen import view_of
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog

VILLAGES = {"s0": "demo", "s1": "demo", "s2": "demo", "s3": "other"}
Told = tuple[Teller, str, int, int]
"""(teller, session, seq, number of the message)"""


@attrs.define(eq=False)
class House:
    """Events that are stored and told in an order of chance."""

    log: EventLog
    dice: random.Random
    progress: LogProgress
    seqs: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(VILLAGES, 0))
    told: dict[tuple[Teller, str], int] = attrs.field(factory=dict)
    marks: list[tuple[str, int]] = attrs.field(factory=list)
    """(mark, how many messages had been told when it was written)"""
    messages: list[Told] = attrs.field(factory=list)

    def store(self) -> None:
        batch: list[LogRecord] = []
        for session in self.dice.sample(sorted(VILLAGES), self.dice.randint(1, 3)):
            for _ in range(self.dice.randint(1, 3)):
                self.seqs[session] += 1
                batch.append(LogRecord(session, self.seqs[session], VILLAGES[session], "T", 0.0, b"{}"))
        self.progress.stored(self.log.append(batch).stored)

    def tell(self) -> None:
        late: list[tuple[Teller, str]] = [
            (teller, session)
            for teller in ("v", "t")
            for session in VILLAGES
            if self.told.get((teller, session), 0) < self.seqs[session]
        ]
        if not late:
            return self.store()
        teller, session = self.dice.choice(late)
        first, last = self.told.get((teller, session), 0) + 1, self.seqs[session]
        last = self.dice.randint(first, last)
        for seq in range(first, last + 1):
            for number in range(1, messages_of(teller, seq) + 1):
                self.progress.telling(teller, session, seq)
                self.messages.append((teller, session, seq, number))
                self.note()
        self.told[teller, session] = last
        self.progress.told(teller, session, last)

    def note(self) -> None:
        self.marks.append((self.progress.mark(), len(self.messages)))

    def all(self) -> Iterator[Told]:
        for session, last in self.seqs.items():
            for teller in ("v", "t"):
                for seq in range(1, last + 1):
                    for number in range(1, messages_of(teller, seq) + 1):
                        yield teller, session, seq, number


def messages_of(teller: Teller, seq: int) -> int:
    """Some events make several messages, some none."""
    return seq % 3 if teller == "v" else seq % 2


def missed(seen: SeenLog, message: Told) -> bool:
    teller, session, seq, number = message
    last, shown = seen.place("room", teller, session)
    return seq > last + 1 or (seq == last + 1 and number > shown)


@pytest.mark.parametrize("seed", range(12))
def test_what_was_not_told_is_found_and_nothing_else(tmp_path: Path, seed: int) -> None:
    log = EventLog.open(tmp_path / "journal.db")
    house = House(log, random.Random(seed), LogProgress(log.position))
    for _ in range(80):
        house.dice.choice([house.store, house.tell, house.tell, house.note])()
    everything = set(house.all())
    base = dict(house.seqs)  # the process that took over counts all as told
    for text, count in house.marks:
        mark = read_mark(text)
        assert mark is not None, text
        view = view_of(log, {"demo", "other"}, mark)
        assert view is not None
        found = {one for one in everything if missed(SeenLog(views={"room": view}, base=base), one)}
        assert found == everything - set(house.messages[:count]), text
    (early, few), (late, many) = house.marks[3], house.marks[-3]
    views = [view_of(log, {"demo", "other"}, mark) for text in (early, late) if (mark := read_mark(text)) is not None]
    assert views[0] is not None and views[1] is not None
    assert few < many and both(views[0], views[1]) == views[1]
    log.close()


def test_a_mark_that_would_be_long_says_that_it_cannot_be_said() -> None:
    progress = LogProgress(0)
    many = MOST_UNDER_WAY + 1
    progress.stored(LogRecord(f"s{n}", 1, "demo", "T", 0.0, b"{}", n) for n in range(1, many + 1))
    assert progress.mark() == UNKNOWN
    progress.told("v", "s1", 1)
    progress.told("t", "s1", 1)
    assert progress.mark().startswith(f"{many:x}~2~3")
    progress.telling("v", "unheard", 5)
    assert progress.mark() == UNKNOWN
    progress.told("v", "unheard", 5)
    for n in range(2, many + 1):
        progress.forget(f"s{n}")
    assert progress.mark() == f"{many:x}"


@pytest.mark.parametrize(
    "text", ["", "x", "1v", "1a2-3", "-1", "1~", "1" * 16, "1" + "~1" * 17, "1v1-12345", "1.2", "1 "]
)
def test_what_is_no_mark_says_nothing(text: str) -> None:
    assert read_mark(text) is None
