"""Everything of this room on an edge, in one call."""

from pathlib import Path

import trio

from transports.edge import Edge
from transports.http.app import PREFIXES, create_app
from transports.http.bridge import AsgiBridge
from transports.http.deps import Api
from transports.http.static import Page


async def mount(edge: Edge, api: Api, page: Path) -> AsgiBridge:
    """REST, OpenAPI, health and metrics at their paths, and the files below `page` everywhere else.

    Run ``bridge.lifespan`` of what is returned as a task, for applications that want to be told of start and end.
    """
    bridge = AsgiBridge(create_app(api))
    for prefix in PREFIXES:
        edge.http(prefix, bridge)
    edge.http("/", await trio.to_thread.run_sync(Page, page))
    return bridge
