"""OpenAPI 3.1 document, generated from the operations and from the classes that decode and encode them."""

import json
import re
from collections.abc import Sequence
from typing import Any, get_args

import attrs

from townwatch.contracts import rest
from townwatch.contracts.codec import schemas_of
from townwatch.contracts.control import OWN_EVENTS
from townwatch.contracts.tasks import WITH_COMMAND, ProviderId
from townwatch.transports.http.operation import Operation, Who
from townwatch.transports.http.problems import JSON, MEANINGS

REF = "#/components/schemas/{name}"
PATH_PARAMETERS = {
    "villageId": "A village.",
    "sessionId": "A session.",
    "approvalId": "A request for approval, within its session.",
    "commandId": "An order of people to a session, as its answer names it.",
    "runnerId": "A runner.",
    "userId": "A person.",
    "tokenId": "An API token.",
    "alertId": "An alert, within its session.",
    "connectionId": "A live connection of a person.",
    "promptId": "A prompt that waits for its agent.",
    "webhookId": "A webhook of the village.",
    "channelId": "A channel of yours.",
    "budgetId": "Id of the budget.",
    "signInId": "A past sign-in, as the list names it.",
    "clipId": "A part of a recording that was shared.",
    "repoId": "Id of the house.",
    "deliveryId": "A message of the webhook.",
}
SECURITY: dict[Who, list[dict[str, list[str]]]] = {
    "any": [],
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
_NONE = {"type": "null"}
_SOME = {"type": "string", "minLength": 1}
_URL_OF_A_NAME = r"^https?://[A-Za-z][A-Za-z0-9-]*(\.[A-Za-z][A-Za-z0-9-]*)*(:[0-9]{1,4})?([/?#][!-\[\]-~]*)?$"
"""What else is taken, and why something is not, says `net/addresses.py`."""
_WORDS = {"type": "array", "minItems": 1, "items": _SOME}


def _when(field: str, values: list[str], **needs: Any) -> dict[str, Any]:
    return {field: {"type": "string", "enum": values}, **needs}


RULES: dict[str, dict[str, dict[str, Any]]] = {
    "RepoRef": {
        "LocalRepo": _when("provider", ["local"], path=_SOME),
        "HostedRepo": _when("provider", ["github", "gitlab", "bitbucket"], owner=_SOME, name=_SOME),
    },
    "CheckoutSpec": {
        "BranchCheckout": _when("type", ["branch"], ref=_SOME),
        "CommitCheckout": _when("type", ["commit"], sha=_SOME),
        "TagCheckout": _when("type", ["tag"], tag=_SOME),
    },
    "StartSession": {
        "StartAgentSession": _when("providerId", [one for one in get_args(ProviderId) if one not in WITH_COMMAND]),
        "StartAcpSession": _when("providerId", ["acp"], command=_WORDS, conversation=_NONE),
        "StartCommandSession": _when(
            "providerId", ["command"], command=_WORDS, model=_NONE, resumeOf=_NONE, conversation=_NONE
        ),
    },
}
"""Rules that the classes check beyond their shapes: name of each variant → the fields that are narrower, the first of
which tells the variants apart.
"""
CONDITIONS: dict[str, dict[str, Any]] = {
    "StartAgentSession": {
        "if": {"properties": {"conversation": {"type": "string"}}, "required": ["conversation"]},
        "then": {
            "properties": {
                "providerId": {"not": {"const": "omnara"}},
                "runnerId": {"type": "string"},
                "repoRef": {"$ref": REF.format(name="LocalRepo")},
                "command": {"type": ["array", "null"], "maxItems": 0},
                **dict.fromkeys(("resumeOf", "worktree", "checkout", "roomPath"), _NONE),
            },
            "required": ["runnerId"],
        },
    },
    "DecisionBody": {
        "if": {"properties": {"decision": {"const": "deny"}}},
        "then": {"properties": {"holdMs": {"const": 0}}},
        "else": {"properties": {"stop": {"const": False}}},
    },
    "NewWebhook": {"properties": {"url": {"pattern": _URL_OF_A_NAME}}},
    "NewBroadcast": {"properties": {"event": {"not": {"enum": sorted(OWN_EVENTS)}}}},
}
"""What a class or a variant says beside its fields: a conversation that began outside is on one machine, in one
directory; an allow alone is held back, a denial alone stops.
"""

ABOUT = (
    "The control room for coding agents. Names are camelCase; times are epoch milliseconds. Lists are {items, next}: "
    "pass `next` as `cursor` for the following page. Errors are {error: {code, message, details?}}. What lies in a "
    "village that you may not see is a 404."
)


def document(operations: Sequence[Operation], version: str, path: str = "") -> dict[str, Any]:
    """Return the whole document as JSON values. `path`: the prefix of the service's addresses, empty or /tw."""
    classes = _classes(operations)
    schemas, components = schemas_of(classes, REF)
    refs = dict(zip(classes, schemas, strict=True))
    queries: dict[type[Any], dict[str, Any]] = {}
    _describe(components)
    for cls in {operation.query for operation in operations if operation.query is not None}:
        queries[cls] = components.pop(refs[cls]["$ref"].rpartition("/")[2])
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs, queries)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Townwatch",
            "version": version,
            "description": ABOUT,
            "contact": {"name": "The people who run this service"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": path or "/", "description": "The service that this document comes from."}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
        "tags": [
            {"name": tag, "description": f"{tag} of the service."}
            for tag in dict.fromkeys(operation.tag for operation in operations)
        ],
    }


