"""`townwatch tree`: the supervision tree in the terminal, from /api/supervision."""

import json
import sys
from collections.abc import Iterator
from http.client import responses
from typing import Any

import trio

from townwatch.net.http_client import NotAnswered, exchange

SHOWN = 12
"""Children shown of each supervisor; the rest is a number."""
SECONDS = 1.0
"""Between two looks."""
ANSWER_SECONDS = 10.0
MAX_BYTES = 64 << 20


class NoTree(Exception):
    """The service did not answer with a tree; the message is one line."""


async def fetch(url: str, token: str) -> dict[str, Any]:
    """Return the tree as the API has it. Raises `NoTree`."""
    try:
        answer = await exchange(
            "GET",
            f"{url}/api/supervision",
            headers={"authorization": f"Bearer {token}"},
            seconds=ANSWER_SECONDS,
            max_bytes=MAX_BYTES,
            proxies=True,
        )
        if answer.status != 200:
            raise NoTree(f"{url}: {answer.status} {responses.get(answer.status, '')}".rstrip())
        return json.loads(answer.body)
    except (NotAnswered, ValueError) as error:
        raise NoTree(f"{url}: {error}") from None


async def show(url: str, token: str, *, once: bool, as_json: bool) -> None:
    """Print it, again and again in place unless `once`. Raises `NoTree`."""
    handled: dict[str, int] = {}
    while True:
        root = await fetch(url, token)
        lines = [json.dumps(root)] if as_json else list(render(root, handled))
        if once:
            print("\n".join(lines))
            return
        handled = {str(n["path"]): n["mailbox"]["handled"] for n in _all(root) if n["mailbox"]}
        sys.stdout.write(("" if as_json else "\x1b[H\x1b[2J") + "\n".join(lines) + "\n")
        sys.stdout.flush()
        await trio.sleep(SECONDS)


def render(root: dict[str, Any], handled: dict[str, int]) -> Iterator[str]:
    """The lines. `handled`: path → messages handled a second ago, for the rate; empty the first time."""
    yield f"{'ACTOR':44} {'STATE':10} {'MAILBOX':>13} {'MSG/S':>7} {'RESTARTS':>10}  LAST EXIT"
    yield from _lines(root, "", "", handled)


def _lines(node: dict[str, Any], lead: str, rail: str, handled: dict[str, int]) -> Iterator[str]:
    yield _line(node, lead, handled)
    shown = node["children"][:SHOWN]
    left = len(node["children"]) - len(shown) + node["more"]
    for number, child in enumerate(shown, 1):
        last = number == len(shown) and not left
        yield from _lines(child, rail + ("└ " if last else "├ "), rail + ("  " if last else "│ "), handled)
    if left:
        yield f"{rail}└ and {left} more"


def _line(node: dict[str, Any], lead: str, handled: dict[str, int]) -> str:
    box, name = node["mailbox"], lead + node["id"]
    if node["strategy"]:
        name += f" ({node['strategy']})"
    waiting = "-" if box is None else f"{box['depth']}/{box['capacity'] or '∞'}"
    before = handled.get(str(node["path"]))
    rate = "-" if box is None or before is None else str(max(0, box["handled"] - before))
    restarts = str(node["restarts"])
    if node["intensity"] is not None:
        restarts += f" {node['recent']}/{node['intensity']}"
    last = node["lastExit"]
    ended = (node.get("note") or "") if last is None else f"{last['age']:.0f} s ago: {last['reason']}"
    return f"{name[:44]:44} {node['state']:10} {waiting:>13} {rate:>7} {restarts:>10}  {ended}".rstrip()


def _all(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node["children"]:
        yield from _all(child)
