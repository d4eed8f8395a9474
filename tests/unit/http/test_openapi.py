"""The document says all that the routes do."""

import json
import re

import pytest

from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.tasks import StartSession
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.openapi import document
from townwatch.transports.http.problems import CODES, MEANINGS

DOCUMENT = document(OPERATIONS, "1.2.3")
CONTRACT = """
POST /api/runner/sessions
GET /api/runner/sessions
GET /api/runner/sessions/{}
POST /api/runner/sessions/{}/input
POST /api/runner/sessions/{}/stop
POST /api/runner/sessions/{}/approvals/{}
POST /api/runner/sessions/{}/pause
POST /api/runner/sessions/{}/resume
POST /api/runner/sessions/{}/resize
GET /api/runner/sessions/{}/events
GET /api/runner/sessions/{}/recording.cast
GET /api/approvals
POST /api/runners/register
POST /api/runners/{}/heartbeat
GET /api/runners
GET /api/runners/{}
DELETE /api/runners/{}
POST /api/runners/{}/drain
GET /api/villages
GET /api/villages/{}
GET /api/villages/{}/houses
GET /api/villages/{}/agents
GET /api/villages/{}/members
GET /api/supervision
GET /healthz
GET /readyz
GET /metrics
""".split("\n")[1:-1]


def test_every_route_of_the_contract_is_there():
    found = {f"{operation.method} {re.sub(r'{[^}]*}', '{}', operation.path)}" for operation in OPERATIONS}
    assert set(CONTRACT) <= found


def test_every_operation_is_in_the_document_once_with_a_name_of_its_own():
    names = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert sorted(names) == sorted(operation.name for operation in OPERATIONS)
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere():
    def references(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    found = set(references(DOCUMENT))
    assert found
    assert found <= known


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_says_its_errors_who_may_and_what_it_is(operation):
    told = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert told["summary"]
    assert set(told["responses"]) == {str(operation.status), *map(str, operation.statuses)}
    assert {"500", "503"} <= set(told["responses"])
    anonymous = not told["security"] or {} in told["security"]
    assert anonymous == (operation.who in ("any", "visitor") or operation.open_when is not None)
    assert [p["name"] for p in told.get("parameters", []) if p["in"] == "path"] == list(operation.path_names)


def test_every_status_has_a_code_and_a_meaning():
    used = {status for operation in OPERATIONS for status in operation.statuses}
    assert used <= set(CODES)
    assert used <= set(MEANINGS)


def test_who_writes_without_signing_in_can_only_sign_in_join_or_use_a_link():
    open_doors = {
        operation.path for operation in OPERATIONS if operation.writes and operation.who in ("any", "visitor")
    }
    links = {"/api/links/look", "/api/links/decide", "/api/links/take-back", "/api/clips/look"}
    assert open_doors == {"/api/auth/exchange", "/api/auth/password", "/api/runners/join"} | links


BODY = {"providerId": "codex", "repoRef": {"provider": "local", "path": "/x"}, "task": {"title": "t", "goal": "g"}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"repoRef": {"provider": "local"}}, "repoRef.path"),
        ({"repoRef": {"provider": "github", "owner": "o"}}, "repoRef.name"),
        ({"repoRef": {"provider": "github", "owner": "o", "name": "n"}}, None),
        ({"checkout": {"type": "branch"}}, "checkout.ref"),
        ({"checkout": {"type": "tag", "tag": "v1"}}, None),
        ({"providerId": "command"}, "command"),
        ({"providerId": "command", "command": ["ls"]}, None),
        ({"providerId": "command", "command": ["ls"], "model": "m"}, "model"),
        ({"providerId": "command", "command": ["ls"], "resumeOf": "s1"}, "resumeOf"),
        ({"model": "gpt-5.5", "resumeOf": "s1", "worktree": {"branch": "b", "base": "main"}}, None),
        ({"model": "-m"}, "model"),
        ({"worktree": {"base": "main"}}, "worktree.branch"),
        ({"providerId": "opencode"}, None),
        ({"providerId": "acp"}, "command"),
        ({"providerId": "acp", "command": ["agent"]}, None),
    ],
)
def test_the_rules_of_the_document_are_those_of_the_decoder(change, field):
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    schema = {"$ref": "#/components/schemas/StartSession", "components": DOCUMENT["components"]}
    body = {**BODY, **change}
    try:
        decoded = Decoder(StartSession).convert(body)
        decoded.check()
        found = None
    except ContractError as error:
        found = error.field
    assert found == field
    assert jsonschema_rs.is_valid(schema, body) == (field is None)


def test_variants_have_names_and_say_which_they_are():
    """Generators make one class of each; inline ones they name by number, and some not at all."""
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("StartSession", "RepoRef", "CheckoutSpec"):
        references = [one["$ref"].rpartition("/")[2] for one in schemas[name]["oneOf"]]
        told = schemas[name]["discriminator"]
        reached = {ref.rpartition("/")[2] for ref in told["mapping"].values()}
        assert reached == set(references)
        for value, ref in told["mapping"].items():
            variant = schemas[ref.rpartition("/")[2]]
            assert value in variant["properties"][told["propertyName"]]["enum"]
            assert told["propertyName"] in variant["required"]


def test_what_may_be_left_out_of_a_body_has_no_default_in_its_schema():
    """openapi-typescript makes a field required that has one."""
    for schema in DOCUMENT["components"]["schemas"].values():
        assert not [name for name, value in schema.get("properties", {}).items() if "default" in value]


def test_linters_find_what_they_ask_for():
    assert DOCUMENT["servers"] and DOCUMENT["info"]["contact"]
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    assert all(one["description"] for methods in DOCUMENT["paths"].values() for one in methods.values())
    used = json.dumps(DOCUMENT)
    unused = [name for name in DOCUMENT["components"]["schemas"] if f'schemas/{name}"' not in used]
    assert unused == []