def _classes(operations: Sequence[Operation]) -> list[type[Any]]:
    found: dict[type[Any], None] = {rest.ErrorAnswer: None}
    for operation in operations:
        for cls in (operation.body, operation.query, operation.answer):
            if isinstance(cls, type):
                found[cls] = None
    return list(found)


def _operation(operation: Operation, refs: dict[type[Any], Any], queries: dict[type[Any], Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": SECURITY["visitor" if operation.open_when else operation.who],
        "responses": _responses(operation, refs),
    }
    made["description"] = operation.description or f"{operation.summary.rstrip('.')}."
    if parameters := [*_path(operation), *_query(operation, queries), *_headers(operation)]:
        made["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: {"schema": refs[operation.body]}}
        made["requestBody"] = {"required": not operation.body_optional, "content": content}
    return made


def _responses(operation: Operation, refs: dict[type[Any], Any]) -> dict[str, Any]:
    if isinstance(operation.answer, type):
        schema = refs[operation.answer]
        if operation.most is not None:
            schema = {"type": "array", "items": schema, "maxItems": operation.most}
        content: dict[str, Any] = {JSON: {"schema": schema}}
    else:
        content = {operation.answer: {"schema": {"type": "string"}}}
    responses: dict[str, Any] = {str(operation.status): {"description": "Success.", "content": content}}
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


def _query(operation: Operation, queries: dict[type[Any], Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = queries[operation.query]
    parameters: list[dict[str, Any]] = []
    for name, value in schema["properties"].items():
        shown = _without_null(value)
        parameters.append({"name": name, "in": "query", "required": name in schema["required"], "schema": shown})
    for field, parameter in zip(attrs.fields(operation.query), parameters, strict=True):
        if field.default not in (None, attrs.NOTHING):
            parameter["schema"] = {**parameter["schema"], "default": field.default}
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null: a query parameter is present or left out."""
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
            "description": "Requests with the same key are executed once; later ones get the first answer again.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"},
        }
    ]


def _describe(components: dict[str, Any]) -> None:
    """Take the descriptions from the docstrings of the classes; the schemas are msgspec's."""
    for name, schema in list(components.items()):
        cls = getattr(rest, name, None)
        text = " ".join((cls.__doc__ or "").split()) if isinstance(cls, type) else ""
        if text and not text.startswith("Method generated by attrs"):
            schema["description"] = re.sub(r"``", "`", text)
        for value in schema.get("properties", {}).values():
            _tell_default(value)
        for key, value in CONDITIONS.get(name, {}).items():
            _merge(schema, key, value)
        if name in RULES:
            _narrow(schema, RULES[name], components)


def _merge(schema: dict[str, Any], key: str, value: Any) -> None:
    """Add to a schema; what it says of a property stays, and more is said."""
    if key != "properties":
        schema[key] = value
        return
    for name, more in value.items():
        schema["properties"][name] |= more


def _tell_default(schema: dict[str, Any]) -> None:
    """Say a default in words: generators make a field required that has one (openapi-typescript), or send it."""
    default = schema.pop("default", None)
    if default is not None and "description" not in schema:
        schema["description"] = f"Default: {json.dumps(default)}."


def _narrow(schema: dict[str, Any], variants: dict[str, dict[str, Any]], components: dict[str, Any]) -> None:
    """Turn an object into one of several whole ones, each with a name: what generators of clients and tests
    understand best.
    """
    properties, required = schema.pop("properties"), schema.pop("required")
    schema.pop("type")
    mapping: dict[str, str] = {}
    for name, narrowed in variants.items():
        kind = next(iter(narrowed))
        for value in narrowed[kind]["enum"]:
            mapping[value] = REF.format(name=name)
        components[name] = {
            "title": name,
            "type": "object",
            "description": f"{schema['title']} whose {kind} is {', '.join(narrowed[kind]['enum'])}.",
            "properties": {**properties, **narrowed},
            "required": [
                *required,
                *(field for field in narrowed if field not in required and narrowed[field] != _NONE),
            ],
            **CONDITIONS.get(name, {}),
        }
    schema["oneOf"] = [{"$ref": REF.format(name=name)} for name in variants]
    schema["discriminator"] = {"propertyName": next(iter(next(iter(variants.values())))), "mapping": mapping}
