"""The AsyncAPI 3 document of the wires."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import attrs

from townwatch.contracts.asyncapi.wires import WIRES, Messages, Wire
from townwatch.contracts.codec import schemas_of
from townwatch.contracts.events import EVENT_CLASSES

REF = "#/components/schemas/{name}"
ABOUT = (
    "The WebSocket wires of Townwatch. Names are camelCase. An optional field is left out, never null; unknown fields"
    " are ignored. The operations are the service's: it sends what you receive. REST is in /api/openapi.json."
)
Json = dict[str, Any]


def document(version: str, path: str = "") -> Json:
    """Return the whole document as JSON values."""
    classes = list(dict.fromkeys([*_classes(), *EVENT_CLASSES]))
    schemas, components = schemas_of(classes, REF)
    refs = dict(zip(classes, schemas, strict=True))
    _describe(components, classes)
    _tell_events(components, [refs[cls] for cls in EVENT_CLASSES])
    channels, operations, messages = dict[str, Json](), dict[str, Json](), dict[str, Json]()
    for wire in WIRES:
        channels[wire.name] = _channel(wire)
        for action, sent in (("send", wire.sent), ("receive", wire.received)):
            operations[f"{wire.name}.{action}"] = _operation(wire, action, sent)
            for name, kinds in sent.items():
                messages[_key(wire, action, name)] = _message(name, kinds, refs)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Townwatch",
            "version": version,
            "description": ABOUT,
            "license": {"name": "MIT"},
            "tags": [{"name": wire.name, "description": wire.title} for wire in WIRES],
        },
        "defaultContentType": "application/json",
        "servers": {
            "service": {
                "host": "localhost:8484",
                "protocol": "ws",
                **({"pathname": path} if path else {}),
                "description": "The service that this document comes from; wss behind TLS.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A person's access token or API token; on /runner a runner's token.",
                }
            },
        },
    }


def _classes() -> Iterator[type[Any]]:
    for wire in WIRES:
        for messages in (wire.sent, wire.received):
            for kinds in messages.values():
                yield from kinds


def _key(wire: Wire, action: str, name: str) -> str:
    """Return the name of a message in the components: `terminal` goes both ways, and is not the same."""
    return f"{wire.name}.{action}.{name}"


def _channel(wire: Wire) -> Json:
    refs = {
        f"{action}.{name}": {"$ref": f"#/components/messages/{_key(wire, action, name)}"}
        for action, messages in (("send", wire.sent), ("receive", wire.received))
        for name in messages
    }
    return {
        "address": wire.address,
        "title": wire.title,
        "description": wire.description,
        "messages": refs,
        "servers": [{"$ref": "#/servers/service"}],
    }


def _operation(wire: Wire, action: str, messages: Messages) -> Json:
    who = "The service sends" if action == "send" else "The service receives"
    return {
        "action": action,
        "title": f"{wire.title}: {action}",
        "summary": f"{who} one of these messages.",
        "channel": {"$ref": f"#/channels/{wire.name}"},
        "messages": [{"$ref": f"#/channels/{wire.name}/messages/{action}.{name}"} for name in messages],
    }


def _message(name: str, kinds: tuple[type[Any], ...], refs: dict[type[Any], Any]) -> Json:
    payload: Json = {"type": "null"} if not kinds else refs[kinds[0]] if len(kinds) == 1 else _any_of(kinds, refs)
    summary = _doc(kinds[0]) if kinds else "Has no payload."
    return {"name": name, "title": name, **({"summary": summary} if summary else {}), "payload": payload}


def _any_of(kinds: tuple[type[Any], ...], refs: dict[type[Any], Any]) -> Json:
    return {"anyOf": [refs[kind] for kind in kinds]}


def _describe(components: Json, classes: list[type[Any]]) -> None:
    """Take the descriptions from the docstrings; the schemas are msgspec's."""
    known = {cls.__name__: cls for cls in _reached(classes)}
    for name, schema in components.items():
        if (cls := known.get(name)) is not None and (text := _doc(cls)):
            schema["description"] = text
        for value in schema.get("properties", {}).values():
            if value.get("default", 0) is None:  # left out, never null
                del value["default"]


def _reached(classes: list[type[Any]]) -> set[type[Any]]:
    """Return the classes and those of their fields, however deep."""
    found: set[type[Any]] = set()
    waiting: list[Any] = list(classes)
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and attrs.has(kind):
            if kind not in found:
                found.add(kind)
                waiting += [field.type for field in attrs.fields(kind)]
        else:
            waiting += get_args(kind)
    return found


def _tell_events(components: Json, refs: list[Any]) -> None:
    """Say what a runner's events are: the link takes them as they come, and the journal keeps the very bytes."""
    components["Events"]["properties"]["events"]["items"] = {"oneOf": refs}


def _doc(cls: type[Any]) -> str:
    text = " ".join((cls.__doc__ or "").split())
    return "" if text.startswith("Method generated by attrs") else re.sub(r"``", "`", text)
