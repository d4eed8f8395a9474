"""What a session's own processes ask of it by `townwatch alert` and `usage`, checked before it is told. Pure."""

import uuid
from collections.abc import Callable
from typing import Any

from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.runner.session.plan import SessionSpec


def alert(request: dict[str, Any], plan: SessionSpec, clean: Callable[[Any], Any]) -> dict[str, Any]:
    """The fields of an ALERT_RAISED. Raises `ContractError` for what the service would refuse later."""
    fields = {name: request.get(name) for name in ("severity", "category", "title", "description", "context")}
    fields = clean(fields)
    fields["alertId"] = request.get("alertId") or f"al_{uuid.uuid4().hex[:16]}"
    said = {name: value for name, value in fields.items() if value is not None}
    envelope = {"type": "ALERT_RAISED", "sessionId": plan.session_id, "orgId": plan.village, "ts": 0, "seq": 1}
    decode_event(encode({**envelope, **said}))
    return fields


def tokens(request: dict[str, Any]) -> tuple[int, int, float | None]:
    """(tokens read, tokens written, US dollars: None where that is not known). Raises `ContractError`."""
    found = [request.get(name) or 0 for name in ("inputTokens", "outputTokens", "costUsd")]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and n >= 0 for n in found):
        raise ContractError("inputTokens", "inputTokens, outputTokens and costUsd must be numbers, 0 or more")
    cost = None if request.get("costUsd") is None else float(found[2])
    return int(found[0]), int(found[1]), cost
