"""Rules at a session's questions: what is asked is compared with the village's rules before a person is bothered.

The rules' grammar and tables are imported with the first question, in its thread: most commands never ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import structlog

from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyRule, VillagePolicy
from townwatch.contracts.tasks import PolicySpec
from townwatch.policy.work import UNKNOWN_WORK, Work
from townwatch.runner.observers import repository
from townwatch.runner.reading import as_acting, read_file
from townwatch.runner.session.place import SessionPlace
from townwatch.runner.session.plan import SessionSpec

if TYPE_CHECKING:
    from townwatch.policy.village import LayeredRule, PolicyDecision, PolicyRequest

log = structlog.get_logger("policy")
REFUSED = "policies.json"
"""Id of the rule that stands for a village's where those cannot be read, or are not the service's."""


class LiveLinks(Mapping[str, str]):
    """Symbolic links of the file system, looked up when they are asked for."""

    def __getitem__(self, path: str) -> str:
        try:
            return os.readlink(path)
        except (OSError, ValueError):
            raise KeyError(path) from None

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1  # there may be any: they are always asked


@attrs.define
class SessionRules:
    """The rules for one session. `policy` gives the village's as they are now."""

    plan: SessionSpec
    policy: Callable[[str], VillagePolicy]
    work: Callable[[], Work] = lambda: UNKNOWN_WORK
    """What the session has done so far."""
    house: str | None = None
    """The repository as the service knows it; None until the session has looked."""
    person: str | None = None
    """The user who started it, where the plan has no order that says so."""
    _at_start: list[PolicyRule] | None = None
    """The repository's rules when the session began: they hold whatever becomes of the file."""

    def know(self, place: SessionPlace, work: Callable[[], Work]) -> None:
        """Take what the session has found where it begins. Without a repository, nothing of its changes is known; where
        its disk did not say in time which repository it is, no house is, either.
        """
        self.house = place.repo_ref.repo_path if place.repo_ref is not None and place.known else None
        seen = place.repository is not None
        self.work = work if seen else lambda: attrs.evolve(work(), lines=None, files=None)

    def look(self, asked: ApprovalRequest) -> tuple[ApprovalRequest, PolicyDecision]:
        """Return a question with what rules need to know of it, and what they say. Run it in a thread."""
        asked = self.placed(asked)
        return asked, self.decide(asked)

    def decide(self, asked: ApprovalRequest) -> PolicyDecision:
        """Return what the rules say about a question. Reads the repository's file: run it in a thread."""
        return self._decided(asked, self._rules())

    def look_at_act(self, asked: ApprovalRequest, kind: str | None) -> tuple[ApprovalRequest, PolicyDecision | None]:
        """Return what a person wants to do by hand, with what rules need to know of it, and what they say; None: no
        rule is about it. `kind`: a category that it is of as well. The session's own policy says what its agent may do
        without asking, and nothing of what people may. Run it in a thread.
        """
        from townwatch.policy.village import NO_RULE

        rules = self._rules(of_session=False)
        if not rules:
            return asked, None
        asked = self.placed(asked)
        said = [self._decided(asked, rules)]
        if kind is not None:
            of_kind = [one for one in rules if one.rule.category == kind]
            said.append(self._decided(attrs.evolve(asked, category=kind), of_kind))
        named = [one for one in said if one.rule is not None or one.terms is not None or one.reason != NO_RULE]
        order = ("deny", "ask", "allow")
        return asked, min(named, key=lambda one: order.index(one.verdict), default=None)

    def _decided(self, asked: ApprovalRequest, rules: list[LayeredRule]) -> PolicyDecision:
        from townwatch.policy.village import PolicyDecision, decide_request

        village = self.policy(self.plan.village)
        try:
            return decide_request(rules, self._request(asked), village.variables)
        except Exception as error:  # a fault of ours is a question, never an answer
            log.error("policy_failed", session=self.plan.session_id, reason=f"{type(error).__name__}: {error}")
            return PolicyDecision(verdict="ask", rule=None, reason="the rules could not be evaluated")

    def placed(self, asked: ApprovalRequest) -> ApprovalRequest:
        """Return a question with the branch that is checked out where it would be done, if a rule names branches. Reads
        files: run it in a thread.
        """
        from townwatch.policy.requests import CHECKED_OUT, directory_of

        if not isinstance(asked.context, dict | None):
            return asked
        told = cast(dict[str, Any], asked.context or {})
        known = {name: value for name, value in told.items() if name != CHECKED_OUT}
        if any(one.rule.branch is not None for one in self._rules()):
            with as_acting():
                try:
                    found = repository.find(Path(directory_of(asked) or self.plan.directory))
                    branch = repository.branch(found) if found is not None else None
                except (OSError, ValueError):
                    branch = None
            if branch is not None:
                known[CHECKED_OUT] = branch
        return asked if known == told else attrs.evolve(asked, context=known)

    def _rules(self, *, of_session: bool = True) -> list[LayeredRule]:
        """Return the rules of all layers, or of all but the session's own. Reads the repository's file."""
        from townwatch.policy.village import LayeredRule, repository_rules, session_rules

        village = self.policy(self.plan.village)
        if self._at_start is None:
            self._at_start = self._read_file()
        rules = [LayeredRule(rule=rule) for rule in village.rules]
        if not of_session:
            pass
        elif self.plan.order is not None:
            rules += session_rules(self.plan.order.policy)
        elif not village.rules:
            rules += session_rules(PolicySpec())
        rules += repository_rules([*self._at_start, *self._read_file()])
        return rules

    def refused(self) -> str | None:
        """Return why the village's rules are not trusted on this machine; None where they are."""
        found = [one for one in self.policy(self.plan.village).rules if one.id == REFUSED]
        return found[0].note if found else None

    def trouble(self) -> list[str]:
        """Return what is wrong with the repository's file, a line each. Reads it: run it in a thread."""
        from townwatch.policy import files

        try:
            text = self._text_of_file()
        except (OSError, ValueError) as error:
            return [f"{files.NAME} cannot be read, and everything asks: {error}"]
        return [] if text is None else files.trouble_of(text)

    def _read_file(self) -> list[PolicyRule]:
        from townwatch.policy import files

        try:
            text = self._text_of_file()
        except (OSError, ValueError):
            return [files.BROKEN]
        return [] if text is None else files.read_rules(text)

    def _text_of_file(self) -> str | None:
        """Return the repository's file; None where there is none. Raises OSError, ValueError where it is too long."""
        from townwatch.policy import files

        try:
            with as_acting():
                data = read_file(self.plan.directory / files.NAME, most=files.MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > files.MAX_BYTES:
            raise ValueError(f"it is longer than {files.MAX_BYTES} bytes")
        return data.decode(errors="replace")

    def _request(self, asked: ApprovalRequest) -> PolicyRequest:
        from townwatch.policy.commands.paths import Place
        from townwatch.policy.requests import directory_of, request_of

        plan = self.plan
        cwd = directory_of(asked)
        root = os.path.realpath(plan.directory)
        place = Place(
            root=root,
            directory=os.path.realpath(cwd) if cwd is not None else root,
            home=str(plan.env.get("HOME") or Path.home()),
            links=LiveLinks(),
            exists=os.path.lexists,
        )
        person = plan.order.started_by if plan.order is not None else self.person
        return request_of(
            asked,
            place,
            agent=plan.agent_id,
            provider=plan.provider,
            house=self.house,
            person=person,
            work=self.work(),
        )
