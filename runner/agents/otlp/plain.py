"""Telemetry of a command that has no adapter beside it: an agent's CLI with `-p` or `exec`, a program of one's own.

What it sends by OTLP to the address in `TOWNWATCH_OTLP` is counted as the session's usage. The address has the token in
it: most exporters are given an address alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from townwatch.runner.agents.adapter import HttpAnswer, HttpRequest
from townwatch.runner.agents.claude import telemetry
from townwatch.runner.agents.otlp import logs
from townwatch.runner.prices import listed

if TYPE_CHECKING:
    from townwatch.runner.agents.http import AgentHttp
    from townwatch.runner.session.plan import SessionSpec
    from townwatch.runner.session.session import Session

OTLP = "TOWNWATCH_OTLP"


def environment(plan: SessionSpec, http: AgentHttp, token: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return what tells the session's programs where their telemetry goes. Claude Code is told in its own words, unless
    its user's goes elsewhere; another program sends there what it was told to.
    """
    base = http.base_url(plan.session_id)
    found = {OTLP: f"{base}/as/{token}"}
    if plan.command[0].rpartition("/")[2] == "claude":
        found |= telemetry.environment(base, token, {**env, **plan.env})
    return found


def count(session: Session, http: AgentHttp, token: str) -> None:
    """Count the session's telemetry from now on."""
    usage = logs.UsageOfLogs()

    async def take(request: HttpRequest) -> HttpAnswer:
        if request.path not in logs.PATHS:
            return HttpAnswer(status=404)
        try:
            found = await logs.read(request.content_type, request.body) if request.path == logs.LOGS else []
        except logs.NotOtlp:
            return HttpAnswer(status=400)
        for used in usage.of(found):
            cost, as_of = used.cost_usd, None
            if cost is None:
                cost, as_of = listed(used.model, used.input_tokens, used.output_tokens, used.cache_read_tokens)
            session.usage.tokens(used.input_tokens, used.output_tokens, cost, as_of)
            if session.budget.shares.concerned:
                await session.say_usage()
        return HttpAnswer()

    http.serve(session.plan.session_id, token, take)
