"""The people of the service, for administrators."""

import attrs


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
