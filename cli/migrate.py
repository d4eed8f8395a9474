"""`townwatch migrate`."""

import json as json_

from townwatch.cli.shared import ConfigFile, Json, StateDir, complain, line_of, settings_of


def migrate(target: str, *, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Copy the whole state of a stopped service from SQLite into PostgreSQL, or back: all of it or nothing.

    The source stays as it is. A target that has anything of a service is refused.

    Parameters
    ----------
    target
        postgresql://… for files into PostgreSQL; sqlite for the PostgreSQL of the settings into files
    """
    from townwatch.app.upkeep.migration import FAILURES, MigrationRefused, into_files, into_postgres
    from townwatch.net.service_url import without_password
    from townwatch.store.engine.postgres import is_postgres

    settings = settings_of(config, state_dir)
    back = target == "sqlite"
    if not back and not is_postgres(target):
        return complain(f"{without_password(target)}: give postgresql://USER@HOST/DATABASE, or sqlite for the way back")
    if back and not is_postgres(settings.database.url):
        return complain("there is nothing in PostgreSQL to copy: set [database] url to where the state is now")
    if not back and settings.database.url not in ("", target):
        return complain("[database] url names another database: the way into PostgreSQL begins at the files")
    try:
        done = into_files(settings) if back else into_postgres(settings, target)
    except MigrationRefused as error:
        return complain(str(error))
    except FAILURES as error:
        complain(f"nothing was copied: {line_of(error)}")
        return 1
    after = f"unset [database] url and start it: it goes on in {settings.state}"
    if not back:
        after = "set [database] url (TOWNWATCH_DATABASE_URL) to it and start the service; the files stay as they were"
    if json:
        print(json_.dumps({"events": done.events, "sessions": done.sessions, "tables": dict(done.tables)}))
        return 0
    rows = sum(done.tables.values())
    print(
        f"copied and compared: {done.sessions} sessions, {done.events} events, {rows} rows of {len(done.tables)} tables"
    )
    print(after)
    return 0
