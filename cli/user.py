"""`townwatch user`: manage people of this service, on its machine."""

import json as json_
from functools import partial
from typing import Literal

from cyclopts import App

from townwatch.cli.shared import ConfigFile, Json, StateDir, complain, run_async, service_settings, tell

user_app = App(name="user", help="People of this service.")


@user_app.command
def add(
    name: str,
    *,
    email: str | None = None,
    village: str | None = None,
    role: Literal["owner", "operator", "viewer"] = "viewer",
    admin: bool = False,
    json: Json = False,
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
    from townwatch.access.newcomers import CannotAdd
    from townwatch.app.identity import new_person

    found = service_settings(config, state_dir)
    try:
        made = run_async(partial(new_person, found, name, email=email, village=village, role=role, admin=admin))
    except CannotAdd as error:
        return complain(str(error))
    return tell("link", made, json)


@user_app.command
def disable(person: str, *, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Lock a person out: sign-ins end, tokens do nothing, live connections are closed within a second.

    Parameters
    ----------
    person
        e-mail address, or the id that `townwatch user list` shows
    """
    return _set_locked(person, config, state_dir, out=True, json=json)


@user_app.command
def enable(person: str, *, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Let a person in again; they sign in anew.

    Parameters
    ----------
    person
        e-mail address, or the id that `townwatch user list` shows
    """
    return _set_locked(person, config, state_dir, out=False, json=json)


@user_app.command(name="list")
def list_people(*, json: Json = False, state_dir: StateDir = None, config: ConfigFile = None) -> int:
    """Show who has an account: id, e-mail address, name, and whether they are administrators or locked out."""
    from townwatch.app.lockout import CannotLock, people

    try:
        found = run_async(people, service_settings(config, state_dir))
    except CannotLock as error:
        return complain(str(error))
    if json:
        known = ("user_id", "email", "name", "admin", "disabled")
        print(json_.dumps([{name: getattr(one, name) for name in known} for one in found]))
        return 0
    for one in found:
        marks = [name for name, is_so in (("administrator", one.admin), ("locked out", one.disabled)) if is_so]
        print("\t".join((one.user_id, one.email or "-", one.name, ", ".join(marks) or "-")))
    return 0


def _set_locked(person: str, config: str | None, state_dir: str | None, *, out: bool, json: bool) -> int:
    from townwatch.app.lockout import CannotLock, set_locked

    try:
        name = run_async(partial(set_locked, service_settings(config, state_dir), person, out=out))
    except CannotLock as error:
        return complain(str(error))
    if json:
        return tell("lockedOut" if out else "letIn", name, json)
    print(f"{name} is locked out" if out else f"{name} may come in again")
    return 0
