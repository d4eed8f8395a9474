"""The OpenAPI 3.1 document, made from the operations and the classes that decode and encode them."""

import re
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from contracts import rest
from contracts.codec import twin
from transports.http.operation import Operation, Who
from transports.http.problems import JSON, MEANINGS

REF = "#/components/schemas/{name}"
PATH_PARAMETERS = {
    "villageId": "A village.",
    "sessionId": "A session.",
    "approvalId": "A request for approval, within its session.",
    "runnerId": "A runner.",
    "userId": "A person.",
    "tokenId": "An API token.",
    "alertId": "An alert.",
    "connectionId": "A live connection of somebody.",
}
SECURITY: dict[Who, list[dict[str, list[str]]]] = {
    "anybody": [],
    "visitor": [{}, {"bearer": []}],
    "person": [{"bearer": []}],
    "runner": [{"bearer": []}, {"runner": []}],
}
SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token (of a sign-in) or an API token.",
    },
    "runner": {"type": "http", "scheme": "bearer", "description": "A runner's own token."},
}
_SOME = {"type": "string", "minLength": 1}


def _when(field: str, values: list[str], **needs: Any) -> dict[str, Any]:
    return {field: {"enum": values}, **needs}


RULES: dict[str, list[dict[str, Any]]] = {
    "RepoRef": [
        _when("provider", ["local"], path=_SOME),
        _when("provider", ["github", "gitlab", "bitbucket"], owner=_SOME, name=_SOME),
    ],
    "CheckoutSpec": [
        _when("type", ["branch"], ref=_SOME),
        _when("type", ["commit"], sha=_SOME),
        _when("type", ["tag"], tag=_SOME),
    ],
    "StartSession": [
        _when("providerId", ["codex", "claude_code", "gemini_cli", "omnara"]),
        _when("providerId", ["command"], command={"type": "array", "minItems": 1, "items": _SOME}),
    ],
}
"""What the classes' checks demand beyond their shapes: of each variant, the fields that are narrower."""

ABOUT = (
    "The control room for coding agents. Names are camelCase; times are epoch milliseconds. Lists are {items, next}: "
    "pass `next` as `cursor` for the following page. Errors are {error: {code, message, details?}}. What lies in a "
    "village that you may not see is a 404."
)


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The whole document, as JSON values."""
    classes = _classes(operations)
    structs = [twin(cls).struct for cls in classes]
    schemas, components = msgspec.json.schema_components(structs, ref_template=REF)
    refs = dict(zip(classes, schemas, strict=True))
    _describe(components)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Townwatch", "version": version, "description": ABOUT, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
    }


def _classes(operations: Sequence[Operation]) -> list[type[Any]]:
    found: dict[type[Any], None] = {rest.ErrorAnswer: None}
    for operation in operations:
        for cls in (operation.body, operation.query, operation.answer):
            if isinstance(cls, type):
                found[cls] = None
    return list(found)


def _operation(operation: Operation, refs: dict[type[Any], Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": SECURITY[operation.who],
        "responses": _responses(operation, refs),
    }
    if operation.description:
        made["description"] = operation.description
    if parameters := [*_path(operation), *_query(operation, refs, components), *_headers(operation)]:
        made["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: {"schema": refs[operation.body]}}
        made["requestBody"] = {"required": not operation.body_optional, "content": content}
    return made


def _responses(operation: Operation, refs: dict[type[Any], Any]) -> dict[str, Any]:
    if isinstance(operation.answer, type):
        content: dict[str, Any] = {JSON: {"schema": refs[operation.answer]}}
    else:
        content = {operation.answer: {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {str(operation.status): {"description": "Done.", "content": content}}
    error = {JSON: {"schema": refs[rest.ErrorAnswer]}}
    for status in operation.statuses:
        responses[str(status)] = {"description": MEANINGS[status], "content": error}
        if status == 429:
            retry = {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}
            responses["429"]["headers"] = {"Retry-After": retry}
    return responses


def _path(operation: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "path", "required": True, "description": PATH_PARAMETERS[name], "schema": schema}
        for name in operation.path_names
    ]


def _query(operation: Operation, refs: dict[type[Any], Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = components[refs[operation.query]["$ref"].rpartition("/")[2]]
    parameters: list[dict[str, Any]] = []
    for name, value in schema["properties"].items():
        shown = _without_null(value)
        parameters.append({"name": name, "in": "query", "required": name in schema["required"], "schema": shown})
    for field, parameter in zip(attrs.fields(operation.query), parameters, strict=True):
        if field.default not in (None, attrs.NOTHING):
            parameter["schema"] = {**parameter["schema"], "default": field.default}
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out or there: there is no null in a query."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    one = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {key: value for key, value in one.items() if not (key == "default" and value is None)}


def _headers(operation: Operation) -> list[dict[str, Any]]:
    if not operation.idempotent_by_key:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same request with the same key is done once; it is answered as the first time.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"},
        }
    ]


def _describe(components: dict[str, Any]) -> None:
    """Descriptions are the classes' docstrings; the schemas are msgspec's."""
    for name, schema in components.items():
        cls = getattr(rest, name, None)
        text = " ".join((cls.__doc__ or "").split()) if isinstance(cls, type) else ""
        if text and not text.startswith("Method generated by attrs"):
            schema["description"] = re.sub(r"``", "`", text)
        if name in RULES:
            _narrow(schema, RULES[name])


def _narrow(schema: dict[str, Any], variants: list[dict[str, Any]]) -> None:
    """The object as one of several whole ones: generators of clients and of tests understand that best."""
    properties, required = schema.pop("properties"), schema.pop("required")
    schema.pop("type")
    schema["oneOf"] = [
        {
            "type": "object",
            "properties": {**properties, **narrowed},
            "required": [*required, *(name for name in narrowed if name not in required)],
        }
        for narrowed in variants
    ]
