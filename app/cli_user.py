"""`townwatch user`: people of this service, for whoever runs it, on its machine."""

from functools import partial
from typing import Literal

import trio
from cyclopts import App

from app.cli_shared import ConfigFile, StateDir, complain, settings_of

user_app = App(name="user", help="People of this service.")


@user_app.command
def add(
    name: str,
    *,
    email: str | None = None,
    village: str | None = None,
    role: Literal["owner", "operator", "viewer"] = "viewer",
    admin: bool = False,
    state_dir: StateDir = None,
    config: ConfigFile = None,
) -> int:
    """Add a person, and print a link that signs them in, once, within a quarter of an hour.

    Parameters
    ----------
    name
        what others see
    email
        what they sign in with, once they have set a password
    village
        where they get a role at once
    role
        which one
    admin
        let them run the service itself
    """
    from app.identity import CannotAdd, new_person

    found = settings_of(config, state_dir)
    try:
        print(trio.run(partial(new_person, found, name, email=email, village=village, role=role, admin=admin)))
    except CannotAdd as error:
        return complain(str(error))
    return 0
