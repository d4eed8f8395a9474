"""The people of the service, for administrators."""

from typing import Annotated

import attrs
import msgspec

from townwatch.contracts.events import Id
from townwatch.contracts.rest.shared import Name, Role


@attrs.frozen(kw_only=True)
class PersonView:
    """`disabled`: locked out; nothing that they have lets them in."""

    user_id: str
    name: str
    email: str | None
    admin: bool
    disabled: bool
    created_at: float


@attrs.frozen(kw_only=True)
class PersonList:
    items: list[PersonView]
    next: str | None


@attrs.frozen(kw_only=True)
class NewPerson:
    """`admin`: they run the service. `villageId`: where they get `role` at once."""

    name: Name
    email: (
        Annotated[str, msgspec.Meta(min_length=3, max_length=320, pattern=r"^[^\x00-\x20\x7f]+@[^\x00-\x20\x7f]+$")]
        | None
    ) = None
    admin: bool = False
    village_id: Id | None = None
    role: Role = "viewer"


@attrs.frozen(kw_only=True)
class InvitedPerson:
    """`code` signs the new person in, once; `path` is where the page takes it."""

    user_id: str
    code: str
    path: str
    expires_at: float


@attrs.frozen(kw_only=True)
class AdministratorRights:
    """`admin`: they run the service."""

    admin: bool
