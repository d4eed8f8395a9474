"""What the log must do, said in the simplest way: a set of numbers per session."""

import attrs

from townwatch.store.log.intake import MAX_HOLES


@attrs.define
class ModelSession:
    """`known`: seqs stored or given up; `stored`: those that can be read."""

    village: str
    known: set[int] = attrs.field(factory=set)
    stored: dict[int, bytes] = attrs.field(factory=dict)

    @property
    def max_seq(self) -> int:
        return max(self.known, default=0)

    @property
    def last_seq(self) -> int:
        seq = 0
        while seq + 1 in self.known:
            seq += 1
        return seq

    def holes(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for seq in range(1, self.max_seq):
            if seq not in self.known:
                if found and found[-1][1] == seq - 1:
                    found[-1] = (found[-1][0], seq)
                else:
                    found.append((seq, seq))
        return found

    def offer(self, seq: int, body: bytes) -> str:
        if seq in self.known:
            return "repeat"
        self.known.add(seq)
        if len(self.holes()) > MAX_HOLES:
            self.known.remove(seq)
            return "too_many_holes"
        self.stored[seq] = body
        return "stored"

    def lose(self, low: int, high: int) -> None:
        self.known.update(range(low, high + 1))
