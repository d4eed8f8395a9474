"""Report of a kit: a verdict for each of its checks, as text and as JSON."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

Verdict = Literal["pass", "fail", "not seen"]
PASSED, FAILED, UNJUDGED = 0, 1, 2


@attrs.frozen(kw_only=True)
class WireRule:
    """One rule of a wire. `where`: the part of the documents that says so. `optional`: a program may do without it, or
    the kit needs more to see it; else a run that has not seen it has judged nothing.
    """

    id: str
    rule: str
    where: str
    optional: bool = False


def rules_of(doc: str, part: str, *rules: tuple[str, str], optional: bool = False) -> dict[str, WireRule]:
    """Return rules by their id, explained in one part of a document. `rules`: (id, rule)."""
    where = f"{doc}#{part}"
    return {name: WireRule(id=name, rule=rule, where=where, optional=optional) for name, rule in rules}


@attrs.define(eq=False)
class KitReport:
    """The verdicts so far. A failure stays: what goes right later does not undo it."""

    rules: Mapping[str, WireRule]
    told: Callable[[str], None] = lambda _line: None
    """Called with a line for a person whenever a verdict is new."""
    passed: dict[str, None] = attrs.field(factory=dict[str, None])
    failed: dict[str, str] = attrs.field(factory=dict[str, str])
    unseen: dict[str, str] = attrs.field(factory=dict[str, str])

    def keep(self, name: str) -> None:
        """The promise was kept, as far as was seen."""
        self.rules[name]
        if name not in self.passed and name not in self.failed:
            self.told(f"pass      {name}")
        self.passed[name] = None

    def broke(self, name: str, what: str) -> None:
        """The promise was broken; `what` says what was seen. The first time counts."""
        self.rules[name]
        if name not in self.failed:
            self.failed[name] = what
            self.told(f"FAIL      {name}: {what}")

    def judge(self, name: str, kept: bool, what: str) -> bool:
        """Note the one or the other, and return which."""
        if kept:
            self.keep(name)
        else:
            self.broke(name, what)
        return kept

    def not_seen(self, name: str, why: str) -> None:
        """Say why a promise could not be looked at."""
        self.rules[name]
        self.unseen.setdefault(name, why)

    def verdict(self, name: str) -> Verdict:
        """Return the verdict on a promise."""
        return "fail" if name in self.failed else "pass" if name in self.passed else "not seen"

    @property
    def status(self) -> int:
        """The exit status: 1 if a promise was broken, else 2 if one that every program makes was not seen, else 0."""
        if self.failed:
            return FAILED
        missing = [name for name, one in self.rules.items() if not one.optional and name not in self.passed]
        return UNJUDGED if missing else PASSED

    def _why(self, name: str) -> str:
        return self.failed.get(name) or (self.unseen.get(name, "") if name not in self.passed else "")

    def as_json(self) -> dict[str, Any]:
        """Return the whole as JSON values."""
        checks = [
            {
                "id": one.id,
                "verdict": self.verdict(one.id),
                "rule": one.rule,
                "where": one.where,
                "optional": one.optional,
                **({"what": why} if (why := self._why(one.id)) else {}),
            }
            for one in self.rules.values()
        ]
        return {"status": self.status, "counts": self._counts(), "checks": checks}

    def _counts(self) -> dict[str, int]:
        verdicts = [self.verdict(name) for name in self.rules]
        return {"pass": verdicts.count("pass"), "fail": verdicts.count("fail"), "notSeen": verdicts.count("not seen")}

    def as_text(self) -> str:
        """Return the whole for a person: what is wrong and what was not seen with its rule, then the figures."""
        lines: list[str] = []
        for verdict in ("fail", "not seen"):
            for name, one in self.rules.items():
                if self.verdict(name) == verdict:
                    why = self._why(name)
                    optional = ", optional" if one.optional and verdict == "not seen" else ""
                    lines += [f"{verdict}{optional}: {name}" + (f": {why}" if why else "")]
                    lines += [f"    {one.rule}", f"    {one.where}"]
        counts = self._counts()
        ending = {
            PASSED: "conforms, as far as was seen",
            FAILED: "does not conform",
            UNJUDGED: "not judged: what every program promises was not all seen",
        }
        figures = f"{counts['pass']} pass, {counts['fail']} fail, {counts['notSeen']} not seen"
        return "\n".join([*lines, f"{figures}: {ending[self.status]}"])
