"""Messages to a village about its houses."""

import attrs


@attrs.frozen
class ShowHouse:
    """To a village: let this client into the repo room and send it the house's activity."""

    client_id: str
    repo_id: str


@attrs.frozen
class Houses:
    """To a village: its houses. Answer: a list of `HouseActivity` with their names."""


@attrs.frozen
class HouseRenamed:
    """To a village: `Context.house_names` has changed for this house. Answer: the house; None: there is no such one."""

    repo_id: str
