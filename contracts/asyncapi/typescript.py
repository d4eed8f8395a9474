"""The JSON Schema of the wires as TypeScript declarations, for programs that speak them with a type checker."""

import json
import re
from typing import Any, cast

from townwatch.contracts.asyncapi.schemas import TO, Json

HEAD = """\
// Types of everything on Townwatch's wires, made from the classes that its codec uses. Version {version}.
// REST: fetch as you like, or generate a client from /api/openapi.json. Socket.IO, with the official client:
//   const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io(url, {{ auth: {{ token }} }});
// Fields of a later version may be there, too: ignore what you do not know.
"""
TAIL = """\
/** What a client's event is acknowledged with; `E_…` codes are for programs, the message is for people. */
export type Acknowledgement = { ok: true; [more: string]: unknown } | { ok: false; error: RefusalError };
"""
IDENTIFIER = re.compile(r"^[A-Za-z_$][A-Za-z0-9_$]*$")
PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}
FROM_SERVICE, FROM_VIEWER = "ServiceToViewerEvents", "ViewerToServiceEvents"


def declarations(version: str, schema: Json) -> str:
    """Return the text of a .d.ts file for what `schemas.bundle` returns."""
    definitions = cast(Json, schema["$defs"])
    parts = [HEAD.format(version=version)]
    for name, one in definitions.items():
        if name not in (FROM_SERVICE, FROM_VIEWER):
            parts.append(_declaration(name, one))
    parts.append(_events("ServerToClientEvents", definitions[FROM_SERVICE]["properties"], acknowledged=False))
    parts.append(_events("ClientToServerEvents", definitions[FROM_VIEWER]["properties"], acknowledged=True))
    parts.append(TAIL)
    return "\n".join(parts)


def _declaration(name: str, schema: Json) -> str:
    text = _comment(schema.get("description"), "")
    if schema.get("type") == "object" and "properties" in schema:
        return f"{text}export interface {name} {_object(schema, '')}\n"
    return f"{text}export type {name} = {_type(schema, '')};\n"


def _events(name: str, payloads: Json, *, acknowledged: bool) -> str:
    lines: list[str] = []
    for event, payload in payloads.items():
        given = [] if payload == {"type": "null"} else [f"payload: {_type(payload, '  ')}"]
        if acknowledged:
            given.append("acknowledge?: (answer: Acknowledgement) => void")
        elif not given:
            given.append("acknowledge: () => void")
        lines.append(f"  {_key(event)}: ({', '.join(given)}) => void;")
    return "\n".join([f"export interface {name} {{", *lines, "}\n"])


def _object(schema: Json, indent: str) -> str:
    inner, required = indent + "  ", schema.get("required", [])
    lines: list[str] = []
    for name, value in cast(Json, schema.get("properties", {})).items():
        optional = name not in required
        kind = _type(_without_null(value) if optional else value, inner)
        lines.append(_comment(value.get("description"), inner) + f"{inner}{_key(name)}{'?' * optional}: {kind};")
    return "\n".join(["{", *lines, f"{indent}}}"])


def _without_null(schema: Json) -> Json:
    """Take null out of an optional field's type: it is left out, never null."""
    kinds = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    return {**schema, "anyOf": kinds} if kinds else schema


def _type(schema: Json, indent: str) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(TO)
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return " | ".join(dict.fromkeys(_type(one, indent) for one in schema[union])) or "never"
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"Array<{_type(schema.get('items', {}), indent)}>"
    if kind == "object":
        if schema.get("properties"):
            return _object(schema, indent)
        more = schema.get("additionalProperties")
        return f"Record<string, {_type(cast(Json, more), indent) if isinstance(more, dict) else 'unknown'}>"
    return PLAIN.get(str(kind), "unknown")


def _key(name: str) -> str:
    return name if IDENTIFIER.match(name) else json.dumps(name)


def _comment(text: Any, indent: str) -> str:
    if not text:
        return ""
    plain = " ".join(str(text).split()).replace("*/", "*∕")
    return f"{indent}/** {plain} */\n"
