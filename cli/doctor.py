"""`townwatch doctor` and `townwatch backup`."""

import json as json_
from pathlib import Path

from townwatch.cli.shared import ConfigFile, Json, StateDir, complain, line_of, service_settings, settings_of
from townwatch.config import place


def doctor(*, repair: bool = False, json: bool = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Check everything that the service stands on. 0: nothing failed; 1: something did; 2: used wrongly, or refused.

    Parameters
    ----------
    repair
        also repair what can be repaired; the service must be stopped, and damaged files are kept aside
    json
        one JSON object instead of lines
    """
    from townwatch.app.doctor import RepairRefused, as_json, examine, repair as mend, worst
    from townwatch.app.doctor.repair import FAILURES

    settings = settings_of(config, state_dir)
    if not settings.state.is_dir():
        return complain(place.no_service(settings.state))
    repaired = []
    if repair:
        try:
            repaired = mend(settings)
        except RepairRefused as error:
            return complain(str(error))
        except FAILURES as error:
            return complain(f"the repair failed, damaged files are kept: {error}")
    found = examine(settings)
    if json:
        print(json_.dumps({"worst": worst(found), "repaired": as_json(repaired), "checks": as_json(found)}))
    else:
        for finding in repaired:
            print(f"repaired: {finding.line()}")
        for finding in found:
            print(finding.line())
    return 1 if worst(found) == "fail" else 0


def backup(target: str, *, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Copy the databases and secrets to an empty directory, while the service runs or not.

    Parameters
    ----------
    target
        the directory to write to
    """
    from townwatch.app.upkeep.backup import BackupFailed, back_up

    settings = service_settings(config, state_dir, reads=True)
    if not target.isprintable():
        return complain(f"{target!r}: give a directory whose name is text")
    try:
        done = back_up(settings.state, Path(target))
    except (BackupFailed, OSError) as error:
        return complain(line_of(error))
    if json:
        print(json_.dumps({"files": [str(file) for file in done], "postgres": bool(settings.database.url)}))
        return 0
    for file in done:
        print(file)
    if settings.database.url:
        print("the tables are in PostgreSQL: back those up with pg_dump")
    return 0
