"""The REST application: the operations of all nouns in one table, their OpenAPI document, and the page."""

from functools import cache
from pathlib import Path

import trio

from townwatch.contracts.asyncapi import document as asyncapi
from townwatch.contracts.asyncapi.schemas import bundle
from townwatch.contracts.asyncapi.typescript import declarations
from townwatch.contracts.codec import encode
from townwatch.transports.edge.server import Edge
from townwatch.transports.http import docs_page
from townwatch.transports.http.deps import Api
from townwatch.transports.http.mcp.endpoint import PATH as MCP_PATH, McpEndpoint
from townwatch.transports.http.openapi import document
from townwatch.transports.http.operation import Operation
from townwatch.transports.http.problems import RestResponse
from townwatch.transports.http.router import Router
from townwatch.transports.http.routes import (
    alerts,
    approvals,
    audit,
    auth,
    bridges,
    budgets,
    connections,
    diffs,
    members,
    orders,
    people,
    policies,
    prompts,
    rules,
    runners,
    sessions,
    sign_ins,
    starts,
    system,
    villages,
)
from townwatch.transports.http.routes.calls import channels, links, webhooks
from townwatch.transports.http.routes.landing import git, worktrees
from townwatch.transports.http.routes.reading import clips, conversations, counts, search
from townwatch.transports.http.static import page_of

PREFIXES = ("/api", "/healthz", "/readyz", "/metrics")
"""Paths that belong to this application."""

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for noun in (
        *(auth, sign_ins, connections, people, villages, members, policies, rules, budgets, webhooks, channels, audit),
        *(starts, sessions, counts, orders, git, worktrees, prompts, diffs, approvals, links, clips, alerts),
        *(runners, conversations, bridges, search, system),
    )
    for operation in noun.routes.operations
)
"""Everything the API can do: routes, validation, rights, errors and the OpenAPI document are made from these."""


TYPES = "application/typescript; charset=utf-8"


@cache
def descriptions(version: str, path: str = "") -> dict[str, tuple[bytes, str]]:
    """Return what describes the API to programs, by its path: the content and its media type.

    `path`: the prefix of the service's addresses in a browser, empty or /tw. Made once in a process: that takes a third
    of a second, which a standby spends before it leads.
    """
    openapi = document(OPERATIONS, version, path)
    wires = asyncapi.document(version, path)
    schemas = bundle(wires, openapi["components"]["schemas"])
    return {
        "/api/openapi.json": (encode(openapi), "application/json"),
        "/api/asyncapi.json": (encode(wires), "application/json"),
        "/api/schemas.json": (encode(schemas), "application/json"),
        "/api/types.d.ts": (declarations(version, schemas).encode(), TYPES),
    }


def create_app(api: Api) -> Router:
    """Build the router for all operations, the documents that describe them and the page."""
    described = {path: RestResponse(200, *one) for path, one in descriptions(api.version, api.path).items()}
    return Router(api, OPERATIONS, {**described, **docs_page.answers()})


async def mount(edge: Edge, api: Api, page: Path) -> None:
    """Serve REST, OpenAPI, health and metrics at their paths, and the files below `page` everywhere else."""
    await trio.to_thread.run_sync(descriptions, api.version, api.path)  # on the loop it would hold up a lease's renewal
    app = create_app(api)
    for prefix in PREFIXES:
        edge.http(prefix, app)
    edge.http(MCP_PATH, McpEndpoint(api, app))
    edge.http("/", await trio.to_thread.run_sync(page_of, page))
