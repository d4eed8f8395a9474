"""`townwatch chaos`: break a running service on purpose, and see whether anything is lost."""

import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from townwatch.cli.shared import (
    ConfigFile,
    Filled,
    Seconds,
    StateDir,
    Whole,
    complain,
    line_of,
    log_to_file,
    run_async,
    service_settings,
    settings_of,
)

if TYPE_CHECKING:
    from townwatch.chaos.campaign.campaign import CampaignResult, Options
    from townwatch.config.settings import Settings


def chaos(
    url: Filled | None = None,
    *,
    token: Filled | None = None,
    duration: Seconds = 60.0,
    seed: Whole | None = None,
    fault: list[str] | None = None,
    clients: Whole = 20,
    viewers: Whole = 4,
    runners: Whole = 2,
    goals: Annotated[bool, Parameter(negative="--no-goals")] = True,
    fresh: bool = False,
    report: str | None = None,
    keep_data: bool = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Pull plugs of a service started with --chaos while real programs run in it; status 0 if nothing was lost.

    Everything it makes for that (a village, runners, sessions) is removed at the end.

    Parameters
    ----------
    url
        the service (default: that of the state directory)
    token
        an administrator's token (default: the owner's, of the state directory)
    duration
        seconds during which plugs are pulled
    seed
        what is pulled when, the same for the same seed (default: by chance; it is printed)
    fault
        only this one; can be repeated (default: all that the service offers)
    clients
        viewers who only look, in a village where nothing happens
    viewers
        viewers who remember everything they see
    runners
        runners of its own, with two programs each
    goals
        whether it must also be as fast as it should be
    fresh
        start a service of its own for it, in a state directory of its own below this one's
    report
        folder for report.html and report.json (default: chaos/TIME in the state directory)
    keep_data
        keep the village, the runners and what they wrote
    """
    from townwatch.chaos.campaign import html_report, report as reports
    from townwatch.chaos.campaign.campaign import CannotBegin, Options
    from townwatch.net.service_url import BadServiceUrl, service_base
    from townwatch.runner import identity

    found = settings_of(config, state_dir) if fresh or url else service_settings(config, state_dir)
    try:
        if url is not None:
            service_base(url)
        if url is not None and token is None:
            return complain(f"{url}: a token is needed, --token")
        if duration <= 0 or clients < 0:
            return complain(f"--duration {duration:g}, --clients {clients}: seconds above 0, and clients 0 or more")
        options = Options(
            seed=random.SystemRandom().randrange(1_000_000) if seed is None else seed,
            seconds=duration,
            faults=fault or (),
            clients=clients,
            viewers=max(1, viewers),
            runners=max(1, runners),
            goals=goals,
            keep_data=keep_data,
        )
        folder = Path(report) if report else found.state / "chaos" / time.strftime("%Y%m%d-%H%M%S")
        log_to_file(found, "chaos.log")
        result = run_async(_conduct, found, options, folder.absolute(), None if fresh else (url, token))
        page = html_report.write(result, folder)
    except (BadServiceUrl, CannotBegin, identity.NotEnrolled, OSError) as error:
        return complain(line_of(error))
    print(reports.text(result))
    print(f"The report: {page}")
    return 130 if result.interrupted else 0 if result.held else 1


async def _conduct(
    found: "Settings", options: "Options", folder: Path, where: tuple[str | None, str | None] | None
) -> "CampaignResult":
    """Run the campaign at the service at `where` (url, token; None: those of the state directory), or a fresh one."""
    from townwatch.app.identity import local_access
    from townwatch.chaos.campaign.campaign import Campaign
    from townwatch.chaos.campaign.fresh_service import allow_connections, fresh_service
    from townwatch.chaos.campaign.progress import Progress
    from townwatch.chaos.campaign.rest_client import Rest

    allow_connections(options.clients)
    async with AsyncExitStack() as stack:
        if where is None:
            rest = await stack.enter_async_context(fresh_service(folder / "service", found, local_access))
        else:
            url, token = where
            if url is None or token is None:
                url, own = await local_access(found)
                token = token or own
            rest = Rest(url.rstrip("/"), token)
        return await Campaign(rest, options, folder / "work", Progress()).run()
