"""The REST application: the operations of all nouns in one table, their OpenAPI document, and the page."""

from pathlib import Path

import trio

from townwatch.contracts.asyncapi import document as asyncapi
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
    connections,
    diffs,
    members,
    orders,
    people,
    policies,
    prompts,
    rules,
    runners,
    search,
    sessions,
    starts,
    system,
    villages,
    webhooks,
    worktrees,
)
from townwatch.transports.http.static import Page

PREFIXES = ("/api", "/healthz", "/readyz", "/metrics")
"""Paths that belong to this application."""

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for noun in (
        *(auth, connections, people, villages, members, policies, rules, webhooks, audit),
        *(starts, sessions, orders, worktrees, prompts, diffs, approvals, alerts, runners, search, system),
    )
    for operation in noun.routes.operations
)
"""Everything the API can do: routes, validation, rights, errors and the OpenAPI document are made from these."""


def create_app(api: Api) -> Router:
    """Build the router for all operations, the OpenAPI and AsyncAPI documents and the page."""
    described = {
        "/api/openapi.json": RestResponse(200, encode(document(OPERATIONS, api.version))),
        "/api/asyncapi.json": RestResponse(200, encode(asyncapi.document(api.version))),
    }
    return Router(api, OPERATIONS, {**described, **docs_page.answers()})


async def mount(edge: Edge, api: Api, page: Path) -> None:
    """Serve REST, OpenAPI, health and metrics at their paths, and the files below `page` everywhere else."""
    app = create_app(api)
    for prefix in PREFIXES:
        edge.http(prefix, app)
    edge.http(MCP_PATH, McpEndpoint(api, app))
    edge.http("/", await trio.to_thread.run_sync(Page, page))
