"""Questions of agents in the terms of the rules: read the same way on the runner and in the service. Pure."""

import shlex
from typing import Any, cast

from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import AnswerTerms
from townwatch.policy.commands.branches import leaves_branch
from townwatch.policy.commands.paths import Place
from townwatch.policy.urls import hosts_in_text, hosts_of_address
from townwatch.policy.village import UNKNOWN_WORK, PolicyRequest, Work

_terms = Decoder(AnswerTerms).convert
CHECKED_OUT = "checkedOut"
"""Field of a question's context: the branch that is checked out where it would be done. Runners write it, where a rule
names a branch; what an agent writes there is taken out.
"""
_PATHS = ("file_path", "path", "notebook_path", "filePath", "abs_path", "target_file")


def request_of(
    asked: ApprovalRequest,
    place: Place,
    *,
    agent: str | None = None,
    provider: str | None = None,
    house: str | None = None,
    person: str | None = None,
    work: Work = UNKNOWN_WORK,
) -> PolicyRequest:
    """Return what is asked for. `place`: where it would be done; what is left out is not known. `person`: who started
    the session.
    """
    context = _mapping(asked.context)
    given = _mapping(context.get("input"))
    command, branch = _command(asked, given), context.get(CHECKED_OUT)
    known = isinstance(branch, str) and bool(branch) and (command is None or leaves_branch(command))
    return PolicyRequest(
        category=asked.category,
        place=place,
        command=command,
        tool=str(context["tool"]) if context.get("tool") else None,
        paths=tuple(str(given[name]) for name in _PATHS if isinstance(given.get(name), str)),
        hosts=tuple(_hosts(asked, given)),
        agent=agent,
        provider=provider,
        house=house,
        branch=branch if known else None,
        person=person,
        work=work,
        risk=asked.risk,
        at=asked.requested_at / 1000,
    )


def directory_of(asked: ApprovalRequest) -> str | None:
    """Return the directory in which it would be done, where the question names one."""
    cwd = _mapping(asked.context).get("cwd")
    return cwd if isinstance(cwd, str) and cwd else None


def _mapping(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _command(asked: ApprovalRequest, given: dict[str, Any]) -> str | None:
    if asked.category != "shell":
        return None
    command = given.get("command")
    if isinstance(command, str):
        return command
    if isinstance(command, list) and all(isinstance(one, str) for one in cast(list[Any], command)):
        return shlex.join(cast(list[str], command))
    return asked.summary


def _hosts(asked: ApprovalRequest, given: dict[str, Any]) -> list[str]:
    if asked.category != "network":
        return []
    found: list[str] = []
    for text in (given.get("url"), given.get("host")):
        if isinstance(text, str):
            found += hosts_of_address(text)
    return found if given else hosts_in_text(asked.summary)


def terms_in(asked: ApprovalRequest) -> AnswerTerms:
    """Return what the runner's rules say about who may answer: of a repository's file only the runner knows."""
    told = _mapping(_mapping(asked.context).get("rule")).get("answer")
    if told is None:
        return AnswerTerms()
    try:
        return _terms(told)
    except ContractError:
        return AnswerTerms(people=2, role="owner", human=True, not_starter=True)  # of a later version: all of it
