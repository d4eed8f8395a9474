"""`townwatch acp`: the main job for an editor that speaks the Agent Client Protocol."""

from typing import Annotated, Literal

from cyclopts import Parameter

from townwatch.cli.base import complain, unknown_option
from townwatch.cli.remote.client import ServiceClient, Where, tls_of
from townwatch.cli.remote.sessions import perform

Agents = Literal["claude_code", "codex", "gemini_cli", "opencode", "qwen_code", "copilot", "acp"]


def acp(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    agent: Agents = "claude_code",
    village: str = "demo",
    runner: str | None = None,
    model: str | None = None,
    directory: str | None = None,
    where: Where | None = None,
) -> int:
    """Speak the Agent Client Protocol on standard input and output: an editor drives sessions of the service.

    Parameters
    ----------
    command
        with --agent acp: what starts the agent, after --
    agent
        which agent the sessions run
    village
        where they belong
    runner
        the runner that runs them (default: any that serves the village)
    model
        as the agent's CLI names it
    directory
        where they work, on the runner's machine (default: the editor's own directory)
    """
    if (unknown := unknown_option(command)) is not None:
        return complain(f"unknown option {unknown}; see townwatch acp --help (a command goes after --)")
    if (agent == "acp") != bool(command):
        return complain("--agent acp needs the command that starts the agent, after --; the others have none")

    async def work(client: ServiceClient, _chosen: Where) -> None:
        from townwatch.cli.acp.face import AcpFace
        from townwatch.cli.acp.thread import ThreadOptions
        from townwatch.client import TownwatchClient

        options = ThreadOptions(
            agent=agent,
            command=list(command) or None,
            village=village,
            runner_id=runner,
            model=model,
            directory=directory,
        )
        tls = await tls_of(client.url, client.ca)
        await AcpFace(TownwatchClient.at(client.url, client.token, tls), options).run()

    return perform(where, work)
