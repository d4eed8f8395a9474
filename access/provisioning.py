"""Provisioning: accounts and village roles for people who sign in at an identity provider."""

from collections.abc import Sequence
from typing import Literal

import attrs
import structlog
from sqlalchemy import Connection

from townwatch.access.lockout import LastAdministrator, set_administrator
from townwatch.access.oidc import Person
from townwatch.store import members, users, villages
from townwatch.store.members import ROLES, LastOwner, Role
from townwatch.store.users import User

_log = structlog.get_logger("access")


class NotProvisioned(Exception):
    """The provider knows them, and they may not come in here. The message says which rule it was."""


@attrs.frozen(kw_only=True)
class Grant:
    """Members of `group` (empty: all people of the provider) have `role` in `village`."""

    village: str
    role: Role
    group: str = ""


@attrs.frozen(kw_only=True)
class ProvisioningRules:
    """`domains`: of the verified e-mail address; empty: any, or none. `admin_group`: who runs the service; empty: the
    provider does not say. `newcomers`: whether a person is made for who is not known yet.

    A village that a grant names is the provider's to fill: at each sign-in the role there becomes the highest that is
    granted, or ends. Others are left alone.
    """

    domains: frozenset[str]
    grants: Sequence[Grant]
    admin_group: str
    newcomers: bool


@attrs.frozen(kw_only=True)
class Provisioned:
    """`changed`: villages in which the role is another one now. `administrator`: what the provider's group did to the
    rights of an administrator; kept, where it would have taken them from the last one who can sign in.
    """

    user: User
    new: bool
    changed: Sequence[str]
    administrator: Literal["given", "taken", "kept"] | None


def welcome(connection: Connection, person: Person, rules: ProvisioningRules, now_ms: int) -> Provisioned:
    """The person here, made if need be, with the roles that are theirs. Raises `NotProvisioned`."""
    _check_domain(person, rules)
    user = users.by_identity(connection, person.issuer, person.subject)
    new = user is None
    if user is None:
        if not rules.newcomers:
            raise NotProvisioned(
                "no account here has that identity, and newcomers is off: ask an administrator to add you"
            )
        user = users.create(connection, person.name, now_ms, email=_free_address(connection, person))
        if not users.link_identity(connection, user.user_id, person.issuer, person.subject, now_ms):
            raise NotProvisioned("an account for this person is being created at this moment; sign in again")
    if user.disabled:
        raise NotProvisioned("the person is locked out")
    user, administrator = _administer(connection, user, person, rules)
    changed = [village for village in _wanted(rules) if _settle(connection, village, user, person, rules, now_ms)]
    return Provisioned(user=user, new=new, changed=changed, administrator=administrator)


def _administer(
    connection: Connection, user: User, person: Person, rules: ProvisioningRules
) -> tuple[User, Literal["given", "taken", "kept"] | None]:
    """Give or take an administrator's rights, as the provider's group says."""
    if not rules.admin_group or person.groups is None:
        return user, None
    admin = rules.admin_group in person.groups
    if admin == user.admin:
        return user, None
    try:
        set_administrator(connection, user.user_id, admin)
    except LastAdministrator as error:
        _log.warning("administrator_kept", user=user.user_id, group=rules.admin_group, reason=str(error))
        return user, "kept"
    return attrs.evolve(user, admin=admin), "given" if admin else "taken"


def _check_domain(person: Person, rules: ProvisioningRules) -> None:
    if not rules.domains:
        return
    domain = (person.email or "").rpartition("@")[2].lower()
    if not person.email_verified or domain not in rules.domains:
        raise NotProvisioned(f"domains: {domain or 'no address'}{'' if person.email_verified else ', not verified'}")


def _free_address(connection: Connection, person: Person) -> str | None:
    """Return the address where it is verified and free: it must never open the account of another person."""
    if person.email is None or not person.email_verified:
        return None
    return None if users.by_email(connection, person.email) is not None else person.email


def _wanted(rules: ProvisioningRules) -> list[str]:
    return list(dict.fromkeys(grant.village for grant in rules.grants))


def _settle(
    connection: Connection, name: str, user: User, person: Person, rules: ProvisioningRules, now_ms: int
) -> bool:
    """Set a person's role in the village of this name; return True if it changed."""
    village = villages.key_of(connection, name)
    if village is None:
        return False
    groups = person.groups or frozenset()
    granted = {
        grant.role for grant in rules.grants if grant.village == name and (not grant.group or grant.group in groups)
    }
    role: Role | None = next((one for one in ROLES if one in granted), None)
    before = members.role_of(connection, village, user.user_id)
    if role == before:
        return False
    try:
        if role is None:
            return members.remove(connection, village, user.user_id)
        members.put(connection, village, user.user_id, role, now_ms)
    except LastOwner as error:
        _log.warning("role_kept", village=village, user=user.user_id, reason=str(error))
        return False
    return True
