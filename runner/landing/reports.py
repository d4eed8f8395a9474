"""Records and answers of an order: begun, waiting for people, refused by them, or done with an outcome."""

from typing import Any

from townwatch.contracts.agent_events import Landed
from townwatch.contracts.landing import NOT_ALLOWED, LandAsked, LandOrder, LandReport
from townwatch.contracts.link import Command, ErrorBody, Result
from townwatch.runner.landing.act import Act
from townwatch.runner.landing.records import LandRecord
from townwatch.runner.landing.tree import LandTree
from townwatch.runner.session.lifecycle import NotPossible


def record_of(tree: LandTree, command: Command, order: LandOrder, act: Act, **fields: Any) -> LandRecord:
    """Return an order as it is begun."""
    known: dict[str, Any] = {"state": "doing", **fields}
    return LandRecord(
        command_id=command.command_id,
        session_id=tree.session_id,
        act=order.act,
        by=order.asker.name,
        directory=str(tree.directory),
        facts=act.facts,
        **known,
    )


def waits(record: LandRecord) -> LandReport:
    """Return the answer while people are asked, or while it is done that they have allowed."""
    asked = LandAsked(approval_id=record.approval_id or "", rule=record.rule, why=record.why)
    return LandReport(told=True, asked=asked)


def landed_as(record: LandRecord, *, ok: bool, **fields: Any) -> Landed:
    """Return the outcome of an order."""
    return Landed(id=record.command_id, act=record.act, ok=ok, by=record.by, **fields)


def refusal(record: LandRecord, who: str) -> Result:
    """Return the answer where people did not allow it."""
    return Result(command_id=record.command_id, ok=False, error=ErrorBody(code=NOT_ALLOWED, message=who))


class LandingNotAllowed(NotPossible):
    """People were asked, and did not allow it."""

    code = NOT_ALLOWED
