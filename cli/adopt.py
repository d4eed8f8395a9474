"""`townwatch adopt`: go on, as a session, with a conversation that an agent had outside."""

from typing import Annotated

from cyclopts import Parameter

from townwatch.cli.run import run
from townwatch.cli.shared import ConfigFile, StateDir, complain


def adopt(
    agent: str,
    conversation: str | None = None,
    *flags: Annotated[str, Parameter(allow_leading_hyphen=True)],
    latest: bool = False,
    name: str | None = None,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Go on with a conversation that an agent's CLI had outside, as a session. Run it in the conversation's directory.

    Parameters
    ----------
    agent
        claude, codex, opencode, gemini, qwen or copilot
    conversation
        the CLI's own name for it (default: the CLI's list, to choose from)
    flags
        more for the CLI, after --
    latest
        the latest conversation
    name
        the agent's name on the page
    """
    from townwatch.runner.agents.adopting import CannotAdopt, command_line

    try:
        command = [*command_line(agent, conversation, latest=latest), *flags]
    except CannotAdopt as error:
        return complain(str(error))
    return run(command, name=name, state_dir=state_dir, config=config)
