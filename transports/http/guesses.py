"""Limits on password attempts: for each account, such that other people's guesses do not lock its owner out.

Each place (a device that signed in before, else the network of the address) has a bucket of its own for each account.
Places that never signed in to the account share a second bucket: a guesser with a thousand addresses has that one, too.
A guesser who empties it keeps new places waiting, but none that signed in before: from their device, which shows a
token for it, or from their network.
"""

from collections import OrderedDict

from townwatch.supervision import Rate, TokenBuckets

KNOWN_PLACES = 10_000
"""Networks that signed in, of all accounts together; the longest unused is forgotten first."""


class PasswordGuard:
    """Counts attempts, right ones too. Times are seconds, monotonic."""

    def __init__(self, place: Rate, strangers: Rate) -> None:
        self._places = TokenBuckets("passwords", place)
        self._strangers = TokenBuckets("passwords_from_new_places", strangers)
        self._known: OrderedDict[str, None] = OrderedDict()

    def take(self, account: str, network: str, device: str | None, now: float) -> None:
        """Count one attempt. `device`: the id of a device that is the account's, None: it showed none.

        Raises `RateLimited`, and then counts none."""
        place = _place(account, device or network)
        self._places.check(place, now)
        if device is None and place not in self._known:
            self._strangers.take(account, now)
        self._places.take(place, now)

    def succeeded(self, account: str, network: str) -> None:
        """Remember that the account signed in from this network."""
        place = _place(account, network)
        self._known[place] = None
        self._known.move_to_end(place)
        if len(self._known) > KNOWN_PLACES:
            self._known.popitem(last=False)


def _place(account: str, where: str) -> str:
    return f"{where}\0{account}"
