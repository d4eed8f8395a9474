"""A call on its way to one channel: the words, where they lead, and how urgent it is."""

from typing import Protocol

import attrs

from townwatch.notify.deliver import AttemptOutcome


@attrs.frozen(kw_only=True)
class Letter:
    """`url`: where it leads, "" where the page's address is not known; `path` is the same below the page. `link`: the
    secret that answers one approval, part of both. `acts`: whether it may be answered where it is shown. `tag`: the
    same for all calls about one thing. `ttl`: seconds after which it is not worth showing.
    """

    message_id: str
    kind: str
    title: str
    text: str
    village: str
    url: str = ""
    path: str = ""
    link: str | None = attrs.field(default=None, repr=False)
    whole: str | None = None
    urgent: bool = False
    tag: str
    ttl: int = 86_400
    at_ms: int


class Form(Protocol):
    """One way to reach a person. Addresses are JSON texts that its own `check` has made."""

    async def send(self, address: str, letter: Letter) -> AttemptOutcome:
        """Deliver one call; never raises."""
        ...
