"""Things that a command names: the village it is about, one thing of a list by the beginning of its id, a delivery."""

from collections.abc import Awaitable, Callable
from typing import Any

from townwatch.cli.remote import show
from townwatch.cli.remote.client import SAID_NO, CommandFailed, ServiceClient, part

LOOKS, BETWEEN_SECONDS = 100, 0.2


async def village_path(client: ServiceClient, village: str | None) -> str:
    """Return the path of a village, of the only one where none is named. Raises `CommandFailed`."""
    name = village
    if name is None:
        found = [one["villageId"] for one in (await client.get("/api/me"))["villages"]]
        if len(found) != 1:
            raise CommandFailed(f"which village? --village one of {', '.join(found[:10]) or '(you are in none)'}")
        name = found[0]
    return f"/api/villages/{part(name)}"


async def path_of(client: ServiceClient, base: str, noun: str, prefix: str, wanted: str) -> str:
    """Return the path of the one thing of the list at `base` whose id begins so, with `prefix` or without it. Raises
    `CommandFailed`. `noun`: what it is, as the command and the field of its id call it.
    """
    known = [one[f"{noun}Id"] for one in (await client.get(base))["items"]]
    begins = wanted.removeprefix(prefix)
    fitting = [one for one in known if begins and one.removeprefix(prefix).startswith(begins)]
    if len(fitting) != 1:
        told = f"{len(fitting)} {noun}s begin so" if fitting else "there is none"
        raise CommandFailed(f"{noun} {wanted!r}: {told}; townwatch {noun} list shows them", SAID_NO)
    return f"{base}/{part(fitting[0])}"


async def first_attempt(look: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Return a delivery after its first attempt, or as it is after a while. Raises what `look` does."""
    import trio

    found = await look()
    for _ in range(LOOKS - 1):
        if found["attempts"]:
            break
        await trio.sleep(BETWEEN_SECONDS)
        found = await look()
    return found


def switched(one: dict[str, Any]) -> str:
    """Return whether it is on, or off and why, for a line of a list."""

    return "on" if one["enabled"] else f"off{': ' + show.plain(one['trouble']) if one.get('trouble') else ''}"
