"""One JSON Schema of everything on the wires: each class by its name, and each direction of a wire as a whole."""

from collections.abc import Mapping
from typing import Any, cast

from townwatch.contracts.asyncapi.wires import CONTROL, RUNNER, SOCKETIO, Wire
from townwatch.contracts.events import EVENT_CLASSES

Json = dict[str, Any]
FROM, TO = "#/components/schemas/", "#/$defs/"
ID = "/api/schemas.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
WHOLES: tuple[tuple[str, Wire, str], ...] = (
    ("ServiceToRunnerFrame", RUNNER, "send"),
    ("RunnerToServiceFrame", RUNNER, "receive"),
    ("ServiceToControlFrame", CONTROL, "send"),
    ("ControlToServiceFrame", CONTROL, "receive"),
)
"""Name of a whole → every frame that goes one way. `send`: by the service."""


def bundle(described: Json, rest: Mapping[str, Any]) -> Json:
    """Return the schema. `described`: the AsyncAPI document. `rest`: the components of the OpenAPI document; where both
    have a class, theirs says more.
    """
    found: Json = {**described["components"]["schemas"], **rest}
    messages = described["components"]["messages"]
    for name, wire, action in WHOLES:
        parts = wire.sent if action == "send" else wire.received
        found[name] = {"oneOf": [messages[f"{wire.name}.{action}.{part}"]["payload"] for part in parts]}
    for name, action, parts in (
        ("ServiceToViewerEvents", "send", SOCKETIO.sent),
        ("ViewerToServiceEvents", "receive", SOCKETIO.received),
    ):
        events = {part: messages[f"{SOCKETIO.name}.{action}.{part}"]["payload"] for part in parts}
        found[name] = {"description": "Socket.IO event → its payload.", "type": "object", "properties": events}
    found["RunnerEvent"] = {"oneOf": [{"$ref": f"{FROM}{cls.__name__}"} for cls in EVENT_CLASSES]}
    return {
        "$schema": DIALECT,
        "$id": ID,
        "title": "Townwatch",
        "description": f"Version {described['info']['version']}. {described['info']['description']}",
        "$defs": moved(dict(sorted(found.items()))),
    }


def moved(value: Any) -> Any:
    """Return a schema with its references to where the definitions of a JSON Schema are."""
    if isinstance(value, dict):
        return {key: moved(inner) for key, inner in cast(Json, value).items()}
    if isinstance(value, list):
        return [moved(inner) for inner in cast("list[Any]", value)]
    return TO + value.removeprefix(FROM) if isinstance(value, str) and value.startswith(FROM) else value
