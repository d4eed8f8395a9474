"""`townwatch mcp`: the main job for programs that speak the Model Context Protocol."""

from townwatch.cli.remote.client import ServiceClient, Where
from townwatch.cli.remote.sessions import perform


def mcp(*, where: Where | None = None) -> int:
    """Speak the Model Context Protocol on standard input and output: list, read, start, prompt, stop, wait.

    Approvals are offered only with `--token` (or TOWNWATCH_TOKEN) of an API token that was made with the scope decide.
    """

    async def work(client: ServiceClient, _chosen: Where) -> None:
        from townwatch.cli.remote.bridge import Bridge

        await Bridge(client).run()

    return perform(where, work)
