"""Rules at a session's questions: what is asked is compared with the village's rules before a person is bothered."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import structlog

from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyRule, VillagePolicy
from townwatch.contracts.tasks import PolicySpec
from townwatch.policy import files
from townwatch.policy.commands.paths import Place
from townwatch.policy.requests import directory_of, request_of
from townwatch.policy.village import (
    UNKNOWN_WORK,
    LayeredRule,
    PolicyDecision,
    PolicyRequest,
    Work,
    decide_request,
    repository_rules,
    session_rules,
)
from townwatch.runner.reading import as_acting, read_file
from townwatch.runner.session.place import SessionPlace
from townwatch.runner.session.plan import SessionSpec

log = structlog.get_logger("policy")


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
    _at_start: list[PolicyRule] | None = None
    """The repository's rules when the session began: they hold whatever becomes of the file."""

    def know(self, place: SessionPlace, work: Callable[[], Work]) -> None:
        """Take what the session has found where it begins. Without a repository, nothing of its changes is known."""
        self.house = place.repo_ref.repo_path if place.repo_ref is not None else None
        seen = place.repository is not None
        self.work = work if seen else lambda: attrs.evolve(work(), lines=None, files=None)

    def decide(self, asked: ApprovalRequest) -> PolicyDecision:
        """Return what the rules say about a question. Reads the repository's file: run it in a thread."""
        village = self.policy(self.plan.village)
        if self._at_start is None:
            self._at_start = self._read_file()
        rules = [LayeredRule(rule=rule) for rule in village.rules]
        if self.plan.order is not None:
            rules += session_rules(self.plan.order.policy)
        elif not village.rules:
            rules += session_rules(PolicySpec())
        rules += repository_rules([*self._at_start, *self._read_file()])
        try:
            return decide_request(rules, self._request(asked), village.variables)
        except Exception as error:  # a fault of ours is a question, never an answer
            log.error("policy_failed", session=self.plan.session_id, reason=f"{type(error).__name__}: {error}")
            return PolicyDecision(verdict="ask", rule=None, reason="the rules could not be evaluated")

    def _read_file(self) -> list[PolicyRule]:
        try:
            with as_acting():
                data = read_file(self.plan.directory / files.NAME, most=files.MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            return [files.BROKEN]
        if len(data) > files.MAX_BYTES:
            return [files.BROKEN]
        return files.read_rules(data.decode(errors="replace"))

    def _request(self, asked: ApprovalRequest) -> PolicyRequest:
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
        person = plan.order.started_by if plan.order is not None else None
        return request_of(
            asked,
            place,
            agent=plan.agent_id,
            provider=plan.provider,
            house=self.house,
            person=person,
            work=self.work(),
        )
