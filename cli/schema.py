"""`townwatch schema`: what is on the wires, for programs; the same as a service serves below /api."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from townwatch.cli.shared import complain

FLAG = Parameter(negative=())


def schema(
    *,
    typescript: Annotated[bool, FLAG] = False,
    asyncapi: Annotated[bool, FLAG] = False,
    openapi: Annotated[bool, FLAG] = False,
) -> int:
    """Print the JSON Schema of every message on the wires.

    Parameters
    ----------
    typescript
        TypeScript declarations instead
    asyncapi
        the AsyncAPI 3 document of the WebSocket wires instead
    openapi
        the OpenAPI 3.1 document of REST instead
    """
    from townwatch import __version__
    from townwatch.transports.http.app import descriptions

    given = {"/api/types.d.ts": typescript, "/api/asyncapi.json": asyncapi, "/api/openapi.json": openapi}
    wanted = [path for path, chosen in given.items() if chosen] or ["/api/schemas.json"]
    if len(wanted) > 1:
        return complain("one of --typescript, --asyncapi and --openapi")
    content, _ = descriptions(__version__)[wanted[0]]
    sys.stdout.write(content.decode().rstrip("\n") + "\n")
    return 0
