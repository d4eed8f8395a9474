"""Requests of a session's own processes by `townwatch alert` and `usage`, checked before they are told. Pure."""

import uuid
from collections.abc import Callable
from typing import Any, cast

from townwatch.contracts.codec import ContractError, encode
from townwatch.runner import prices
from townwatch.runner.session.plan import SessionSpec


def alert(request: dict[str, Any], plan: SessionSpec, clean: Callable[[Any], Any]) -> dict[str, Any]:
    """The fields of an ALERT_RAISED. Raises `ContractError` for what the service would refuse later."""
    from townwatch.contracts.decoding.runner_events import decode_event  # made for the first alert

    fields = {name: request.get(name) for name in ("severity", "category", "title", "description", "context")}
    fields = clean(fields)
    fields["alertId"] = request.get("alertId") or f"al_{uuid.uuid4().hex[:16]}"
    said = {name: value for name, value in fields.items() if value is not None}
    envelope = {"type": "ALERT_RAISED", "sessionId": plan.session_id, "orgId": plan.village, "ts": 0, "seq": 1}
    decode_event(encode({**envelope, **said}))
    return fields


def question(request: dict[str, Any]) -> dict[str, Any]:
    """The fields of a question, without what only the runner itself may ask for: more of a budget."""
    context = request.get("context")
    if not isinstance(context, dict) or "budget" not in context:
        return request
    kept = {name: value for name, value in cast(dict[str, Any], context).items() if name != "budget"}
    return {**request, "context": kept}


def tokens(request: dict[str, Any]) -> tuple[int, int, float | None, str | None]:
    """(tokens read, tokens written, US dollars: None where that is not known, the day of the price where it is from the
    table). Raises `ContractError`.
    """
    found = [request.get(name) or 0 for name in ("inputTokens", "outputTokens", "costUsd")]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and n >= 0 for n in found):
        raise ContractError("inputTokens", "inputTokens, outputTokens and costUsd must be numbers, 0 or more")
    model = request.get("model")
    if model is not None and not isinstance(model, str):
        raise ContractError("model", "must be a model's name")
    if request.get("costUsd") is not None:
        return int(found[0]), int(found[1]), float(found[2]), None
    return int(found[0]), int(found[1]), *prices.listed(model, int(found[0]), int(found[1]))
