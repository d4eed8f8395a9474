"""`townwatch chaos`: break a running service on purpose, and see whether anything is lost."""

import random
import time
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from app.cli_shared import ConfigFile, StateDir, complain, log_to_file, settings_of


def chaos(
    url: str | None = None,
    *,
    token: str | None = None,
    duration: float = 60.0,
    seed: int | None = None,
    fault: Annotated[list[str] | None, Parameter(negative="")] = None,
    clients: int = 20,
    viewers: int = 4,
    runners: int = 2,
    goals: bool = True,
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
    report
        folder for report.html and report.json (default: chaos/TIME in the state directory)
    keep_data
        keep the village, the runners and what they wrote
    """
    from app.service import local_access
    from app.trial import report as reports
    from app.trial.campaign import Campaign, CannotBegin, Options
    from app.trial.progress import Progress
    from app.trial.rest import Rest
    from runner import identity

    found = settings_of(config, state_dir)
    try:
        if url is not None and token is None:
            return complain(f"{url}: a token is needed, --token")
        if url is None or token is None:
            url, own = trio.run(local_access, found)
            token = token or own
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
        campaign = Campaign(Rest(url.rstrip("/"), token), options, (folder / "work").absolute(), Progress())
        result = trio.run(campaign.run)
        page = reports.write(result, folder)
    except (CannotBegin, identity.NotEnrolled, OSError) as error:
        return complain(str(error))
    print(reports.text(result))
    print(f"The report: {page}")
    return 130 if result.interrupted else 0 if result.held else 1
